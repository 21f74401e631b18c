// Loads the LB host's program into the kernel: sets the sizes of its maps and
// its configuration, takes over maps that are pinned already, has the verifier
// look at it. Pins and attaches nothing.
#pragma once

#include <array>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"
#include "core/model.h"
#include "fairlead/abi/config.h"

namespace fairlead::datapath {

// All pinned maps; each is pinned under its name.
inline constexpr std::array<absl::string_view, 9> kMapNames = {
    "fl_services", "fl_rows",      "fl_backends",  "fl_load",  "fl_flows",
    "fl_verdicts", "fl_svc_stats", "fl_bkd_stats", "fl_leases"};

struct LoadedMap {
  base::UniqueFd fd;
  bool adopted = false;  // was pinned; else it is new and empty
};

struct LoadedProgram {
  base::UniqueFd program;
  std::array<LoadedMap, kMapNames.size()> maps;  // in the order of kMapNames
  // Of fairlead/abi/trace.h; never pinned.
  base::UniqueFd trace, traced;
};

// Maps pinned in `pins` are used; they must have the shape that is wanted now.
// `config` must agree with `sizes`.
absl::StatusOr<LoadedProgram> LoadProgram(const fl_config& config,
                                          const core::TableSizes& sizes,
                                          const std::string& pins);

// Errors: a size that the tables cannot have.
absl::Status CheckSizes(const core::TableSizes& sizes);

}  // namespace fairlead::datapath
