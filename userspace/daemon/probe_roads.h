// ProbeRoads: by which road a check's probe leaves the host, and what it means
// if it fails there. A probe by way of the VIP goes where clients' packets go;
// where this host cannot send it there, it goes straight to the backend, and
// every view of it says why: a fault of this host takes no backend out.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/status/status.h"
#include "base/ip_address.h"
#include "base/mono_time.h"
#include "config/node_config.h"
#include "core/model.h"
#include "datapath/probe_path.h"
#include "event/loop.h"
#include "event/socket.h"
#include "event/task.h"
#include "probe/probe.h"

namespace fairlead::daemon {

// So long a road is not tried again on which a probe did not leave.
inline constexpr absl::Duration kLostRoadHold = absl::Seconds(30);
// How long a second probe, straight to the backend, may take to tell what is
// wrong with the first.
inline constexpr absl::Duration kSecondLook = absl::Milliseconds(300);

class ProbeRoads {
 public:
  // `path`: null, and then `why_none`, if the kernel has refused its program.
  // Others are borrowed.
  struct Parts {
    event::Loop& loop;
    const config::HostAddresses& addresses;
    const std::set<base::IpAddress>& local_addresses;
    std::unique_ptr<datapath::ProbePath> path;
    absl::Status why_none;
  };

  explicit ProbeRoads(Parts parts)
      : parts_(std::move(parts)), prober_(parts_.loop) {}
  ProbeRoads(const ProbeRoads&) = delete;
  ProbeRoads& operator=(const ProbeRoads&) = delete;

  event::Task<core::ProbeResult> Probe(core::ProbeRequest request);

  void OnNextHop(const base::IpAddress& address,
                 const std::optional<core::NextHop>& hop);
  void OnDesiredChanged(const core::DesiredState& desired);
  // Probes were due that long ago.
  void OnLate(absl::Duration late) { prober_.stalls().Note(late); }
  // From here on no probe goes by way of a VIP: the node is being detached.
  void Stop() { stopped_ = true; }
  // A line for each reason why probes by way of a VIP do not go that way, and
  // for probes that this host was late for.
  std::vector<std::string> Alarms() const;
  // By enum fl_probe_verdict.
  std::vector<uint64_t> VerdictCounts() const;

 private:
  // A VIP and a device that its probes would leave by.
  using Road = std::pair<base::IpAddress, std::string>;
  struct Lost {
    base::MonoTime until;
    std::string reason;
  };
  struct Choice {
    std::optional<event::SocketRoad> road;
    std::string why_direct;
    std::string why_later;
  };

  Choice Choose(const core::ProbeRequest& request);
  // Why no probe can leave by the device; empty: it can.
  std::string PrepareDevice(const std::string& device);
  std::string WhyLocal(const base::IpAddress& vip, const std::string& device);
  event::Task<core::ProbeResult> ProbeDirectly(core::ProbeRequest request);
  event::Task<core::ProbeResult> ProbeVip(core::ProbeRequest request,
                                          event::SocketRoad road);
  // What a probe straight to the backend says of one that failed.
  event::Task<core::ProbeResult> LookAgain(core::ProbeRequest request,
                                           core::ProbeResult failed,
                                           std::string device);

  const Parts parts_;
  probe::Prober prober_;
  // Told so far.
  absl::btree_map<base::IpAddress, std::optional<core::NextHop>> hops_;
  // Devices with the program, or why not, since the last change of next hops.
  absl::btree_map<std::string, std::string> devices_;
  absl::btree_map<Road, Lost> lost_;
  bool stopped_ = false;
};

}  // namespace fairlead::daemon
