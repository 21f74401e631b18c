// The bodies of the control API's changes: bytes in, commands out. Types and
// forms are checked here, the rules of what may be asked for are core's.
//
// Pure. INVALID_ARGUMENT names the field and the value.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/ip_address.h"
#include "base/ip_prefix.h"
#include "control/json.h"
#include "core/commands.h"

namespace fairlead::control {

inline constexpr size_t kMaxChangeBytes = size_t{64} << 10;

struct ChangeOptions {
  // Refused if the state has moved on.
  std::optional<uint64_t> if_generation;
  bool dry_run = false;
};

struct ChangeRequest {
  core::Command command;
  ChangeOptions options;
};

struct DetachRequest {
  bool force = false;
  ChangeOptions options;
};

// "ADDRESS:PORT", "ADDRESS:PORT/tcp".
absl::StatusOr<base::Endpoint> ParseVip(absl::string_view text);
// Refuses a port and says why there is none.
absl::StatusOr<base::IpAddress> ParseBackendAddress(absl::string_view text);
absl::StatusOr<core::Policy> ParsePolicy(absl::string_view text);
absl::StatusOr<core::Encap> ParseEncap(absl::string_view text);
absl::StatusOr<core::Shed> ParseShed(absl::string_view text);
absl::StatusOr<core::Guarantee> ParseGuarantee(absl::string_view text);
absl::StatusOr<core::CheckKind> ParseCheckKind(absl::string_view text);
absl::StatusOr<core::CheckVia> ParseCheckVia(absl::string_view text);

// An array of texts; empty if there is none. Problems are the reader's.
std::vector<base::IpPrefix> ReadPrefixes(ObjectReader& reader,
                                         absl::string_view name);
// The fields of "check".
void ReadCheckSettings(ObjectReader& check, core::ServiceSettings& settings);

absl::StatusOr<ChangeRequest> ReadAddService(absl::string_view body);
absl::StatusOr<ChangeRequest> ReadSetService(const std::string& service,
                                             absl::string_view body);
absl::StatusOr<ChangeRequest> ReadDeleteService(const std::string& service,
                                                absl::string_view body);
absl::StatusOr<ChangeRequest> ReadClearTombstone(const std::string& vip,
                                                 absl::string_view body);

// {"prefixes": ["203.0.113.0/24"]}
absl::StatusOr<ChangeRequest> ReadListSources(const std::string& service,
                                              core::SourceRule rule,
                                              absl::string_view body);
// The same, or {"all": true}.
absl::StatusOr<ChangeRequest> ReadUnlistSources(const std::string& service,
                                                absl::string_view body);

absl::StatusOr<ChangeRequest> ReadAddCheck(const std::string& service,
                                           absl::string_view body);
struct CheckPath {
  std::string service;
  std::string check;
};
absl::StatusOr<ChangeRequest> ReadSetCheck(const CheckPath& path,
                                           absl::string_view body);
absl::StatusOr<ChangeRequest> ReadDeleteCheck(const CheckPath& path,
                                              absl::string_view body);
// Which check is to be made, {"check": "live"}; nullopt: all.
absl::StatusOr<std::optional<std::string>> ReadCheckRunBody(
    absl::string_view body);

// Which backend a change is for.
struct BackendPath {
  std::string service;
  std::string backend;  // name or address
};
absl::StatusOr<ChangeRequest> ReadAddBackend(const std::string& service,
                                             absl::string_view body);
absl::StatusOr<ChangeRequest> ReadSetBackend(const BackendPath& path,
                                             absl::string_view body);
absl::StatusOr<ChangeRequest> ReadDeleteBackend(const BackendPath& path,
                                                absl::string_view body);
absl::StatusOr<ChangeRequest> ReadSetAdmin(const BackendPath& path,
                                           core::Admin admin,
                                           absl::string_view body);

absl::StatusOr<DetachRequest> ReadDetach(absl::string_view body);

}  // namespace fairlead::control
