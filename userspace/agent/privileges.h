// Whether this process may do what the agent does.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace fairlead::agent {

// PERMISSION_DENIED naming the capabilities that this process lacks.
absl::Status CheckPrivileges();

// The same for the text of /proc/PID/status.
absl::Status CheckPrivilegesOf(absl::string_view proc_status);

}  // namespace fairlead::agent
