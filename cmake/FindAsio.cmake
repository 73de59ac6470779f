# Finds standalone Asio 1.22.1 or newer and defines the target duplex::asio (system include directories only).
#
# Asked in this order: DUPLEX_ASIO_ROOT or FETCHCONTENT_SOURCE_DIR_ASIO (a local checkout or install), the target
# asio::asio (of the enclosing project, or of a package as vcpkg and Conan make), asio.hpp on the usual paths
# (Asio_ROOT and CMAKE_PREFIX_PATH included), and with DUPLEX_FETCH_ASIO a download of a pinned release.
#
# Sets Asio_FOUND, and Asio_VERSION and Asio_INCLUDE_DIR where they can be known.

if(TARGET duplex::asio)
    set(Asio_FOUND TRUE)
    return()
endif()

set(_duplex_asio_minimum 1.22.1)
set(_duplex_asio_reason "asio.hpp was not found: set DUPLEX_ASIO_ROOT, or DUPLEX_FETCH_ASIO=ON to download it")
set(Asio_VERSION "")
set(Asio_LOCATION "")

# The version of the Asio in `directory`, or nothing.
function(_duplex_asio_version directory result)
    set(version "")
    if(EXISTS "${directory}/asio/version.hpp")
        file(STRINGS "${directory}/asio/version.hpp" line REGEX "^#define ASIO_VERSION [0-9]+")
        if(line MATCHES "ASIO_VERSION ([0-9]+)")
            math(EXPR major "${CMAKE_MATCH_1} / 100000")
            math(EXPR minor "${CMAKE_MATCH_1} / 100 % 1000")
            math(EXPR patch "${CMAKE_MATCH_1} % 100")
            set(version "${major}.${minor}.${patch}")
        endif()
    endif()
    set(${result} "${version}" PARENT_SCOPE)
endfunction()

# The include directory below a checkout: include/ from 1.38 on, asio/include/ before; or of an install.
function(_duplex_asio_below root result)
    set(found "")
    foreach(directory "${root}/include" "${root}/asio/include" "${root}")
        if(NOT found AND EXISTS "${directory}/asio.hpp")
            set(found "${directory}")
        endif()
    endforeach()
    set(${result} "${found}" PARENT_SCOPE)
endfunction()

set(_duplex_asio_root "${DUPLEX_ASIO_ROOT}")
if(NOT _duplex_asio_root AND FETCHCONTENT_SOURCE_DIR_ASIO)
    set(_duplex_asio_root "${FETCHCONTENT_SOURCE_DIR_ASIO}")
endif()

if(_duplex_asio_root)
    _duplex_asio_below("${_duplex_asio_root}" Asio_LOCATION)
    if(NOT Asio_LOCATION)
        set(_duplex_asio_reason "there is no asio.hpp in ${_duplex_asio_root}")
    endif()
else()
    if(NOT TARGET asio::asio)
        find_package(asio CONFIG QUIET)
        if(TARGET asio::asio)
            # duplex::duplex may be used from a directory above this one.
            get_target_property(_duplex_asio_imported asio::asio IMPORTED)
            get_target_property(_duplex_asio_alias asio::asio ALIASED_TARGET)
            if(_duplex_asio_imported AND NOT _duplex_asio_alias)
                set_target_properties(asio::asio PROPERTIES IMPORTED_GLOBAL TRUE)
            endif()
        endif()
    endif()
    if(TARGET asio::asio)
        set(Asio_LOCATION asio::asio)
    else()
        find_path(Asio_INCLUDE_DIR asio.hpp)
        mark_as_advanced(Asio_INCLUDE_DIR)
        if(Asio_INCLUDE_DIR)
            set(Asio_LOCATION "${Asio_INCLUDE_DIR}")
        endif()
    endif()
endif()

if(Asio_LOCATION STREQUAL "asio::asio")
    get_target_property(_duplex_asio_directories asio::asio INTERFACE_INCLUDE_DIRECTORIES)
    foreach(_duplex_asio_directory IN LISTS _duplex_asio_directories)
        if(NOT Asio_VERSION)
            string(REGEX REPLACE "^\\$<BUILD_INTERFACE:(.*)>$" "\\1" _duplex_asio_directory "${_duplex_asio_directory}")
            _duplex_asio_version("${_duplex_asio_directory}" Asio_VERSION)
        endif()
    endforeach()
elseif(Asio_LOCATION)
    _duplex_asio_version("${Asio_LOCATION}" Asio_VERSION)
endif()
if(Asio_VERSION AND Asio_VERSION VERSION_LESS _duplex_asio_minimum)
    set(_duplex_asio_reason "Asio ${Asio_VERSION} (${Asio_LOCATION}) is older than ${_duplex_asio_minimum}, which duplex needs")
    message(STATUS "${_duplex_asio_reason}")
    set(Asio_LOCATION "")
    set(Asio_VERSION "")
endif()

if(NOT Asio_LOCATION AND NOT _duplex_asio_root AND DUPLEX_FETCH_ASIO)
    message(STATUS "Asio is not on this system, downloading it (DUPLEX_FETCH_ASIO=OFF forbids this)")
    include(FetchContent)
    FetchContent_Declare(
        asio
        GIT_REPOSITORY https://github.com/chriskohlhoff/asio.git
        GIT_TAG 8806a6803cde7054c3049d3666d3ec36786568c5 # asio-1-38-2
    )
    FetchContent_MakeAvailable(asio)
    if(TARGET asio::asio)
        set(Asio_LOCATION asio::asio)
    else()
        _duplex_asio_below("${asio_SOURCE_DIR}" Asio_LOCATION)
        _duplex_asio_version("${Asio_LOCATION}" Asio_VERSION)
    endif()
endif()

if(NOT Asio_VERSION)
    unset(Asio_VERSION)
endif()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Asio REQUIRED_VARS Asio_LOCATION VERSION_VAR Asio_VERSION
                                  REASON_FAILURE_MESSAGE "${_duplex_asio_reason}")

if(Asio_FOUND)
    add_library(duplex::asio INTERFACE IMPORTED GLOBAL)
    if(Asio_LOCATION STREQUAL "asio::asio")
        target_link_libraries(duplex::asio INTERFACE asio::asio)
        target_include_directories(duplex::asio SYSTEM
                                   INTERFACE $<TARGET_PROPERTY:asio::asio,INTERFACE_INCLUDE_DIRECTORIES>)
    else()
        target_include_directories(duplex::asio SYSTEM INTERFACE "${Asio_LOCATION}")
    endif()
endif()
