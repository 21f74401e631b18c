// ConnLimit: how many more flows one backend may be given, by its max-conn.
//
// A connection counts once it is confirmed: by the backend's agent, or where
// there is none by segments of the client more than 10 s apart. Until the next
// count, the packet path gives the backend as many flows as there is room for,
// counted when the client has answered the SYN+ACK (fl_load.begun): then it is
// full. So a flood of SYNs takes no room at all, and a wave of clients fills a
// backend and stops there. What is behind handshakes that were forged to their
// end (SYN, then ACK, from addresses that are not the sender's) never becomes a
// connection: the room is multiplied by how many flows of late it takes for one
// connection.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>

#include "base/mono_time.h"
#include "core/model.h"

namespace fairlead::core {

inline constexpr uint32_t kMostConnections = 100'000'000;  // of one backend

// The packet path goes by a bound for so long. A daemon that is gone keeps
// nobody out.
inline constexpr absl::Duration kBoundLifetime = absl::Seconds(60);

class ConnLimit {
 public:
  // Nobody has counted yet: what has begun by now is not known to live.
  explicit ConnLimit(uint64_t begun) : reference_(begun) {}

  // A walk over the flow table is over.
  void OnFlows(const FlowCounts& counts, const LoadReport& load,
               const AgentReport& agent, base::MonoTime now);
  // A report with presence kPresent.
  void OnAgent(const AgentReport& report, const LoadReport& load,
               base::MonoTime now);

  bool has_counted() const { return has_counted_; }
  // The backend is full once so many flows have begun here, at one of so many
  // LB hosts: of the room that its agent's count leaves each takes its share;
  // where this host's count is all there is, of max-conn.
  uint64_t Bound(uint64_t max_conn, size_t lb_hosts) const;
  // Connections: those confirmed, and what has begun since.
  uint64_t Estimate(uint64_t begun) const;

 private:
  struct Sample {
    base::MonoTime at;
    uint64_t begun = 0;
  };
  // Flows that had begun by `when`, or a little earlier.
  uint64_t BegunBy(base::MonoTime when) const;
  void AddSample(uint64_t begun, base::MonoTime now);

  bool has_counted_ = false;
  bool counted_all_ = false;  // the connections of all LB hosts
  uint64_t confirmed_ = 0;    // connections
  // Of fl_load.begun: what had begun when they were counted, but for these,
  // which may be connections that are not confirmed yet.
  uint64_t reference_ = 0;
  uint64_t fresh_ = 0;
  // Of so many flows, so many were connections.
  uint64_t judged_ = 0;
  uint64_t real_ = 0;

  uint64_t settled_ = 0;  // of the last walk
  std::deque<Sample> samples_;
};

}  // namespace fairlead::core
