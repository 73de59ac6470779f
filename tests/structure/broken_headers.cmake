# Shows that the header verification notices: builds what headers/CMakeLists.txt makes, and expects each fault named.
cmake_minimum_required(VERSION 3.24...3.30)

file(REMOVE_RECURSE "${WORK}")
execute_process(COMMAND "${CMAKE_COMMAND}" -S "${CMAKE_CURRENT_LIST_DIR}/headers" -B "${WORK}" -G "${CMAKE_GENERATOR}"
                        "-DCMAKE_MAKE_PROGRAM=${CMAKE_MAKE_PROGRAM}" "-DCMAKE_CXX_COMPILER=${CMAKE_CXX_COMPILER}"
                COMMAND_ERROR_IS_FATAL ANY)

function(expect target message)
    execute_process(COMMAND "${CMAKE_COMMAND}" --build "${WORK}" --target ${target}
                    OUTPUT_VARIABLE output ERROR_VARIABLE output RESULT_VARIABLE result)
    if(message AND result EQUAL 0)
        message(SEND_ERROR "${target}.hpp compiled, though it is broken")
    elseif(message AND NOT output MATCHES "${message}")
        message(SEND_ERROR "${target}.hpp failed, but not with '${message}':\n${output}")
    elseif(NOT message AND NOT result EQUAL 0)
        message(SEND_ERROR "${target}.hpp failed, though it is good:\n${output}")
    endif()
endfunction()

expect(good "")
expect(not_alone "not_alone.hpp:2.*vector")
expect(not_once "not_once.hpp:2.*redefinition of .*numbers")
expect(warning "warning.hpp:2.*unused parameter")
expect(asio "this header reaches Asio")
expect(asio_too_soon "before asio_config.hpp")
