#include "routes/route_watcher.h"

#include <linux/netlink.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <utility>
#include <variant>

#include "base/errors.h"
#include "base/status_macros.h"
#include "event/scope.h"

namespace fairlead::routes {
namespace {

using datapath::NetlinkMessage;

constexpr size_t kDatagramBytes = 32 * 1024;
constexpr int kReceiveBufferBytes = 1024 * 1024;

absl::StatusOr<base::UniqueFd> NetlinkSocket(int protocol, uint32_t groups) {
  base::UniqueFd fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol));
  if (!fd.valid()) return base::SyscallError("open a netlink socket");
  sockaddr_nl address = {};
  address.nl_family = AF_NETLINK;
  address.nl_groups = groups;
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address),
           sizeof(address)) != 0)
    return base::SyscallError("bind a netlink socket");
  // Losing notifications is survived by asking again; a larger buffer makes it
  // rare. Failing to get one is no reason to stop.
  (void)setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &kReceiveBufferBytes,
                   sizeof(kReceiveBufferBytes));
  return fd;
}

std::span<const uint8_t> Bytes(const std::vector<char>& buffer, size_t size) {
  return {reinterpret_cast<const uint8_t*>(buffer.data()), size};
}

}  // namespace

absl::StatusOr<std::unique_ptr<RouteWatcher>> RouteWatcher::Create(
    event::Loop& loop, OnChange on_change, std::set<uint32_t> ingress) {
  Sockets sockets;
  FL_ASSIGN_OR_RETURN(sockets.requests, NetlinkSocket(NETLINK_ROUTE, 0));
  FL_ASSIGN_OR_RETURN(sockets.notifications,
                      NetlinkSocket(NETLINK_ROUTE, datapath::NextHopGroups()));
  FL_ASSIGN_OR_RETURN(sockets.generic, NetlinkSocket(NETLINK_GENERIC, 0));
  return std::unique_ptr<RouteWatcher>(new RouteWatcher(
      loop, std::move(on_change), std::move(ingress), std::move(sockets)));
}

RouteWatcher::RouteWatcher(event::Loop& loop, OnChange on_change,
                           std::set<uint32_t> ingress, Sockets sockets)
    : loop_(loop),
      on_change_(std::move(on_change)),
      ingress_(std::move(ingress)),
      sockets_(std::move(sockets)),
      changed_(loop),
      passed_(loop) {}

void RouteWatcher::Watch(const base::IpAddress& address) {
  if (watched_.try_emplace(address).second) changed_.NotifyAll();
}

void RouteWatcher::Unwatch(const base::IpAddress& address) {
  watched_.erase(address);
}

void RouteWatcher::WatchOnly(const std::set<base::IpAddress>& addresses) {
  for (auto it = watched_.begin(); it != watched_.end();)
    it = addresses.count(it->first) ? std::next(it) : watched_.erase(it);
  for (const base::IpAddress& address : addresses) Watch(address);
}

bool RouteWatcher::AllResolved() const {
  for (const auto& [address, watched] : watched_)
    if (!watched.next_hop.has_value()) return false;
  return true;
}

event::Task<void> RouteWatcher::Run() {
  event::Scope listening(co_await event::CurrentScope());
  listening.Spawn(Listen());
  while (!listening.cancelled()) {
    last_pass_ = co_await Pass();
    if (absl::IsCancelled(last_pass_)) break;
    passed_.NotifyAll();
    const absl::Status waited = co_await changed_.Wait(
        loop_.Now() + (AllResolved() ? kRefreshInterval : kUnresolvedInterval));
    if (absl::IsCancelled(waited)) break;
    const absl::Status settled = co_await loop_.SleepFor(kSettleTime);
    if (absl::IsCancelled(settled)) break;
  }
  listening.Cancel();
  co_await listening.Join();
}

event::Task<void> RouteWatcher::Listen() {
  std::vector<char> buffer(kDatagramBytes);
  while (true) {
    // What changed is not read: a pass asks for everything. ENOBUFS, lost
    // notifications, is no different.
    const absl::StatusOr<size_t> got =
        co_await loop_.Recv(sockets_.notifications.get(), buffer);
    if (absl::IsCancelled(got.status())) co_return;
    changed_.NotifyAll();
  }
}

event::Task<absl::Status> RouteWatcher::Pass() {
  view_ = {};
  view_.ingress = ingress_;
  local_.clear();
  FL_CO_RETURN_IF_ERROR(co_await Dump(datapath::LinkDumpRequest(++sequence_)),
                        "list links");
  FL_CO_RETURN_IF_ERROR(
      co_await Dump(datapath::AddressDumpRequest(++sequence_)),
      "list addresses");
  FL_CO_RETURN_IF_ERROR(
      co_await Dump(datapath::NeighbourDumpRequest(++sequence_)),
      "list neighbours");
  if (!ingress_.empty()) {
    // What is not told is not known, as before Linux 6.3.
    const absl::Status told = co_await DumpXdpAbilities();
    if (absl::IsCancelled(told)) co_return told;
  }
  std::vector<base::IpAddress> addresses;
  for (const auto& [address, watched] : watched_) addresses.push_back(address);
  for (const base::IpAddress& address : addresses)
    FL_CO_RETURN_IF_ERROR(co_await LookUp(address), "look up the route to ",
                          address.ToString());
  co_return absl::OkStatus();
}

event::Task<absl::Status> RouteWatcher::Dump(std::vector<uint8_t> request) {
  co_return co_await Exchange(
      sockets_.requests, std::move(request),
      [this](const NetlinkMessage& message) {
        if (const auto* address =
                std::get_if<datapath::Address>(&message.body)) {
          local_.insert(address->address);
        } else {
          view_.Apply(message);
        }
        return std::holds_alternative<datapath::DumpDone>(message.body);
      });
}

event::Task<absl::Status> RouteWatcher::DumpXdpAbilities() {
  if (!netdev_family_) {
    uint16_t family = 0;
    FL_CO_RETURN_IF_ERROR(co_await Exchange(
        sockets_.generic,
        datapath::FamilyRequest(datapath::kNetdevFamily, ++sequence_),
        [&family](const NetlinkMessage& message) {
          if (const auto* found =
                  std::get_if<datapath::GenericFamily>(&message.body))
            family = found->id;
          return true;
        }));
    netdev_family_ = family;
  }
  if (*netdev_family_ == 0) co_return absl::OkStatus();
  co_return co_await Exchange(
      sockets_.generic,
      datapath::XdpAbilityDumpRequest(*netdev_family_, ++sequence_),
      [this](const NetlinkMessage& message) {
        view_.Apply(message);
        return std::holds_alternative<datapath::DumpDone>(message.body) ||
               std::holds_alternative<datapath::NetlinkError>(message.body);
      });
}

event::Task<absl::Status> RouteWatcher::LookUp(base::IpAddress address) {
  std::optional<datapath::Route> route;
  FL_CO_RETURN_IF_ERROR(co_await Exchange(
      sockets_.requests, datapath::RouteRequest(address, ++sequence_),
      [&route](const NetlinkMessage& message) {
        if (const auto* found = std::get_if<datapath::Route>(&message.body))
          route = *found;
        return true;
      }));
  const datapath::NextHopAnswer answer =
      datapath::FindNextHop(address, route, view_);
  if (answer.neighbour.has_value())
    FL_CO_RETURN_IF_ERROR(co_await Resolve(*answer.neighbour));
  const auto found = watched_.find(address);
  if (found == watched_.end()) co_return absl::OkStatus();
  Watched& watched = found->second;
  if (watched.told && watched.next_hop == answer.next_hop &&
      watched.reason == answer.reason)
    co_return absl::OkStatus();
  watched = {true, answer.next_hop, answer.reason};
  on_change_(address, answer.next_hop, answer.reason);
  co_return absl::OkStatus();
}

// The kernel then probes the neighbour if it has gone stale.
event::Task<absl::Status> RouteWatcher::Resolve(
    const datapath::NeighbourKey& neighbour) {
  co_return co_await Exchange(
      sockets_.requests,
      datapath::ResolveRequest(neighbour.interface, neighbour.address,
                               ++sequence_),
      [](const NetlinkMessage&) { return true; });
}

event::Task<absl::Status> RouteWatcher::Exchange(
    const base::UniqueFd& socket, std::vector<uint8_t> request,
    absl::AnyInvocable<bool(const NetlinkMessage&)> on_message) {
  const uint32_t sequence = sequence_;
  const base::MonoTime deadline = loop_.Now() + kAnswerTimeout;
  FL_CO_RETURN_IF_ERROR(co_await loop_.SendAll(
      socket.get(),
      absl::string_view(reinterpret_cast<const char*>(request.data()),
                        request.size()),
      deadline));
  std::vector<char> buffer(kDatagramBytes);
  while (true) {
    FL_CO_ASSIGN_OR_RETURN(const size_t got,
                           co_await loop_.Recv(socket.get(), buffer, deadline));
    const auto bytes = Bytes(buffer, got);
    const bool is_generic = &socket == &sockets_.generic;
    FL_CO_ASSIGN_OR_RETURN(const std::vector<NetlinkMessage> messages,
                           is_generic ? datapath::ParseGenericNetlink(
                                            bytes, netdev_family_.value_or(0))
                                      : datapath::ParseNetlink(bytes));
    for (const NetlinkMessage& message : messages) {
      // An answer to a request that was given up earlier.
      if (message.sequence != sequence) continue;
      if (on_message(message)) co_return absl::OkStatus();
    }
  }
}

}  // namespace fairlead::routes
