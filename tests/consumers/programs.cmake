# What every consumer builds, and what duplex must not do to it: no tests of its own, no compiler options.

set(programs_directory "${CMAKE_CURRENT_LIST_DIR}")

if(TARGET core_tests OR TARGET echo_server OR TARGET duplex_development)
    message(FATAL_ERROR "duplex builds its tests or examples in another project")
endif()

function(check_no_options library)
    foreach(property INTERFACE_COMPILE_OPTIONS INTERFACE_LINK_OPTIONS)
        get_target_property(options ${library} ${property})
        if(options)
            message(FATAL_ERROR "${library} forces ${options} on its users")
        endif()
    endforeach()
endfunction()

function(add_core_program)
    check_no_options(duplex::core)
    add_executable(uses_core "${programs_directory}/uses_core.cpp")
    target_link_libraries(uses_core PRIVATE duplex::core)
endfunction()

# The same program, with what it uses of duplex in a library, and a second source that includes it all.
function(add_compiled_program)
    check_no_options(duplex::compiled)
    add_executable(uses_compiled "${programs_directory}/uses_duplex.cpp" "${programs_directory}/uses_compiled.cpp")
    target_link_libraries(uses_compiled PRIVATE duplex::compiled)
endfunction()

function(add_duplex_program)
    check_no_options(duplex::duplex)
    add_executable(uses_duplex "${programs_directory}/uses_duplex.cpp")
    target_link_libraries(uses_duplex PRIVATE duplex::duplex)
endfunction()

function(add_tls_program)
    check_no_options(duplex::tls)
    add_executable(uses_tls "${programs_directory}/uses_tls.cpp")
    target_link_libraries(uses_tls PRIVATE duplex::tls)
endfunction()

function(add_deflate_program)
    check_no_options(duplex::deflate)
    add_executable(uses_deflate "${programs_directory}/uses_deflate.cpp")
    target_link_libraries(uses_deflate PRIVATE duplex::deflate)
    target_compile_definitions(uses_deflate PRIVATE EXPECT_LIBDEFLATE=${EXPECT_LIBDEFLATE})
endfunction()
