# fl_bpf_object(NAME SOURCE): compiles one entry program with clang -target bpf and generates its skeleton
# <NAME>.skel.h. Fails loudly: an object that cannot be linked or opened by bpftool never becomes a header.

find_program(FL_BPF_CLANG NAMES clang-14 clang REQUIRED)
find_program(FL_BPFTOOL NAMES bpftool PATHS /usr/sbin REQUIRED)

set(FL_BPF_FLAGS -g -O2 -mcpu=v3 -target bpf -Wall -Wextra -Werror -Wno-unused-function
  -I${PROJECT_SOURCE_DIR}/include -I${PROJECT_SOURCE_DIR}/bpf -idirafter /usr/include/x86_64-linux-gnu)

function(fl_bpf_object name source)
  set(object ${CMAKE_CURRENT_BINARY_DIR}/${name}.bpf.o)
  set(skeleton ${CMAKE_CURRENT_BINARY_DIR}/${name}.skel.h)
  add_custom_command(
    OUTPUT ${object}
    COMMAND ${FL_BPF_CLANG} ${FL_BPF_FLAGS} -MD -MF ${object}.d -c ${CMAKE_CURRENT_SOURCE_DIR}/${source} -o ${object}
    DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${source}
    DEPFILE ${object}.d
    COMMENT "BPF ${source}" VERBATIM)
  add_custom_command(
    OUTPUT ${skeleton}
    COMMAND ${FL_BPFTOOL} gen skeleton ${object} name ${name} > ${skeleton}.tmp
    COMMAND ${CMAKE_COMMAND} -E rename ${skeleton}.tmp ${skeleton}
    DEPENDS ${object} VERBATIM)
  add_custom_target(${name}_object DEPENDS ${object} ${skeleton})
  add_library(${name}_skeleton INTERFACE)
  add_dependencies(${name}_skeleton ${name}_object)
  target_include_directories(${name}_skeleton SYSTEM INTERFACE ${CMAKE_CURRENT_BINARY_DIR})
  target_link_libraries(${name}_skeleton INTERFACE PkgConfig::libbpf)
endfunction()
