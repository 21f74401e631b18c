// IpAddress, Endpoint and Prefix-free parsing and printing of both.
//
// An address is sixteen bytes in network order; IPv4 is kept as the mapped form
// ::ffff:a.b.c.d, the same form that the BPF maps use, so one key and one code
// path serve both families.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace fairlead::base {

class IpAddress {
 public:
  // The unspecified IPv6 address.
  IpAddress() = default;
  explicit IpAddress(const std::array<uint8_t, 16>& bytes) : bytes_(bytes) {}

  // Accepts "192.0.2.1" and "2001:db8::1". Refuses a port, a prefix length, a
  // zone and the mapped form (write the IPv4 address instead).
  static absl::StatusOr<IpAddress> Parse(absl::string_view text);
  // `address` in host byte order.
  static IpAddress FromIpv4(uint32_t address);

  bool is_ipv4() const;
  bool is_unspecified() const;
  bool is_loopback() const;
  bool is_multicast() const;
  // Requires: is_ipv4(). Host byte order.
  uint32_t ipv4() const;
  // Network order, IPv4 mapped.
  const std::array<uint8_t, 16>& bytes() const { return bytes_; }
  std::string ToString() const;

  friend auto operator<=>(const IpAddress&, const IpAddress&) = default;

 private:
  std::array<uint8_t, 16> bytes_ = {};
};

// An address and a TCP port: "192.0.2.1:443", "[2001:db8::1]:443".
struct Endpoint {
  IpAddress address;
  uint16_t port = 0;  // host order, 1..65535

  static absl::StatusOr<Endpoint> Parse(absl::string_view text);
  std::string ToString() const;
  friend auto operator<=>(const Endpoint&, const Endpoint&) = default;
};

}  // namespace fairlead::base
