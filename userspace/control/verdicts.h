// The verdicts of fl_lb and fl_probe by name, from the list that the packet
// path is compiled from.
#pragma once

#include <span>

#include "absl/strings/string_view.h"
#include "fairlead/abi/verdict.h"

namespace fairlead::control {

struct VerdictInfo {
  absl::string_view name;    // "TX_HIT"
  absl::string_view action;  // "TX"
  absl::string_view help;
};

// By enum fl_lb_verdict.
std::span<const VerdictInfo> LbVerdicts();
// By enum fl_probe_verdict.
std::span<const VerdictInfo> CheckVerdicts();

}  // namespace fairlead::control
