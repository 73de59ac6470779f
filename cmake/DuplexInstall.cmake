# Install rules: the headers, and a package for find_package(duplex). Nothing in it depends on an architecture.
include(CMakePackageConfigHelpers)

set(duplex_package_directory "${CMAKE_INSTALL_DATADIR}/cmake/duplex")

# Two export sets, so that a user of duplex::core alone needs no Asio. duplex::tls and duplex::deflate are made by the
# package itself: OpenSSL, zlib and libdeflate need to be where duplex is used, not where it was installed.
install(TARGETS duplex_core EXPORT duplex_core_targets)
install(TARGETS duplex EXPORT duplex_targets)
install(EXPORT duplex_core_targets FILE duplexCoreTargets.cmake NAMESPACE duplex::
        DESTINATION "${duplex_package_directory}" COMPONENT duplex)
install(EXPORT duplex_targets FILE duplexTargets.cmake NAMESPACE duplex::
        DESTINATION "${duplex_package_directory}" COMPONENT duplex)

install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/duplex" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" COMPONENT duplex)

configure_package_config_file("${CMAKE_CURRENT_LIST_DIR}/duplexConfig.cmake.in"
                              "${PROJECT_BINARY_DIR}/duplexConfig.cmake"
                              INSTALL_DESTINATION "${duplex_package_directory}")
write_basic_package_version_file("${PROJECT_BINARY_DIR}/duplexConfigVersion.cmake"
                                 COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES "${PROJECT_BINARY_DIR}/duplexConfig.cmake" "${PROJECT_BINARY_DIR}/duplexConfigVersion.cmake"
              "${CMAKE_CURRENT_LIST_DIR}/DuplexCompiled.cmake"
              "${CMAKE_CURRENT_LIST_DIR}/FindAsio.cmake" "${CMAKE_CURRENT_LIST_DIR}/FindLibdeflate.cmake"
        DESTINATION "${duplex_package_directory}" COMPONENT duplex)
