# Gives the target duplex_test_main: Catch2 and its main function, compiled once for all test binaries.
#
# Asked in this order: DUPLEX_CATCH2_ROOT or FETCHCONTENT_SOURCE_DIR_CATCH2 (a local checkout of Catch2 3), the
# system's package (2.13 or 3), a download of a pinned release.

if(DUPLEX_CATCH2_ROOT)
    set(FETCHCONTENT_SOURCE_DIR_CATCH2 "${DUPLEX_CATCH2_ROOT}")
endif()
if(NOT FETCHCONTENT_SOURCE_DIR_CATCH2)
    find_package(Catch2 QUIET)
    if(Catch2_FOUND AND Catch2_VERSION VERSION_LESS 2.13)
        message(STATUS "Catch2 ${Catch2_VERSION} (${Catch2_DIR}) is older than 2.13")
        set(Catch2_FOUND FALSE)
    endif()
endif()

if(NOT Catch2_FOUND)
    include(FetchContent)
    FetchContent_Declare(
        Catch2
        GIT_REPOSITORY https://github.com/catchorg/Catch2.git
        GIT_TAG fa43b77429ba76c462b1898d6cd2f2d7a9416b14 # v3.7.1
    )
    FetchContent_MakeAvailable(Catch2)
    set(Catch2_VERSION 3)
endif()

if(Catch2_VERSION VERSION_LESS 3)
    add_library(duplex_test_main OBJECT "${PROJECT_SOURCE_DIR}/tests/support/main.cpp")
    target_link_libraries(duplex_test_main PUBLIC Catch2::Catch2)
    # A test run that runs no test has failed; Catch2 3 sees it so by itself.
    set(duplex_catch_options --warn NoTests)
else()
    add_library(duplex_test_main INTERFACE)
    target_link_libraries(duplex_test_main INTERFACE Catch2::Catch2WithMain)
    target_include_directories(duplex_test_main SYSTEM
                               INTERFACE $<TARGET_PROPERTY:Catch2::Catch2,INTERFACE_INCLUDE_DIRECTORIES>)
    set(duplex_catch_options "")
endif()
message(STATUS "Tests use Catch2 ${Catch2_VERSION}")
