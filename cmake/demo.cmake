# Builds the examples into build/demo and shows them at work: `cmake -P cmake/demo.cmake`.
cmake_minimum_required(VERSION 3.24...3.30)

include("${CMAKE_CURRENT_LIST_DIR}/DuplexBuild.cmake")

get_filename_component(directory "${CMAKE_CURRENT_LIST_DIR}/../build/demo" ABSOLUTE)
duplex_build("${directory}" -DDUPLEX_BUILD_TESTS=OFF -DDUPLEX_BUILD_EXAMPLES=ON)

execute_process(COMMAND sh "${CMAKE_CURRENT_LIST_DIR}/demo.sh" "${directory}/examples" RESULT_VARIABLE result)
if(NOT result EQUAL 0)
    message(FATAL_ERROR "The demo failed")
endif()
