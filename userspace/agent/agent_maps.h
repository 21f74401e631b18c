// The agent's pinned maps, read and written entry by entry. Every write is
// atomic for the packet path: it sees the old entry or the new one.
//
// Borrows the descriptors from the AgentProgram that owns the maps.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/tables.h"

namespace fairlead::agent {

struct AgentMapFds {
  int vips = -1;
  int peers = -1;
  int sources = -1;
  int verdicts = -1;
  int learned = -1;
  int state = -1;
};

class AgentMaps {
 public:
  explicit AgentMaps(const AgentMapFds& fds) : fds_(fds) {}

  // Everything that the maps hold. Requires: nobody else writes.
  absl::StatusOr<Tables> Read() const;

  // RESOURCE_EXHAUSTED if the map is full; the entry is unchanged on error.
  absl::Status Apply(const Step& step);

  // By enum fl_agent_verdict.
  absl::StatusOr<std::vector<uint64_t>> Verdicts() const;

  int vips() const { return fds_.vips; }

 private:
  AgentMapFds fds_;
};

}  // namespace fairlead::agent
