// What the packet path counts, summed over the CPUs, and the table of verdicts
// that names it.
//
// Reads race with the kernel: each sum is right as of some moment of the call,
// and never goes back.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/model.h"
#include "datapath/map_fds.h"
#include "fairlead/abi/stats.h"

namespace fairlead::datapath {

struct VerdictInfo {
  absl::string_view name;    // "TX_HIT"
  absl::string_view action;  // "TX"
  absl::string_view help;
};

// By enum fl_lb_verdict.
std::span<const VerdictInfo> LbVerdicts();
// By enum fl_agent_verdict.
std::span<const VerdictInfo> AgentVerdicts();

// The sum over all CPUs of each of the first `count` entries of a per-CPU array
// of 64-bit counters. `name` is the map's, for errors.
absl::StatusOr<std::vector<uint64_t>> SumPerCpu(int map, uint32_t count,
                                                absl::string_view name);

class Stats {
 public:
  // Borrows the fds.
  explicit Stats(const MapFds& maps) : maps_(maps) {}

  // By enum fl_lb_verdict.
  absl::StatusOr<std::vector<uint64_t>> Verdicts() const;
  absl::StatusOr<fl_service_stats> Service(core::ServiceId id) const;
  absl::StatusOr<fl_source_stats> Sources(core::ServiceId id) const;
  absl::StatusOr<fl_backend_stats> Backend(core::BackendId id) const;

 private:
  MapFds maps_;
};

}  // namespace fairlead::datapath
