#include "core/settings.h"

#include <algorithm>
#include <bit>

#include "absl/container/btree_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"
#include "base/text.h"
#include "core/check_config.h"
#include "core/check_list.h"
#include "core/conn_limit.h"
#include "core/refusal.h"
#include "core/slow_start.h"
#include "core/sources.h"
#include "core/syn_budget.h"
#include "fairlead/abi/limits.h"
#include "fairlead/abi/maps.h"

namespace fairlead::core {
namespace {

bool IsLowerAlnum(char c) {
  return absl::ascii_isdigit(static_cast<unsigned char>(c)) ||
         absl::ascii_islower(static_cast<unsigned char>(c));
}

absl::Status CheckRows(uint32_t rows) {
  if (std::has_single_bit(rows) && rows >= FL_MIN_ROW_COUNT &&
      rows <= FL_MAX_ROW_COUNT)
    return absl::OkStatus();
  return Refuse("rows", absl::StrCat(rows),
                absl::StrCat("must be a power of two from ", FL_MIN_ROW_COUNT,
                             " to ", FL_MAX_ROW_COUNT));
}

absl::Status CheckChoices(const Service& service) {
  FL_RETURN_IF_ERROR(CheckRange("choices", service.choices, 1, FL_MAX_CHOICES));
  if (service.policy == Policy::kLeastConn || service.choices == 1)
    return absl::OkStatus();
  return Refuse("choices", absl::StrCat(service.choices),
                absl::StrCat("policy ", ToString(service.policy),
                             " has 1, more need policy least-conn"));
}

template <typename T>
void Lay(const std::optional<T>& setting, T& field) {
  if (setting) field = *setting;
}

absl::Status LaySettings(const ServiceSettings& settings, Service& service) {
  const Policy old_policy = service.policy;
  const CheckConfig old_check = service.check;
  Lay(settings.policy, service.policy);
  if (service.policy != old_policy)
    service.choices = service.policy == Policy::kLeastConn ? 2 : 1;
  Lay(settings.choices, service.choices);
  Lay(settings.encap, service.encap);
  Lay(settings.shed, service.shed);
  Lay(settings.need, service.need);
  Lay(settings.syn_budget, service.syn_budget);
  Lay(settings.agent_port, service.agent_port);
  Lay(settings.guarantee, service.guarantee);
  Lay(settings.source_rate, service.source_rate.rate);
  Lay(settings.source_burst, service.source_rate.burst);
  Lay(settings.source_conns, service.source_rate.most);
  Lay(settings.source_length4, service.source_rate.length4);
  Lay(settings.source_length6, service.source_rate.length6);
  Lay(settings.slow_start, service.slow_start);
  Lay(settings.panic_percent, service.panic_percent);
  Lay(settings.assume_up, service.assume_up);
  Lay(settings.flap_damping, service.flap_damping);
  LayCheck(settings, service.check);
  FL_RETURN_IF_ERROR(CheckApplies(old_check, service.check));
  return CheckService(service);
}

// The packet path's clock may stand still for ten milliseconds: a burst is at
// least what a rate allows in that time.
absl::Status CheckSourceRate(const SourceRate& source) {
  FL_RETURN_IF_ERROR(
      CheckRange("source rate", source.rate, 0, FL_MAX_SOURCE_RATE));
  FL_RETURN_IF_ERROR(
      CheckRange("source burst", source.burst, 0, FL_MAX_SOURCE_BURST));
  FL_RETURN_IF_ERROR(
      CheckRange("source conns", source.most, 0, FL_MAX_SOURCE_CONNS));
  FL_RETURN_IF_ERROR(CheckRange("source prefix4", source.length4, 1, 32));
  FL_RETURN_IF_ERROR(CheckRange("source prefix6", source.length6, 1, 128));
  constexpr uint32_t kPauses = 100;  // of the clock, in a second
  if (source.burst == 0 || uint64_t{source.burst} * kPauses >= source.rate)
    return absl::OkStatus();
  return Refuse("source burst", absl::StrCat(source.burst),
                absl::StrCat("must be ", (source.rate + kPauses - 1) / kPauses,
                             " at least for a rate of ", source.rate,
                             ", or 0: as the rate"));
}

absl::Status CheckSlowStart(absl::Duration over) {
  if (over == absl::ZeroDuration() ||
      (kShortestSlowStart <= over && over <= kLongestSlowStart))
    return absl::OkStatus();
  return Refuse("slow-start", absl::FormatDuration(over),
                "must be 1s to 1h, or off");
}

absl::Status CheckBackends(const Service& service) {
  absl::btree_set<base::IpAddress> seen;
  for (const auto& [name, backend] : service.backends) {
    FL_RETURN_IF_ERROR(CheckBackendName(name, backend.address), "backend");
    const std::string who = absl::StrCat("backend ", base::Quoted(name));
    FL_RETURN_IF_ERROR(CheckAddress(backend.address), who);
    FL_RETURN_IF_ERROR(CheckWeight(backend.weight), who);
    FL_RETURN_IF_ERROR(CheckMaxConn(backend.max_conn), who);
    FL_RETURN_IF_ERROR(CheckAcceptRate(backend.accept_rate), who);
    if (!seen.insert(backend.address).second)
      return base::Annotate(Refuse("address", backend.address.ToString(),
                                   "another backend has it"),
                            who);
    if (backend.address == service.vip.address)
      return base::Annotate(
          Refuse("address", backend.address.ToString(),
                 "is the VIP's; name the backend's own address"),
          who);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckName(absl::string_view name) {
  const bool letters = std::all_of(name.begin(), name.end(), [](char c) {
    return IsLowerAlnum(c) || c == '.' || c == '_' || c == '-';
  });
  if (name.empty() || name.size() > kLongestName || !letters ||
      !IsLowerAlnum(name[0]))
    return Refuse(
        "name", base::Quoted(name),
        absl::StrCat("must be 1 to ", kLongestName,
                     " of a-z 0-9 . _ -, the first a letter or digit"));
  if (base::IpAddress::Parse(name).ok())
    return Refuse("name", base::Quoted(name), "must not be an address");
  return absl::OkStatus();
}

absl::Status CheckBackendName(absl::string_view name,
                              const base::IpAddress& address) {
  if (name == address.ToString()) return absl::OkStatus();
  return CheckName(name);
}

absl::Status CheckAddress(const base::IpAddress& address) {
  const std::string text = address.ToString();
  const auto refuse = [&](absl::string_view kind) {
    return Refuse("address", text,
                  absl::StrCat("is ", kind, "; name the address of one host"));
  };
  if (address.is_unspecified() || address == base::IpAddress::FromIpv4(0))
    return refuse("the unspecified address");
  if (address.is_loopback()) return refuse("a loopback address");
  if (address.is_multicast()) return refuse("a multicast address");
  if (address == base::IpAddress::FromIpv4(0xffffffff))
    return refuse("the broadcast address");
  return absl::OkStatus();
}

absl::Status CheckWeight(int weight) {
  if (1 <= weight && weight <= FL_MAX_WEIGHT) return absl::OkStatus();
  return Refuse(
      "weight", absl::StrCat(weight),
      absl::StrCat("must be 1 to ", FL_MAX_WEIGHT,
                   weight == 0 ? "; to take no new flows, drain it" : ""));
}

absl::Status CheckMaxConn(uint32_t max_conn) {
  if (max_conn <= kMostConnections) return absl::OkStatus();
  return Refuse("max-conn", absl::StrCat(max_conn),
                absl::StrCat("must be 1 to ", kMostConnections, ", or off"));
}

absl::Status CheckAcceptRate(uint32_t accept_rate) {
  if (accept_rate <= FL_MAX_ACCEPT_RATE) return absl::OkStatus();
  return Refuse(
      "accept-rate", absl::StrCat(accept_rate),
      absl::StrCat("must be 1 to ", FL_MAX_ACCEPT_RATE, " a second, or off"));
}

absl::Status CompleteSettings(const ServiceSettings& settings,
                              Service& service) {
  service.rows = settings.rows.value_or(kDefaultRows);
  service.agent_port = kDefaultAgentPort;
  const bool has_hop_lists =
      settings.encap.value_or(service.encap) == Encap::kGue;
  service.guarantee = settings.agent_port == 0 || !has_hop_lists
                          ? Guarantee::kFlowTable
                          : Guarantee::kSockets;
  if (settings.check_interval && *settings.check_interval >= kShortestInterval)
    service.check.timeout =
        std::min(service.check.timeout, *settings.check_interval);
  return LaySettings(settings, service);
}

absl::Status ChangeSettings(const ServiceSettings& settings, Service& service) {
  if (settings.rows && *settings.rows != service.rows)
    return Refuse("rows", absl::StrCat(*settings.rows),
                  absl::StrCat("fixed at ", service.rows,
                               " when the service was created"));
  return LaySettings(settings, service);
}

absl::Status CheckService(const Service& service) {
  FL_RETURN_IF_ERROR(CheckName(service.name));
  FL_RETURN_IF_ERROR(CheckAddress(service.vip.address), "vip");
  FL_RETURN_IF_ERROR(CheckRange("vip port", service.vip.port, 1, 65535));
  FL_RETURN_IF_ERROR(CheckRows(service.rows));
  FL_RETURN_IF_ERROR(CheckChoices(service));
  if (service.guarantee == Guarantee::kSockets && service.encap != Encap::kGue)
    return Refuse("guarantee", ToString(service.guarantee),
                  absl::StrCat("needs encap gue, which carries hop lists to "
                               "agents; with encap ",
                               ToString(service.encap),
                               " the guarantee is flow-table: set both, or "
                               "stay with gue"));
  if (service.guarantee == Guarantee::kSockets && service.agent_port == 0)
    return Refuse("guarantee", ToString(service.guarantee),
                  "needs agents on the backends, and an agent port that is "
                  "not 0; without agents it is flow-table");
  FL_RETURN_IF_ERROR(CheckRange("need", service.need, 1, FL_MAX_BACKENDS - 1));
  FL_RETURN_IF_ERROR(CheckChecks(service));
  FL_RETURN_IF_ERROR(CheckSources(service));
  FL_RETURN_IF_ERROR(CheckSourceRate(service.source_rate));
  FL_RETURN_IF_ERROR(CheckSlowStart(service.slow_start));
  FL_RETURN_IF_ERROR(CheckRange("panic", service.panic_percent, 0, 100));
  if (service.backends.size() > MostBackends(service.rows))
    return absl::ResourceExhaustedError(absl::StrCat(
        service.rows, " rows take at most ", MostBackends(service.rows),
        " backends; create the service with more rows"));
  return CheckBackends(service);
}

uint32_t MostBackends(uint32_t rows) { return rows / FL_ROWS_PER_BACKEND; }

std::string PanicText(int percent) {
  return percent == 0 ? "off" : absl::StrCat(percent, "%");
}

absl::StatusOr<int> ParsePanic(absl::string_view text) {
  if (text == "off") return 0;
  int percent = 0;
  if (absl::EndsWith(text, "%") &&
      absl::SimpleAtoi(absl::StripSuffix(text, "%"), &percent) &&
      percent >= 1 && percent <= 100)
    return percent;
  return absl::InvalidArgumentError(
      absl::StrCat(base::Quoted(text),
                   " is no panic threshold: must be off, or a part of the "
                   "backends from 1% to 100%"));
}

std::vector<std::pair<std::string, std::string>> DescribeSettings(
    const Service& service) {
  std::vector<std::pair<std::string, std::string>> settings = {
      {"policy", std::string(ToString(service.policy))},
      {"choices", absl::StrCat(service.choices)},
      {"encap", std::string(ToString(service.encap))},
      {"shed", std::string(ToString(service.shed))},
      {"need", absl::StrCat(service.need)},
      {"syn-budget", ToString(service.syn_budget)},
      {"rows", absl::StrCat(service.rows)},
      {"agent-port", absl::StrCat(service.agent_port)},
      {"guarantee", std::string(ToString(service.guarantee))},
      {"source-rate", absl::StrCat(service.source_rate.rate)},
      {"source-burst", absl::StrCat(service.source_rate.burst)},
      {"source-conns", absl::StrCat(service.source_rate.most)},
      {"source-prefix4", absl::StrCat(service.source_rate.length4)},
      {"source-prefix6", absl::StrCat(service.source_rate.length6)},
      {"slow-start", SlowStartText(service.slow_start)},
      {"panic", PanicText(service.panic_percent)},
      {"assume-up", service.assume_up ? "on" : "off"},
      {"flap-damping", service.flap_damping ? "on" : "off"},
  };
  for (auto& setting : DescribeCheck(service.check))
    settings.push_back(std::move(setting));
  return settings;
}

absl::Status CheckDesired(const DesiredState& desired) {
  absl::btree_set<base::Endpoint> vips;
  for (const auto& [name, service] : desired.services) {
    FL_RETURN_IF_ERROR(CheckService(service), "service ", base::Quoted(name));
    if (vips.insert(service.vip).second) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("service ", base::Quoted(name), ": vip ",
                     service.vip.ToString(), " belongs to another service"));
  }
  for (const auto& [vip, tombstone] : desired.tombstones) {
    if (vips.contains(vip))
      return absl::InvalidArgumentError(
          absl::StrCat("tombstone ", vip.ToString(), ": is a service's VIP"));
  }
  return absl::OkStatus();
}

}  // namespace fairlead::core
