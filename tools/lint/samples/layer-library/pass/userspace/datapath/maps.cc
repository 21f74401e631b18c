#include <bpf/bpf.h>
#include <bpf/libbpf.h>

int Update(int fd) { return bpf_map_update_elem(fd, nullptr, nullptr, 0); }
