// The only three functions through which errno becomes a Status.
//
// `what` names the call and its object ("open /etc/fairlead/tier.key"). A
// likely environment error carries its remedy.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace fairlead::base {

// For a plain system call that has just failed: reads errno.
absl::Status SyscallError(absl::string_view what);

// For bpf(2) and libbpf: `err` is -errno or +errno. E2BIG from a map is
// RESOURCE_EXHAUSTED here, not INVALID_ARGUMENT; EPERM says which capabilities
// are needed.
absl::Status BpfError(int err, absl::string_view what);

// For an io_uring completion: `res` is -errno.
absl::Status UringError(int res, absl::string_view what);

}  // namespace fairlead::base
