#include "core/sources.h"

#include <algorithm>

#include "absl/container/btree_set.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "base/text.h"

namespace fairlead::core {
namespace {

// Of those that a message names.
constexpr size_t kNamed = 4;

absl::Status CheckFamily(const base::IpPrefix& prefix, const Service& service) {
  const bool is_ipv4 = service.vip.address.is_ipv4();
  if (prefix.is_ipv4() == is_ipv4) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "prefix ", prefix.ToString(), ": the service is at ",
      service.vip.ToString(), ", whose clients have ",
      is_ipv4 ? "IPv4" : "IPv6", " addresses; list it for the service at an ",
      is_ipv4 ? "IPv6" : "IPv4", " address"));
}

absl::Status CheckOnce(const std::vector<base::IpPrefix>& prefixes) {
  if (prefixes.empty())
    return absl::InvalidArgumentError("no prefix is given; name one at least");
  absl::btree_set<base::IpPrefix> seen;
  for (const base::IpPrefix& prefix : prefixes) {
    if (!seen.insert(prefix).second)
      return absl::InvalidArgumentError(
          absl::StrCat("prefix ", prefix.ToString(),
                       " is given twice; leave one of them out"));
  }
  return absl::OkStatus();
}

absl::Status ListedAlready(const base::IpPrefix& prefix, SourceRule has,
                           SourceRule wanted) {
  const std::string text = prefix.ToString();
  if (has == wanted)
    return absl::AlreadyExistsError(
        absl::StrCat("prefix ", text, " is on the ", ToString(has),
                     " list already; leave it out"));
  return absl::AlreadyExistsError(
      absl::StrCat("prefix ", text, " is on the ", ToString(has),
                   " list; unlist it first, or list a longer prefix of it"));
}

}  // namespace

absl::string_view ToString(SourceRule value) {
  return value == SourceRule::kAllow ? "allow" : "deny";
}

absl::Status CheckSources(const Service& service) {
  for (const auto& [prefix, rule] : service.sources)
    FL_RETURN_IF_ERROR(CheckFamily(prefix, service));
  return absl::OkStatus();
}

absl::Status ListPrefixes(const std::vector<base::IpPrefix>& prefixes,
                          SourceRule rule, Service& service) {
  FL_RETURN_IF_ERROR(CheckOnce(prefixes));
  for (const base::IpPrefix& prefix : prefixes) {
    FL_RETURN_IF_ERROR(CheckFamily(prefix, service));
    const auto found = service.sources.find(prefix);
    if (found != service.sources.end())
      return ListedAlready(prefix, found->second, rule);
  }
  for (const base::IpPrefix& prefix : prefixes) service.sources[prefix] = rule;
  return absl::OkStatus();
}

absl::Status UnlistPrefixes(const std::vector<base::IpPrefix>& prefixes,
                            Service& service) {
  FL_RETURN_IF_ERROR(CheckOnce(prefixes));
  for (const base::IpPrefix& prefix : prefixes) {
    if (service.sources.contains(prefix)) continue;
    std::vector<std::string> have;
    for (const auto& [listed, rule] : service.sources) {
      if (have.size() == kNamed) break;
      have.push_back(listed.ToString());
    }
    return absl::NotFoundError(
        absl::StrCat("prefix ", prefix.ToString(), " is on no list",
                     base::Hint(prefix.ToString(), have)));
  }
  for (const base::IpPrefix& prefix : prefixes) service.sources.erase(prefix);
  return absl::OkStatus();
}

SourceCounts CountSources(const SourceList& sources) {
  SourceCounts counts;
  for (const auto& [prefix, rule] : sources)
    ++(rule == SourceRule::kAllow ? counts.allowed : counts.denied);
  return counts;
}

size_t CountPrefixes(const DesiredState& desired) {
  size_t count = 0;
  for (const auto& [name, service] : desired.services)
    count += service.sources.size();
  return count;
}

SourceVerdict JudgeSource(const SourceList& sources,
                          const base::IpAddress& source) {
  SourceVerdict verdict = {.admitted = CountSources(sources).allowed == 0};
  for (const auto& [prefix, rule] : sources) {
    if (!prefix.Contains(source)) continue;
    if (verdict.by != nullptr && verdict.by->bits > prefix.bits) continue;
    verdict = {.admitted = rule == SourceRule::kAllow, .by = &prefix};
  }
  return verdict;
}

std::string DescribePrefixes(std::span<const base::IpPrefix> prefixes) {
  std::string text;
  const size_t named = std::min(prefixes.size(), kNamed);
  for (const base::IpPrefix& prefix : prefixes.first(named))
    absl::StrAppend(&text, text.empty() ? "" : ", ", prefix.ToString());
  if (prefixes.size() > named)
    absl::StrAppend(&text, " and ", prefixes.size() - named, " more");
  return text;
}

std::string DescribeRate(const Service& service) {
  const SourceRate& source = service.source_rate;
  return absl::StrCat(
      source.rate, " new connections a second, ",
      source.burst == 0 ? source.rate : source.burst, " at once, from each /",
      service.vip.address.is_ipv4() ? source.length4 : source.length6);
}

std::string DescribeMost(const Service& service) {
  const SourceRate& source = service.source_rate;
  return absl::StrCat(
      source.most, source.most == 1 ? " connection" : " connections",
      " of each /",
      service.vip.address.is_ipv4() ? source.length4 : source.length6);
}

absl::Status CheckCounted(const Service& service, const TableSizes& sizes) {
  if (service.source_rate.most == 0 || sizes.conn_sets > 1)
    return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "source conns ", service.source_rate.most,
      ": this host counts no connections of sources; set counted_sources in "
      "section [tables] of the node config to how many sources have "
      "connections at once, twice that to be safe, and restart fairleadd; or "
      "set source-conns to 0"));
}

std::string DescribeSources(const SourceList& sources) {
  const SourceCounts counts = CountSources(sources);
  if (sources.empty()) return "no prefixes: everybody is admitted";
  return absl::StrCat("deny ", counts.denied, ", allow ", counts.allowed,
                      ": all others are ",
                      counts.allowed == 0 ? "admitted" : "refused");
}

}  // namespace fairlead::core
