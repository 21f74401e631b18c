// What names, addresses and settings may be. Every refusal names the value and
// the remedy; the caller adds the object.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/commands.h"
#include "core/model.h"

namespace fairlead::core {

inline constexpr size_t kLongestName = 63;
inline constexpr uint32_t kDefaultRows = 16384;
inline constexpr uint16_t kDefaultAgentPort = 6082;

// [a-z0-9], then up to 62 of [a-z0-9._-]; not an address.
absl::Status CheckName(absl::string_view name);
// As CheckName(), or the text of `address` itself.
absl::Status CheckBackendName(absl::string_view name,
                              const base::IpAddress& address);
// Of a host that packets can be sent to.
absl::Status CheckAddress(const base::IpAddress& address);
absl::Status CheckWeight(int weight);
// 0: any number.
absl::Status CheckMaxConn(uint32_t max_conn);
absl::Status CheckAcceptRate(uint32_t accept_rate);

// Lays `settings` over a new service with its name and VIP only, or over one
// that exists: what is unset gets its default, or stays. On error `service` is
// spoilt.
absl::Status CompleteSettings(const ServiceSettings& settings,
                              Service& service);
absl::Status ChangeSettings(const ServiceSettings& settings, Service& service);

// All the rules for a service and its backends, however they came about.
absl::Status CheckService(const Service& service);
// All services, and that no VIP is twice in it.
absl::Status CheckDesired(const DesiredState& desired);

// Backends that `rows` rows can take.
uint32_t MostBackends(uint32_t rows);

// "off" or "50%"
std::string PanicText(int percent);
absl::StatusOr<int> ParsePanic(absl::string_view text);

// Setting -> text, in a fixed order: what the audit log compares.
std::vector<std::pair<std::string, std::string>> DescribeSettings(
    const Service& service);

}  // namespace fairlead::core
