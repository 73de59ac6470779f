# duplex_verify_headers(<target> INCLUDES <directory> FOLDERS <folder>... [EXCEPT <header>...]
#                       LINK <library>... [WITHOUT_ASIO])
#
# An object library with one source for each header of include/duplex/<folder>, which includes that header first and
# twice: it compiles if the header stands alone. The folder `.` means the headers right in include/duplex. Files in
# impl/ are parts of other headers and left out, as are those EXCEPT names, as in duplex/tls.hpp. WITHOUT_ASIO: nothing of
# Asio may be reached from there; else nothing before duplex/net/detail/asio_config.hpp.
function(duplex_verify_headers target)
    cmake_parse_arguments(PARSE_ARGV 1 arg "WITHOUT_ASIO" "INCLUDES" "FOLDERS;EXCEPT;LINK")
    if(arg_WITHOUT_ASIO)
        set(rule "defined(ASIO_DETAIL_CONFIG_HPP) || defined(ASIO_VERSION)")
        set(broken "this header reaches Asio")
    else()
        # Of what Asio looks at, the one thing that can be seen from here.
        set(rule "defined(ASIO_DETAIL_CONFIG_HPP) && defined(_GLIBCXX_HAVE_ALIGNED_ALLOC)")
        string(APPEND rule " && !defined(ASIO_HAS_STD_ALIGNED_ALLOC)")
        set(broken "this header reaches Asio before asio_config.hpp")
    endif()
    set(check "#if ${rule}\n#error \"${broken}\"\n#endif\n")

    set(sources "")
    foreach(folder IN LISTS arg_FOLDERS)
        if(folder STREQUAL ".")
            file(GLOB headers CONFIGURE_DEPENDS RELATIVE "${arg_INCLUDES}" "${arg_INCLUDES}/duplex/*.hpp")
        else()
            file(GLOB_RECURSE headers CONFIGURE_DEPENDS RELATIVE "${arg_INCLUDES}"
                 "${arg_INCLUDES}/duplex/${folder}/*.hpp")
        endif()
        list(FILTER headers EXCLUDE REGEX "/impl/")
        if(arg_EXCEPT)
            list(REMOVE_ITEM headers ${arg_EXCEPT})
        endif()
        foreach(header IN LISTS headers)
            set(source "${CMAKE_CURRENT_BINARY_DIR}/${target}/${header}.cpp")
            file(CONFIGURE OUTPUT "${source}" @ONLY CONTENT
                 "#include <${header}>\n#include <${header}>\n${check}")
            list(APPEND sources "${source}")
        endforeach()
    endforeach()

    if(sources)
        add_library(${target} OBJECT ${sources})
        target_link_libraries(${target} PRIVATE ${arg_LINK})
        target_compile_options(${target} PRIVATE -O0 -g0 -Werror)
    endif()
endfunction()
