#include "config/fields.h"

#include <algorithm>
#include <array>

#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/duration.h"
#include "base/status_macros.h"
#include "base/text.h"

namespace fairlead::config {
namespace {

// IFNAMSIZ and sun_path, each with its final NUL.
constexpr size_t kMaxInterfaceName = 15;
constexpr size_t kMaxSocketPath = 107;
constexpr size_t kMaxPath = 4095;
constexpr size_t kMaxName = 63;

absl::Status CheckPath(absl::string_view path) {
  if (!absl::StartsWith(path, "/") || path.size() > kMaxPath ||
      absl::StrContains(path, '\0')) {
    return absl::InvalidArgumentError(
        absl::StrCat("must be an absolute path, is \"", path, "\""));
  }
  return absl::OkStatus();
}

absl::Status CheckHostAddress(absl::string_view text, Family family) {
  FL_ASSIGN_OR_RETURN(const base::IpAddress address,
                      base::IpAddress::Parse(text));
  if (address.is_ipv4() != (family == Family::kIpv4)) {
    return absl::InvalidArgumentError(
        absl::StrCat("must be an ", family == Family::kIpv4 ? "IPv4" : "IPv6",
                     " address, is \"", text, "\""));
  }
  if (address.is_unspecified() || address.is_loopback() ||
      address.is_multicast()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "must be an address of this host's own, is \"", text, "\""));
  }
  return absl::OkStatus();
}

std::optional<base::IpAddress> ReadHostAddress(TomlSection& section,
                                               absl::string_view key,
                                               Family family, bool& seen) {
  const auto text = section.Text(key, Presence::kOptional, [&](auto value) {
    seen = true;
    return CheckHostAddress(value, family);
  });
  if (!text.has_value()) return std::nullopt;
  return *base::IpAddress::Parse(*text);
}

}  // namespace

absl::string_view ToString(XdpMode mode) {
  return mode == XdpMode::kNative ? "native" : "generic";
}

absl::Status CheckInterfaceName(absl::string_view name) {
  const bool good =
      !name.empty() && name.size() <= kMaxInterfaceName && name != "." &&
      name != ".." && std::all_of(name.begin(), name.end(), [](char c) {
        return absl::ascii_isgraph(static_cast<unsigned char>(c)) && c != '/' &&
               c != ':';
      });
  if (good) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("\"", name, "\" cannot be an interface (1 to ",
                   kMaxInterfaceName, " characters, no space, / or :)"));
}

absl::Status CheckName(absl::string_view name) {
  const bool good =
      !name.empty() && name.size() <= kMaxName &&
      std::all_of(name.begin(), name.end(), [](char c) {
        return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' ||
               c == '_' || c == '.';
      });
  if (good) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("\"", name, "\" cannot be a name (1 to ", kMaxName,
                   " letters, digits, '-', '_' and '.')"));
}

void ReadInteger(TomlSection& section, absl::string_view key,
                 IntegerRange range, uint32_t& value) {
  if (const auto number = section.Integer(key, Presence::kOptional, range))
    value = static_cast<uint32_t>(*number);
}

void ReadPort(TomlSection& section, absl::string_view key, uint16_t& value) {
  if (const auto number =
          section.Integer(key, Presence::kOptional, {.min = 1, .max = 65535}))
    value = static_cast<uint16_t>(*number);
}

void ReadXdpMode(TomlSection& section, absl::string_view key, XdpMode& value) {
  const std::array<std::string, 2> modes = {"native", "generic"};
  const auto text = section.Text(key, Presence::kOptional, [&](auto word) {
    if (std::find(modes.begin(), modes.end(), word) != modes.end())
      return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat("must be \"native\" or \"generic\", is \"", word, "\"",
                     base::Hint(word, modes)));
  });
  if (text.has_value())
    value = *text == "native" ? XdpMode::kNative : XdpMode::kGeneric;
}

void ReadPath(TomlSection& section, absl::string_view key, Presence presence,
              std::string& value) {
  if (auto text = section.Text(key, presence, CheckPath))
    value = *std::move(text);
}

void ReadSocketPath(TomlSection& section, absl::string_view key,
                    std::string& value) {
  auto text = section.Text(key, Presence::kOptional, [](auto path) {
    if (path.size() <= kMaxSocketPath) return CheckPath(path);
    return absl::InvalidArgumentError(
        absl::StrCat("must have at most ", kMaxSocketPath, " characters, has ",
                     path.size()));
  });
  if (text.has_value()) value = *std::move(text);
}

void ReadDuration(TomlSection& section, absl::string_view key,
                  absl::Duration min, absl::Duration max,
                  absl::Duration& value) {
  const auto text = section.Text(key, Presence::kOptional, [&](auto word) {
    const absl::StatusOr<absl::Duration> duration = base::ParseDuration(word);
    if (!duration.ok()) return duration.status();
    if (*duration >= min && *duration <= max) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat("must be from ", absl::FormatDuration(min), " to ",
                     absl::FormatDuration(max), ", is ", word));
  });
  if (text.has_value()) value = *base::ParseDuration(*text);
}

void ReadHostAddresses(TomlSection& section, HostAddresses& value) {
  bool seen = false;
  value.ipv4 = ReadHostAddress(section, "address", Family::kIpv4, seen);
  value.ipv6 = ReadHostAddress(section, "address6", Family::kIpv6, seen);
  if (!value.ipv4.has_value() && !value.ipv6.has_value() && !seen)
    section.Complain("needs address (IPv4) or address6 (IPv6), or both");
}

}  // namespace fairlead::config
