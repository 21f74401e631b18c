#include <linux/bpf.h>  // <- finding
