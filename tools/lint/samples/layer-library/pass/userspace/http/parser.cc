#include <boost/beast/http.hpp>

// io_uring_submit() in a comment is no use of liburing.
const char* kText = "bpf_map_update_elem(fd)";
