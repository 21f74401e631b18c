// Scanner: how many live sockets each service has on this host, and in which of
// its rows, counted by the kernel's own walk over all TCP sockets.
//
// A scan is complete when it ends well; one that fails leaves nothing behind.
// A socket that changes its place in the kernel's tables during a walk may be
// missed by it; so a row is owned if either of the last two scans says so.
// Its number grows with every scan, also over restarts of the agent within one
// boot. The walk runs on the ring, so the loop goes on meanwhile.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agent/agent_maps.h"
#include "agent/syn_cookies.h"
#include "agent/tables.h"
#include "base/ip_address.h"
#include "base/mono_time.h"
#include "core/row_set.h"
#include "event/loop.h"
#include "event/sync.h"
#include "event/task.h"
#include "tier/keys.h"

struct sockets;  // the skeleton of bpf/sockets.bpf.c

namespace fairlead::agent {

// A request takes a scan that began less than this before.
inline constexpr absl::Duration kScanFreshness = absl::Milliseconds(500);

struct ServiceSockets {
  base::Endpoint vip;
  uint64_t live = 0;
  uint64_t handshakes = 0;  // of them: the client has not answered yet
  bool by_source = false;
  core::RowSet owned;  // rows with a live socket in this scan or the one before
};

struct Scan {
  uint64_t number = 0;
  base::MonoTime begun;
  // The scan before, of the same services; nothing: there was none.
  std::optional<base::MonoTime> previous_begun;
  // Since the host's start:
  uint64_t syn_cookies = 0;              // that it has sent
  uint64_t overflows = 0;                // of listeners' queues
  std::vector<ServiceSockets> services;  // sorted by VIP
};

class Scanner {
 public:
  // `maps` are the pinned ones: fl_vips, and fl_sources, which may be missing.
  // `tables` is what fl_vips holds; it changes only while `tables_mutex` is
  // held. Both outlive the scanner.
  static absl::StatusOr<std::unique_ptr<Scanner>> Create(
      event::Loop& loop, const AgentMapFds& maps, const tier::HashKey& hash_key,
      const Tables& tables, event::Mutex& tables_mutex);
  Scanner(const Scanner&) = delete;
  Scanner& operator=(const Scanner&) = delete;
  ~Scanner();

  // A fresh scan; those who ask at the same time share one. What was counted
  // before the services or their rows changed is forgotten.
  event::Task<absl::StatusOr<Scan>> Latest();

 private:
  struct Kernel;
  // A service, and where its rows are in fl_owned.
  struct Place {
    base::Endpoint vip;
    uint32_t index = 0;  // into fl_sockets
    uint32_t rows = 0;
    bool by_source = false;
    uint32_t first_row = 0;

    friend bool operator==(const Place&, const Place&) = default;
  };

  Scanner(event::Loop& loop, const AgentMapFds& maps,
          const tier::HashKey& hash_key, const Tables& tables,
          event::Mutex& tables_mutex);
  // `rows`: of all services together, at least.
  absl::Status Load(uint32_t rows);
  // All require that the mutex is held.
  absl::Status PlaceRows();
  event::Task<absl::Status> Walk();
  event::Task<void> Collect(Scan& scan);
  event::Task<absl::Status> ReadCounters(Scan& scan);

  event::Loop& loop_;
  const AgentMapFds maps_;
  const tier::HashKey hash_key_;
  const Tables& tables_;
  event::Mutex& mutex_;
  std::unique_ptr<Kernel> kernel_;
  std::vector<Place> places_;  // of all services, sorted by VIP
  uint64_t last_number_ = 0;
  uint32_t walks_ = 0;
  // The last one that ended well with these places; 0: none.
  uint32_t complete_walk_ = 0;
  base::MonoTime last_begun_;
  std::optional<Scan> last_;
};

}  // namespace fairlead::agent
