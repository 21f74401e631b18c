# fl_bpf_object(NAME SOURCE [VARIANT NAME FLAGS ...]): compiles one entry program with clang -target bpf and generates its
# skeleton <NAME>.skel.h, of a variant in a folder of its name. Fails loudly: an object that cannot be linked or opened by
# bpftool never becomes a header.

find_program(FL_BPF_CLANG NAMES clang-14 clang REQUIRED)
find_program(FL_BPFTOOL NAMES bpftool PATHS /usr/sbin REQUIRED)

set(FL_BPF_FLAGS -g -O2 -mcpu=v3 -target bpf -Wall -Wextra -Werror -Wno-unused-function
  -I${PROJECT_SOURCE_DIR}/include -I${PROJECT_SOURCE_DIR}/bpf -idirafter /usr/include/x86_64-linux-gnu)

function(fl_bpf_object name source)
  cmake_parse_arguments(arg "" "VARIANT" "FLAGS" ${ARGN})
  set(folder ${CMAKE_CURRENT_BINARY_DIR})
  set(target ${name})
  if(arg_VARIANT)
    set(folder ${folder}/${arg_VARIANT})
    set(target ${name}_${arg_VARIANT})
    file(MAKE_DIRECTORY ${folder})
  endif()
  cmake_path(ABSOLUTE_PATH source BASE_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR})
  set(object ${folder}/${name}.bpf.o)
  set(skeleton ${folder}/${name}.skel.h)
  add_custom_command(
    OUTPUT ${object}
    COMMAND ${FL_BPF_CLANG} ${FL_BPF_FLAGS} ${arg_FLAGS} -MD -MF ${object}.d -c ${source} -o ${object}
    DEPENDS ${source}
    DEPFILE ${object}.d
    COMMENT "BPF ${target}" VERBATIM)
  add_custom_command(
    OUTPUT ${skeleton}
    COMMAND ${FL_BPFTOOL} gen skeleton ${object} name ${name} > ${skeleton}.tmp
    COMMAND ${CMAKE_COMMAND} -E rename ${skeleton}.tmp ${skeleton}
    DEPENDS ${object} VERBATIM)
  add_custom_target(${target}_object DEPENDS ${object} ${skeleton})
  add_library(${target}_skeleton INTERFACE)
  add_dependencies(${target}_skeleton ${target}_object)
  target_include_directories(${target}_skeleton SYSTEM INTERFACE ${folder})
  target_link_libraries(${target}_skeleton INTERFACE PkgConfig::libbpf)
endfunction()
