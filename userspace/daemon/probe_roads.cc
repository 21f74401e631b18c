#include "daemon/probe_roads.h"

#include <algorithm>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "core/check_list.h"
#include "fairlead/abi/probe.h"
#include "fairlead/abi/verdict.h"

namespace fairlead::daemon {
namespace {

using core::ProbeOutcome;
using core::ProbeResult;

// A probe is one packet wherever it fits, whatever is put in front of it.
constexpr int kLargestSegment = 1024;

// The larger one of an interface's and all interfaces' is in force.
int Ipv4Sysctl(const std::string& device, const std::string& name) {
  int largest = 0;
  for (const std::string& of : {std::string("all"), device}) {
    std::ifstream file(absl::StrCat("/proc/sys/net/ipv4/conf/", of, "/", name));
    int value = 0;
    if (file >> value) largest = std::max(largest, value);
  }
  return largest;
}

// Whoever has connected has found the VIP.
bool MayBeTheVips(const ProbeResult& result) {
  return result.step == core::ProbeStep::kConnect &&
         (result.outcome == ProbeOutcome::kTimeout ||
          result.outcome == ProbeOutcome::kRefused ||
          result.outcome == ProbeOutcome::kUnreachable);
}

ProbeResult Later(std::string why) {
  ProbeResult later;
  later.outcome = ProbeOutcome::kLate;
  later.detail = std::move(why);
  return later;
}

}  // namespace

event::Task<ProbeResult> ProbeRoads::Probe(core::ProbeRequest request) {
  if (!request.by_vip.has_value())
    co_return co_await ProbeDirectly(std::move(request));
  const Choice choice = Choose(request);
  if (!choice.why_later.empty()) co_return Later(choice.why_later);
  if (choice.road.has_value())
    co_return co_await ProbeVip(std::move(request), *choice.road);
  ProbeResult result = co_await ProbeDirectly(std::move(request));
  result.why_direct = choice.why_direct;
  co_return result;
}

ProbeRoads::Choice ProbeRoads::Choose(const core::ProbeRequest& request) {
  const base::IpAddress& vip = request.by_vip->vip.address;
  if (parts_.path == nullptr)
    return {.why_direct = std::string(parts_.why_none.message())};
  if (stopped_) return {.why_direct = "the node is detached"};
  if (request.by_vip->too_early)
    return {.why_later = "its agent has not been told the service yet"};
  const auto hop = hops_.find(request.address);
  if (hop == hops_.end())
    return {.why_later = "how it is reached is not known yet"};
  if (!hop->second.has_value())
    return {.why_direct = "there is no next hop for its address"};
  const std::string& device = hop->second->interface_name;
  if (std::string why = PrepareDevice(device); !why.empty())
    return {.why_direct = std::move(why)};
  if (std::string why = WhyLocal(vip, device); !why.empty())
    return {.why_direct = std::move(why)};
  if (const auto lost = lost_.find({vip, device});
      lost != lost_.end() && parts_.loop.Now() < lost->second.until)
    return {.why_direct = lost->second.reason};
  Choice choice;
  choice.road =
      event::SocketRoad{.mark = datapath::ProbePath::MarkOf(request.by_vip->id),
                        .device = device,
                        .largest_segment = kLargestSegment};
  const std::optional<base::IpAddress>& own =
      vip.is_ipv4() ? parts_.addresses.ipv4 : parts_.addresses.ipv6;
  if (own.has_value() && parts_.local_addresses.count(*own) != 0)
    choice.road->source = own;
  return choice;
}

std::string ProbeRoads::PrepareDevice(const std::string& device) {
  const auto found = devices_.find(device);
  if (found != devices_.end()) return found->second;
  const absl::Status used = parts_.path->Use(device);
  return devices_[device] = std::string(used.message());
}

// Its answers would come from an address of this host.
std::string ProbeRoads::WhyLocal(const base::IpAddress& vip,
                                 const std::string& device) {
  if (!vip.is_ipv4() || parts_.local_addresses.count(vip) == 0 ||
      Ipv4Sysctl(device, "accept_local") != 0)
    return "";
  return absl::StrCat(vip.ToString(),
                      " is an address of this host, which takes no packets "
                      "from it: remove the address, or set "
                      "net.ipv4.conf.",
                      device, ".accept_local=1");
}

event::Task<ProbeResult> ProbeRoads::ProbeDirectly(core::ProbeRequest request) {
  // Named: g++ 12 destroys an aggregate temporary in a co_await twice.
  probe::Target target{request.address, request.port, request.check, {}};
  co_return co_await prober_.Run(std::move(target));
}

event::Task<ProbeResult> ProbeRoads::ProbeVip(core::ProbeRequest request,
                                              event::SocketRoad road) {
  const base::Endpoint vip = request.by_vip->vip;
  const core::BackendId id = request.by_vip->id;
  const uint64_t sent = parts_.path->Sent(id);
  probe::Target target{vip.address, vip.port, request.check, road};
  ProbeResult result = co_await prober_.Run(std::move(target));
  result.via = core::CheckVia::kVip;
  if (result.outcome == ProbeOutcome::kLate) co_return result;
  if (parts_.path->Sent(id) == sent) {
    // Whatever came of it, it is nothing about the backend.
    std::string reason = absl::StrCat(
        "no packet to ", vip.address.ToString(), " leaves this host by ",
        road.device, ": give it a route there, such as: ip route replace ",
        vip.address.ToString(), " via GATEWAY dev ", road.device);
    lost_[{vip.address, road.device}] = {parts_.loop.Now() + kLostRoadHold,
                                         reason};
    // Somebody may have taken the program off.
    devices_.erase(road.device);
    co_return Later(std::move(reason));
  }
  lost_.erase({vip.address, road.device});
  if (!MayBeTheVips(result)) co_return result;
  co_return co_await LookAgain(std::move(request), std::move(result),
                               road.device);
}

event::Task<ProbeResult> ProbeRoads::LookAgain(core::ProbeRequest request,
                                               ProbeResult failed,
                                               std::string device) {
  const bool refused = failed.outcome == ProbeOutcome::kRefused;
  const base::Endpoint endpoint = request.by_vip->vip;
  const std::string vip = endpoint.ToString();
  const base::Endpoint straight{request.address, request.port};
  request.check.kind = core::CheckKind::kTcp;
  request.check.timeout = std::min(request.check.timeout, kSecondLook);
  const ProbeResult again = co_await ProbeDirectly(std::move(request));
  if (again.outcome != ProbeOutcome::kSuccess &&
      (refused || again.outcome != ProbeOutcome::kRefused))
    co_return failed;
  if (refused) {
    failed.outcome = ProbeOutcome::kVipRefused;
    failed.detail =
        absl::StrCat("refused at ", vip, ", though ", straight.ToString(),
                     " connects: no server listens on the VIP there");
    co_return failed;
  }
  failed.outcome = ProbeOutcome::kVipTimeout;
  failed.detail = absl::StrCat("no answer from ", vip, ", though ",
                               straight.ToString(), " answers: ",
                               "is the VIP an address there, and does its "
                               "agent or tunnel take packets?");
  if (const int filter = Ipv4Sysctl(device, "rp_filter");
      endpoint.address.is_ipv4() && filter != 0)
    absl::StrAppend(&failed.detail, " (rp_filter of ", device, " here is ",
                    filter, ", which may refuse the answer)");
  co_return failed;
}

void ProbeRoads::OnNextHop(const base::IpAddress& address,
                           const std::optional<core::NextHop>& hop) {
  hops_[address] = hop;
  devices_.clear();
}

void ProbeRoads::OnDesiredChanged(const core::DesiredState& desired) {
  std::set<base::IpAddress> vips, addresses;
  std::set<std::string> devices;
  for (const auto& [name, service] : desired.services) {
    const std::vector<core::CheckRef> checks = core::ChecksOf(service);
    const bool by_vip = std::any_of(
        checks.begin(), checks.end(), [](const core::CheckRef& check) {
          return check.config->via == core::CheckVia::kVip;
        });
    if (by_vip) vips.insert(service.vip.address);
    for (const auto& [backend_name, backend] : service.backends) {
      addresses.insert(backend.address);
      const auto hop = hops_.find(backend.address);
      if (by_vip && hop != hops_.end() && hop->second.has_value())
        devices.insert(hop->second->interface_name);
    }
  }
  absl::erase_if(
      hops_, [&](const auto& hop) { return addresses.count(hop.first) == 0; });
  absl::erase_if(lost_, [&](const auto& lost) {
    return vips.count(lost.first.first) == 0;
  });
  if (parts_.path == nullptr) return;
  // What stays is tried again with the next change.
  parts_.path->KeepOnly(devices).IgnoreError();
  devices_.clear();
}

std::vector<std::string> ProbeRoads::Alarms() const {
  constexpr absl::string_view kWhat =
      "checks go straight to backends, not via their VIP: ";
  std::vector<std::string> alarms;
  if (parts_.path == nullptr)
    alarms.push_back(absl::StrCat(kWhat, parts_.why_none.message()));
  for (const auto& [device, why] : devices_)
    if (!why.empty()) alarms.push_back(absl::StrCat(kWhat, why));
  // One that has been tried again and has left is not among them.
  for (const auto& [road, lost] : lost_)
    alarms.push_back(absl::StrCat(kWhat, lost.reason));
  if (std::string stalled = prober_.stalls().Alarm(); !stalled.empty())
    alarms.push_back(std::move(stalled));
  return alarms;
}

std::vector<uint64_t> ProbeRoads::VerdictCounts() const {
  if (parts_.path != nullptr) {
    const absl::StatusOr<std::vector<uint64_t>> counts =
        parts_.path->Verdicts();
    if (counts.ok()) return *counts;
  }
  return std::vector<uint64_t>(FL_PROBE_VERDICT_COUNT);
}

}  // namespace fairlead::daemon
