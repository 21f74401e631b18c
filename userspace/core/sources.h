// The lists of who may open connections to a service: what may be put on them.
// Each change is done whole or refused whole, with the prefix and the remedy.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "core/model.h"

namespace fairlead::core {

// Of the address family that the service's clients have.
absl::Status CheckSources(const Service& service);

// Errors: a prefix of the other family, given twice, or listed already.
absl::Status ListPrefixes(const std::vector<base::IpPrefix>& prefixes,
                          SourceRule rule, Service& service);
// NOT_FOUND: a prefix is on no list.
absl::Status UnlistPrefixes(const std::vector<base::IpPrefix>& prefixes,
                            Service& service);

struct SourceCounts {
  size_t allowed = 0;
  size_t denied = 0;
};
SourceCounts CountSources(const SourceList& sources);
// Of all services together.
size_t CountPrefixes(const DesiredState& desired);

// May `source` open connections? `by` is the prefix that decides, or null.
struct SourceVerdict {
  bool admitted = true;
  const base::IpPrefix* by = nullptr;
};
SourceVerdict JudgeSource(const SourceList& sources,
                          const base::IpAddress& source);

// "203.0.113.0/24, 198.51.100.0/24 and 3 more".
std::string DescribePrefixes(std::span<const base::IpPrefix> prefixes);
// "deny 3, allow 1: all others are refused".
std::string DescribeSources(const SourceList& sources);

// "100 new connections a second, 200 at once, from each /32". Requires: a rate.
std::string DescribeRate(const Service& service);
// "100 connections of each /32". Requires: a limit.
std::string DescribeMost(const Service& service);

// FAILED_PRECONDITION, with the remedy: there is no room to count connections
// of sources on this host, and the service has a limit for them.
absl::Status CheckCounted(const Service& service, const TableSizes& sizes);

absl::string_view ToString(SourceRule value);

}  // namespace fairlead::core
