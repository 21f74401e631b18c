// RouteWatcher: keeps the next hop of every outer address right, from the
// kernel's routes, neighbours and links. It listens to the kernel's
// notifications on the loop's ring and asks again when something changed, and
// from time to time anyway: a neighbour that only XDP talks to would otherwise
// grow stale unnoticed.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/ip_address.h"
#include "base/unique_fd.h"
#include "core/model.h"
#include "datapath/next_hop.h"
#include "event/loop.h"
#include "event/sync.h"
#include "event/task.h"

namespace fairlead::routes {

// Everything is asked anew this often, whatever the kernel said.
inline constexpr absl::Duration kRefreshInterval = absl::Seconds(5);
// While an address has no next hop.
inline constexpr absl::Duration kUnresolvedInterval = absl::Milliseconds(500);
// Notifications come in flocks; one pass answers them all.
inline constexpr absl::Duration kSettleTime = absl::Milliseconds(10);
// For the answer of the kernel to one request.
inline constexpr absl::Duration kAnswerTimeout = absl::Seconds(2);

class RouteWatcher {
 public:
  // Without a next hop `reason` says why, for people. Called when the answer
  // for an address changes, and once after Watch().
  using OnChange = absl::AnyInvocable<void(const base::IpAddress&,
                                           const std::optional<core::NextHop>&,
                                           absl::string_view reason)>;

  // `ingress`: see NetworkView.
  static absl::StatusOr<std::unique_ptr<RouteWatcher>> Create(
      event::Loop& loop, OnChange on_change, std::set<uint32_t> ingress = {});
  RouteWatcher(const RouteWatcher&) = delete;
  RouteWatcher& operator=(const RouteWatcher&) = delete;

  // What is watched already stays as it is.
  void Watch(const base::IpAddress& address);
  void Unwatch(const base::IpAddress& address);
  // Watches exactly these.
  void WatchOnly(const std::set<base::IpAddress>& addresses);

  // Until its scope is cancelled.
  event::Task<void> Run();

  // The addresses that the host's own stack answers for, as of the last pass.
  const std::set<base::IpAddress>& local_addresses() const { return local_; }
  // The links as of the last pass.
  const datapath::NetworkView& network() const { return view_; }
  // Why the last pass ended early, if it did.
  const absl::Status& last_pass() const { return last_pass_; }
  // Notified after each pass.
  event::Event& passed() { return passed_; }

 private:
  struct Watched {
    bool told = false;
    std::optional<core::NextHop> next_hop;
    std::string reason;
  };

  struct Sockets {
    base::UniqueFd requests, notifications;
    base::UniqueFd generic;  // requests, too
  };

  RouteWatcher(event::Loop& loop, OnChange on_change,
               std::set<uint32_t> ingress, Sockets sockets);

  // Wakes Run() when the kernel notifies.
  event::Task<void> Listen();
  event::Task<absl::Status> Pass();
  event::Task<absl::Status> LookUp(base::IpAddress address);
  event::Task<absl::Status> Resolve(const datapath::NeighbourKey& neighbour);
  event::Task<absl::Status> Dump(std::vector<uint8_t> request);
  event::Task<absl::Status> DumpXdpAbilities();
  // Sends `request` and hands every message that answers it to `on_message`,
  // until that says it was the last.
  event::Task<absl::Status> Exchange(
      const base::UniqueFd& socket, std::vector<uint8_t> request,
      absl::AnyInvocable<bool(const datapath::NetlinkMessage&)> on_message);
  bool AllResolved() const;

  event::Loop& loop_;
  OnChange on_change_;
  const std::set<uint32_t> ingress_;
  const Sockets sockets_;
  // Of datapath::kNetdevFamily; 0: the kernel has none.
  std::optional<uint16_t> netdev_family_;
  uint32_t sequence_ = 0;
  absl::btree_map<base::IpAddress, Watched> watched_;
  datapath::NetworkView view_;
  std::set<base::IpAddress> local_;
  absl::Status last_pass_;
  event::Event changed_;
  event::Event passed_;
};

}  // namespace fairlead::routes
