# Finds libdeflate 1.0 or newer and defines the target duplex::libdeflate, whose users have DUPLEX_LIBDEFLATE defined.
#
# Asked in this order: its own package, which it has from 1.15 on where CMake built it, and the usual paths
# (Libdeflate_ROOT and CMAKE_PREFIX_PATH included).
#
# Sets Libdeflate_FOUND and Libdeflate_VERSION.

if(TARGET duplex::libdeflate)
    set(Libdeflate_FOUND TRUE)
    return()
endif()

set(_duplex_libdeflate "")
set(_duplex_targets libdeflate::libdeflate_shared libdeflate::libdeflate_static)
set(_duplex_targets_before "")
foreach(_duplex_target IN LISTS _duplex_targets)
    if(TARGET ${_duplex_target})
        list(APPEND _duplex_targets_before ${_duplex_target})
    endif()
endforeach()
find_package(libdeflate CONFIG QUIET)
foreach(_duplex_target IN LISTS _duplex_targets)
    if(NOT _duplex_libdeflate AND TARGET ${_duplex_target})
        set(_duplex_libdeflate ${_duplex_target})
    endif()
endforeach()
if(_duplex_libdeflate)
    set(Libdeflate_VERSION "${libdeflate_VERSION}")
    # duplex::deflate may be used from a directory above this one; what was found there is known there.
    if(NOT _duplex_libdeflate IN_LIST _duplex_targets_before)
        set_target_properties(${_duplex_libdeflate} PROPERTIES IMPORTED_GLOBAL TRUE)
    endif()
else()
    find_path(Libdeflate_INCLUDE_DIR libdeflate.h)
    find_library(Libdeflate_LIBRARY NAMES deflate libdeflate)
    mark_as_advanced(Libdeflate_INCLUDE_DIR Libdeflate_LIBRARY)
    set(Libdeflate_VERSION "")
    if(Libdeflate_INCLUDE_DIR)
        file(STRINGS "${Libdeflate_INCLUDE_DIR}/libdeflate.h" _duplex_line REGEX "^#define LIBDEFLATE_VERSION_STRING")
        if(_duplex_line MATCHES "\"([0-9.]+)\"")
            set(Libdeflate_VERSION "${CMAKE_MATCH_1}")
        endif()
        unset(_duplex_line)
    endif()
    if(Libdeflate_INCLUDE_DIR AND Libdeflate_LIBRARY)
        set(_duplex_libdeflate "${Libdeflate_LIBRARY}")
    endif()
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Libdeflate REQUIRED_VARS _duplex_libdeflate VERSION_VAR Libdeflate_VERSION
                                  REASON_FAILURE_MESSAGE "libdeflate.h and its library were not found")

if(Libdeflate_FOUND)
    add_library(duplex::libdeflate INTERFACE IMPORTED GLOBAL)
    set_target_properties(duplex::libdeflate PROPERTIES INTERFACE_COMPILE_DEFINITIONS DUPLEX_LIBDEFLATE
                                                        INTERFACE_LINK_LIBRARIES "${_duplex_libdeflate}")
    if(Libdeflate_INCLUDE_DIR)
        set_target_properties(duplex::libdeflate PROPERTIES
                              INTERFACE_INCLUDE_DIRECTORIES "${Libdeflate_INCLUDE_DIR}")
    endif()
endif()
unset(_duplex_libdeflate)
unset(_duplex_targets)
unset(_duplex_targets_before)
