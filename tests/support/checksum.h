// The Internet checksum (RFC 1071) the slow way: bytes in pairs, one by one.
// It shares nothing with the packet path, whose checksums it judges.
#pragma once

#include <cstdint>
#include <span>

#include "base/ip_address.h"

namespace fairlead::test {

// In host order, to be written big-endian. `initial` is a sum of 16-bit words.
inline uint16_t InternetChecksum(std::span<const uint8_t> bytes,
                                 uint64_t initial = 0) {
  uint64_t sum = initial;
  for (size_t i = 0; i < bytes.size(); i++)
    sum += i % 2 == 0 ? uint64_t{bytes[i]} << 8 : bytes[i];
  while (sum > 0xffff) sum = (sum >> 16) + (sum & 0xffff);
  return static_cast<uint16_t>(~sum);
}

// The sum of the pseudo header of TCP, UDP or ICMPv6, over either family.
inline uint64_t PseudoHeaderSum(const base::IpAddress& src,
                                const base::IpAddress& dst, uint8_t proto,
                                size_t length) {
  uint64_t sum = proto + uint64_t{length};
  for (const base::IpAddress* address : {&src, &dst}) {
    for (size_t i = address->is_ipv4() ? 12 : 0; i < 16; i += 2)
      sum += uint64_t{address->bytes()[i]} << 8 | address->bytes()[i + 1];
  }
  return sum;
}

}  // namespace fairlead::test
