#include <liburing.h>  // <- finding
