#include "base/ip_prefix.h"

#include <array>
#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "base/text.h"

namespace fairlead::base {
namespace {

constexpr int kAddressBits = 128;
constexpr int kMappedBits = 96;

// `address` with zeros past `bits`.
IpAddress Masked(const IpAddress& address, int bits) {
  std::array<uint8_t, 16> bytes = address.bytes();
  for (size_t i = 0; i < bytes.size(); ++i) {
    const int kept = bits - static_cast<int>(8 * i);
    if (kept >= 8) continue;
    bytes[i] = kept <= 0 ? uint8_t{0}
                         : static_cast<uint8_t>(bytes[i] & 0xff00 >> kept);
  }
  return IpAddress(bytes);
}

// SimpleAtoi() skips blanks and a sign.
std::optional<int> ParseLength(absl::string_view text, int most) {
  int length = 0;
  if (text.empty() || text.find_first_not_of("0123456789") != text.npos ||
      !absl::SimpleAtoi(text, &length) || length > most)
    return std::nullopt;
  return length;
}

}  // namespace

absl::StatusOr<IpPrefix> IpPrefix::Parse(absl::string_view text) {
  const size_t slash = text.find('/');
  IpPrefix prefix;
  FL_ASSIGN_OR_RETURN(prefix.address, IpAddress::Parse(text.substr(0, slash)));
  if (slash == text.npos) return prefix;
  const int first = prefix.address.is_ipv4() ? kMappedBits : 0;
  const absl::string_view digits = text.substr(slash + 1);
  const std::optional<int> length = ParseLength(digits, kAddressBits - first);
  if (!length.has_value())
    return absl::InvalidArgumentError(absl::StrCat(
        Quoted(digits), " in ", Quoted(text), " is not a prefix length (0..",
        kAddressBits - first, ")"));
  prefix.bits = first + *length;
  const IpAddress base = Masked(prefix.address, prefix.bits);
  if (base == prefix.address) return prefix;
  const std::string one = prefix.ToString();
  prefix.address = base;
  return absl::InvalidArgumentError(absl::StrCat(
      Quoted(text), " has bits set past its length: write ", prefix.ToString(),
      ", or ", one.substr(0, one.find('/')), " for the one address"));
}

bool IpPrefix::Contains(const IpAddress& other) const {
  return Masked(other, bits) == address;
}

std::string IpPrefix::ToString() const {
  const int first = address.is_ipv4() ? kMappedBits : 0;
  return absl::StrCat(address.ToString(), "/", bits - first);
}

}  // namespace fairlead::base
