// What the configs of daemon and agent have in common: readers that turn one
// key into one typed value. Each leaves `value` alone if the key is absent or
// wrong; what is wrong has been noted in the section.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/ip_address.h"
#include "config/strict_toml.h"

namespace fairlead::config {

enum class XdpMode : uint8_t { kNative, kGeneric };
enum class Family : uint8_t { kIpv4, kIpv6 };

absl::string_view ToString(XdpMode mode);

// OK if it can name a network interface.
absl::Status CheckInterfaceName(absl::string_view name);
// OK if it can be the name of a node or a group.
absl::Status CheckName(absl::string_view name);

void ReadInteger(TomlSection& section, absl::string_view key,
                 IntegerRange range, uint32_t& value);
void ReadPort(TomlSection& section, absl::string_view key, uint16_t& value);
void ReadXdpMode(TomlSection& section, absl::string_view key, XdpMode& value);
// An absolute path.
void ReadPath(TomlSection& section, absl::string_view key, Presence presence,
              std::string& value);
// As ReadPath, and short enough to be the name of a Unix socket.
void ReadSocketPath(TomlSection& section, absl::string_view key,
                    std::string& value);
void ReadDuration(TomlSection& section, absl::string_view key,
                  absl::Duration min, absl::Duration max,
                  absl::Duration& value);

// The pair of keys `address` (IPv4) and `address6` (IPv6) of this host, of
// which at least one must be there.
struct HostAddresses {
  std::optional<base::IpAddress> ipv4;
  std::optional<base::IpAddress> ipv6;
};
void ReadHostAddresses(TomlSection& section, HostAddresses& value);

}  // namespace fairlead::config
