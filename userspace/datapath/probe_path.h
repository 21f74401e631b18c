// ProbePath: the road of health checks through the data path. A socket that
// connects to a VIP with MarkOf(backend) has its segments encapsulated for that
// backend on their way out, by bpf/probe.bpf.c, as clients' are.
//
// The program stays on the interfaces when the daemon is gone: without checks
// it does nothing, but that resets of connections which the daemon left go
// where those connections were.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "core/model.h"
#include "datapath/egress_hooks.h"
#include "datapath/map_fds.h"
#include "datapath/mapped_array.h"
#include "fairlead/abi/config.h"

namespace fairlead::datapath {

struct ProbePathOptions {
  std::string pin_path = "/sys/fs/bpf/fairlead";
  fl_config config = {};  // as of the Program
  core::TableSizes sizes;
  MapFds maps;  // of the Program
  EgressHooks::Kind kind = EgressHooks::Kind::kBest;
};

class ProbePath {
 public:
  // Loads the program and has it take the place of one that an earlier daemon
  // left. Errors: the kernel refuses it.
  static absl::StatusOr<std::unique_ptr<ProbePath>> Open(
      const ProbePathOptions& options);
  // Takes it off all interfaces and removes what is pinned, with or without a
  // daemon.
  static absl::Status Remove(const std::string& pin_path);

  ProbePath(const ProbePath&) = delete;
  ProbePath& operator=(const ProbePath&) = delete;

  static uint32_t MarkOf(core::BackendId backend);

  // Attaches it, also where somebody has taken it off. Errors: the kernel
  // refuses.
  absl::Status Use(const std::string& interface);
  // Takes it off the interfaces that are not named.
  absl::Status KeepOnly(const std::set<std::string>& interfaces);

  // Segments of checks that were sent to the backend since Open().
  uint64_t Sent(core::BackendId backend) const;
  // By enum fl_probe_verdict.
  absl::StatusOr<std::vector<uint64_t>> Verdicts() const;
  int program_fd() const { return program_.get(); }

 private:
  ProbePath(EgressHooks hooks, base::UniqueFd program, base::UniqueFd verdicts,
            MappedArray<uint64_t> sent)
      : hooks_(std::move(hooks)),
        program_(std::move(program)),
        verdicts_(std::move(verdicts)),
        sent_(std::move(sent)) {}

  const EgressHooks hooks_;
  const base::UniqueFd program_, verdicts_;
  const MappedArray<uint64_t> sent_;
  std::set<uint32_t> used_;  // interfaces
};

}  // namespace fairlead::datapath
