// Scanner: how many live sockets each service has on this host, counted by the
// kernel's own walk over all TCP sockets.
//
// A scan is complete when it ends well; one that fails leaves nothing behind.
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
#include "agent/tables.h"
#include "base/ip_address.h"
#include "base/mono_time.h"
#include "event/loop.h"
#include "event/sync.h"
#include "event/task.h"

struct sockets;  // the skeleton of bpf/sockets.bpf.c

namespace fairlead::agent {

// A request takes a scan that began less than this before.
inline constexpr absl::Duration kScanFreshness = absl::Milliseconds(500);

struct ServiceSockets {
  base::Endpoint vip;
  uint64_t live = 0;
};

struct Scan {
  uint64_t number = 0;
  base::MonoTime begun;
  std::vector<ServiceSockets> services;  // sorted by VIP
};

class Scanner {
 public:
  // `vips_map` is the pinned fl_vips. `tables` is what it holds; it changes
  // only while `tables_mutex` is held. Both outlive the scanner.
  static absl::StatusOr<std::unique_ptr<Scanner>> Create(
      event::Loop& loop, int vips_map, const Tables& tables,
      event::Mutex& tables_mutex);
  Scanner(const Scanner&) = delete;
  Scanner& operator=(const Scanner&) = delete;
  ~Scanner();

  // A fresh scan; those who ask at the same time share one.
  event::Task<absl::StatusOr<Scan>> Latest();

  // The services have changed: the next request scans.
  void Forget() { last_.reset(); }

 private:
  struct Kernel;
  Scanner(event::Loop& loop, const Tables& tables, event::Mutex& tables_mutex,
          std::unique_ptr<Kernel> kernel);
  // Requires: the mutex is held.
  event::Task<absl::Status> Walk();

  event::Loop& loop_;
  const Tables& tables_;
  event::Mutex& mutex_;
  std::unique_ptr<Kernel> kernel_;
  uint64_t last_number_ = 0;
  std::optional<Scan> last_;
};

}  // namespace fairlead::agent
