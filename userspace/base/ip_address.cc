#include "base/ip_address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "base/text.h"

namespace fairlead::base {
namespace {

constexpr std::array<uint8_t, 12> kMappedPrefix = {0, 0, 0, 0, 0,    0,
                                                   0, 0, 0, 0, 0xff, 0xff};

constexpr absl::string_view kDigits = "0123456789";

absl::Status BadAddress(absl::string_view text, absl::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat(Quoted(text), " is not an IP address", why));
}

}  // namespace

absl::StatusOr<IpAddress> IpAddress::Parse(absl::string_view text) {
  // inet_pton() ends at a zero byte.
  if (text.find('\0') != absl::string_view::npos) return BadAddress(text, "");
  const std::string copy(text);
  std::array<uint8_t, 16> bytes = {};
  if (inet_pton(AF_INET, copy.c_str(), bytes.data() + 12) == 1) {
    std::copy(kMappedPrefix.begin(), kMappedPrefix.end(), bytes.begin());
    return IpAddress(bytes);
  }
  if (inet_pton(AF_INET6, copy.c_str(), bytes.data()) != 1) {
    if (copy.find('/') != std::string::npos)
      return BadAddress(text, ": leave out the prefix length");
    return BadAddress(text, "");
  }
  IpAddress address(bytes);
  if (address.is_ipv4())
    return BadAddress(text, " to use here: write the IPv4 address itself");
  return address;
}

IpAddress IpAddress::FromIpv4(uint32_t address) {
  std::array<uint8_t, 16> bytes = {};
  std::copy(kMappedPrefix.begin(), kMappedPrefix.end(), bytes.begin());
  for (int i = 0; i < 4; ++i)
    bytes[static_cast<size_t>(12 + i)] =
        static_cast<uint8_t>(address >> (24 - 8 * i));
  return IpAddress(bytes);
}

bool IpAddress::is_ipv4() const {
  return std::equal(kMappedPrefix.begin(), kMappedPrefix.end(), bytes_.begin());
}

bool IpAddress::is_unspecified() const {
  const size_t from = is_ipv4() ? 12 : 0;
  return std::all_of(bytes_.begin() + static_cast<std::ptrdiff_t>(from),
                     bytes_.end(), [](uint8_t b) { return b == 0; });
}

bool IpAddress::is_loopback() const {
  if (is_ipv4()) return bytes_[12] == 127;
  return *this == IpAddress(std::array<uint8_t, 16>{0, 0, 0, 0, 0, 0, 0, 0, 0,
                                                    0, 0, 0, 0, 0, 0, 1});
}

bool IpAddress::is_multicast() const {
  return is_ipv4() ? (bytes_[12] & 0xf0) == 0xe0 : bytes_[0] == 0xff;
}

uint32_t IpAddress::ipv4() const {
  return static_cast<uint32_t>(bytes_[12]) << 24 |
         static_cast<uint32_t>(bytes_[13]) << 16 |
         static_cast<uint32_t>(bytes_[14]) << 8 | bytes_[15];
}

std::string IpAddress::ToString() const {
  char text[INET6_ADDRSTRLEN];
  if (is_ipv4()) {
    inet_ntop(AF_INET, bytes_.data() + 12, text, sizeof(text));
  } else {
    inet_ntop(AF_INET6, bytes_.data(), text, sizeof(text));
  }
  return text;
}

absl::StatusOr<Endpoint> Endpoint::Parse(absl::string_view text) {
  const bool in_brackets = absl::StartsWith(text, "[");
  const size_t colon = text.rfind(':');
  const bool has_form = colon != absl::string_view::npos &&
                        (in_brackets ? colon > 0 && text[colon - 1] == ']'
                                     : text.find(':') == colon);
  if (!has_form)
    return absl::InvalidArgumentError(
        absl::StrCat(Quoted(text),
                     " is not ADDRESS:PORT; write 192.0.2.1:443 "
                     "or [2001:db8::1]:443"));
  const absl::string_view host =
      in_brackets ? text.substr(1, colon - 2) : text.substr(0, colon);
  const absl::string_view port = text.substr(colon + 1);
  Endpoint endpoint;
  FL_ASSIGN_OR_RETURN(endpoint.address, IpAddress::Parse(host));
  if (in_brackets && endpoint.address.is_ipv4())
    return absl::InvalidArgumentError(absl::StrCat(
        Quoted(text), ": brackets are for IPv6, write ", host, ":", port));
  // SimpleAtoi() skips blanks and a sign.
  const bool is_number = !port.empty() && port.find_first_not_of(kDigits) ==
                                              absl::string_view::npos;
  uint32_t number = 0;
  if (!is_number || !absl::SimpleAtoi(port, &number) || number < 1 ||
      number > 65535)
    return absl::InvalidArgumentError(absl::StrCat(
        Quoted(port), " in ", Quoted(text), " is not a port (1..65535)"));
  endpoint.port = static_cast<uint16_t>(number);
  return endpoint;
}

std::string Endpoint::ToString() const {
  return address.is_ipv4() ? absl::StrCat(address.ToString(), ":", port)
                           : absl::StrCat("[", address.ToString(), "]:", port);
}

}  // namespace fairlead::base
