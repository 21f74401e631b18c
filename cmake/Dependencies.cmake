# Every library that Fairlead uses and does not own. All are in Debian 12; tools/setup names the packages.
find_package(PkgConfig REQUIRED)
find_package(absl REQUIRED)
find_package(CLI11 REQUIRED)
find_package(Catch2 2 REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(OpenSSL REQUIRED COMPONENTS Crypto SSL)
find_package(Boost 1.74 REQUIRED)
find_package(Threads REQUIRED)
pkg_check_modules(libbpf REQUIRED IMPORTED_TARGET libbpf>=1.1)
pkg_check_modules(liburing REQUIRED IMPORTED_TARGET liburing>=2.3)
pkg_check_modules(libmnl REQUIRED IMPORTED_TARGET libmnl)
pkg_check_modules(tomlplusplus REQUIRED IMPORTED_TARGET tomlplusplus)

# Debian's package has no .pc file.
find_path(FL_WSLAY_INCLUDE wslay/wslay.h REQUIRED)
find_library(FL_WSLAY_LIBRARY wslay REQUIRED)
add_library(wslay::wslay UNKNOWN IMPORTED)
set_target_properties(wslay::wslay PROPERTIES
  IMPORTED_LOCATION ${FL_WSLAY_LIBRARY} INTERFACE_INCLUDE_DIRECTORIES ${FL_WSLAY_INCLUDE})
