# fl_library, fl_executable and fl_test: one place for language level, warnings and header checks.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_C_STANDARD 11)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_VERIFY_INTERFACE_HEADER_SETS ON)

find_program(FL_CCACHE ccache)
if(FL_CCACHE)
  # Relative paths, so that another clone or build folder finds the same results.
  set(FL_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${FL_CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${FL_LAUNCHER})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${FL_LAUNCHER})
endif()

add_library(fl_options INTERFACE)
target_compile_options(fl_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # g++ 12 reports false positives inside the standard library at -O2 with coroutines and std::string, and members
  # with default initialisers that designated initialisers leave out.
  target_compile_options(fl_options INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-Wno-maybe-uninitialized -Wno-restrict -Wno-dangling-pointer
      -Wno-missing-field-initializers>)
endif()
target_include_directories(fl_options INTERFACE
  ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/userspace)

# fl_library(NAME SOURCES a.cc HEADERS a.h DEPS lib...): one static library per layer.
function(fl_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;HEADERS;DEPS" ${ARGN})
  add_library(${name} STATIC ${arg_SOURCES})
  target_sources(${name} PUBLIC FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR}/userspace FILES ${arg_HEADERS})
  target_link_libraries(${name} PUBLIC ${arg_DEPS} fl_options)
endfunction()

function(fl_executable name)
  cmake_parse_arguments(arg "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_DEPS} fl_options)
endfunction()

# fl_test(NAME LABEL unit SOURCES a_test.cc DEPS lib...): one Catch2 executable, run as one ctest case with one label.
# SHARDS n makes that n cases, NAME_1 to NAME_n, which are told their number in FL_SHARD.
function(fl_test name)
  cmake_parse_arguments(arg "" "LABEL;TIMEOUT;SHARDS" "SOURCES;DEPS" ${ARGN})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_DEPS} fl_catch_main fl_options)
  set(entries)
  if(arg_SHARDS)
    foreach(shard RANGE 1 ${arg_SHARDS})
      add_test(NAME ${name}_${shard} COMMAND ${CMAKE_COMMAND} -E env FL_SHARD=${shard} $<TARGET_FILE:${name}>)
      list(APPEND entries ${name}_${shard})
    endforeach()
  else()
    add_test(NAME ${name} COMMAND ${name})
    set(entries ${name})
  endif()
  set_tests_properties(${entries} PROPERTIES LABELS ${arg_LABEL} TIMEOUT ${arg_TIMEOUT}
    SKIP_REGULAR_EXPRESSION "SKIPPED: ")
endfunction()
