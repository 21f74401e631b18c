#include <bpf/libbpf.h>  // <- finding

int Update(int fd) {
  return bpf_map_update_elem(fd, nullptr, nullptr, 0);  // <- finding
}
