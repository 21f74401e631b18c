// IpPrefix: all addresses that begin with the same bits, as an operator writes
// them: "203.0.113.0/24", "2001:db8::/32", or an address alone for that one.
#pragma once

#include <compare>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/ip_address.h"

namespace fairlead::base {

struct IpPrefix {
  IpAddress address;  // no bit is set past `bits`
  // Of the sixteen bytes, so that IPv4 has 96 to 128.
  int bits = 128;

  // Refuses bits that are set past the length, and says what to write instead.
  static absl::StatusOr<IpPrefix> Parse(absl::string_view text);
  bool is_ipv4() const { return bits >= 96 && address.is_ipv4(); }
  bool Contains(const IpAddress& other) const;
  // With its length, also that of one address.
  std::string ToString() const;
  friend auto operator<=>(const IpPrefix&, const IpPrefix&) = default;
};

}  // namespace fairlead::base
