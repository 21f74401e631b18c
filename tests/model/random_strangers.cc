// What comes beside whole segments.
#include <algorithm>
#include <array>
#include <utility>

#include "tests/model/random_frames.h"
#include "tests/model/read_frame.h"
#include "tests/support/checksum.h"

namespace fairlead::model {
namespace {

constexpr uint8_t kRouting = 43, kFragment = 44, kAuthentication = 51;

// Where the numbers of IPv4 hosts begin and end.
constexpr uint8_t kEdges4[] = {0, 1, 126, 127, 128, 223, 224, 239, 240, 255};
// The unspecified address, loopback, one that was IPv4-compatible, multicast,
// and an IPv4 client of a translator (RFC 6052).
constexpr const char* kEdges6[] = {"::",      "::1",     "::192.0.2.1",
                                   "ff02::1", "fe80::1", "64:ff9b::192.0.2.1"};

}  // namespace

Bytes RandomFrames::Stranger() {
  switch (random_.Below(16)) {
    case 0:
    case 1:
    case 2:
    case 3:
      return Extended();
    case 4:
    case 5:
    case 6:
      return Fragment();
    case 7:
    case 8:
    case 9:
    case 10:
      return IcmpError();
    case 11:
    case 12:
      return IcmpEcho();
    case 13:
    case 14: {
      if (random_.Chance(0.5)) return RandomBytes(14 + random_.Next() % 80);
      const uint16_t type = OneOf(random_, kEtherTypes);
      return Frame(type, RandomBytes(46));
    }
    default: {
      const uint8_t proto = OneOf(random_, kProtos);
      const test::Flow flow = AnyFlow();
      return Ip(flow, proto, Tcp(flow, 8));
    }
  }
}

// Nearly always; the other family has no extension headers.
test::Flow RandomFrames::Ipv6Flow() {
  test::Flow flow = AnyFlow();
  for (int i = 0; i < 8 && flow.service.address.is_ipv4(); i++)
    flow = AnyFlow();
  return flow;
}

Bytes RandomFrames::Extended() {
  const test::Flow flow = Ipv6Flow();
  uint8_t proto = random_.Chance(0.95) ? kProtoTcp : OneOf(random_, kProtos);
  Bytes payload = Tcp(flow, DataLength());
  payload = Extend(proto, std::move(payload));
  return Ip(flow, proto, payload);
}

// With one to about eight extension headers in front. `proto` is that of the
// payload, and then of the first of them.
Bytes RandomFrames::Extend(uint8_t& proto, Bytes payload) {
  static constexpr uint8_t kTypes[] = {0,  0,  60, 60, 60,        43,
                                       43, 43, 44, 44, kFragment, 51};
  const bool many = random_.Chance(0.15);
  const int count = many ? 5 + random_.Below(4) : 1 + random_.Below(3);
  for (int i = 0; i < count; i++) {
    uint8_t type = OneOf(random_, kTypes);
    // Many of them that all may be there.
    if (many && random_.Chance(0.9)) type = 60;
    const Bytes header = Extension(type, proto);
    payload.insert(payload.begin(), header.begin(), header.end());
    proto = type;
  }
  return payload;
}

Bytes RandomFrames::Extension(uint8_t type, uint8_t next) {
  size_t units = random_.Next() % 3;
  if (random_.Chance(0.01)) units = Byte();
  Bytes header = {next, static_cast<uint8_t>(units)};
  PutAll(header, RandomBytes(6 + 8 * units));
  // A route that was followed to its end, a fragment that is all there is.
  if (type == kRouting && random_.Chance(0.7)) header[3] = 0;
  if (type == kFragment) {
    // Its second byte is no length; two bits behind the offset are reserved.
    header.resize(8);
    const unsigned int reserved = random_.Chance(0.2) ? Byte() & 6u : 0;
    const unsigned int more = random_.Chance(0.3) ? 1 : 0;
    const uint64_t offset = random_.Chance(0.85) ? 0 : random_.Next() << 3;
    Set16(header, 2, offset | reserved | more);
  }
  return header;
}

// Mostly a first one.
Bytes RandomFrames::Fragment() {
  const test::Flow flow = AnyFlow();
  const bool is_ipv4 = flow.service.address.is_ipv4();
  Bytes payload = Tcp(flow, random_.Next() % 40);
  // About as little as is quoted.
  if (random_.Chance(0.2)) payload.resize(6 + random_.Next() % 5);
  uint8_t proto = random_.Chance(0.9) ? kProtoTcp : OneOf(random_, kProtos);
  if (!is_ipv4) {
    Bytes header = Extension(kFragment, proto);
    if (random_.Chance(0.8)) Set16(header, 2, 1);
    payload.insert(payload.begin(), header.begin(), header.end());
    proto = kFragment;
    if (random_.Chance(0.1)) payload = Extend(proto, std::move(payload));
  }
  Bytes frame = Ip(flow, proto, payload);
  if (is_ipv4)
    Set16(frame, 20,
          random_.Chance(0.7) ? uint16_t{0x2000} : OneOf(random_, kFragments));
  if (random_.Chance(0.15)) SetSource(frame);
  return frame;
}

void RandomFrames::AddTag(Bytes& frame) {
  if (frame.size() < kEthernetBytes) return;
  Bytes tag;
  Put16(tag, random_.Chance(0.95) ? kEtherTag : kEtherOuterTag);
  Put16(tag, random_.Next());
  frame.insert(frame.begin() + 12, tag.begin(), tag.end());
}

// A router says that what the service sent to its client went nowhere.
Bytes RandomFrames::IcmpError() {
  static constexpr uint8_t kTypes4[] = {3, 3, 3, 11, 12, 4, 5};
  static constexpr uint8_t kTypes6[] = {1, 2, 2, 3, 4, 4, 5, 0};
  const test::Flow flow = AnyFlow();
  const bool is_ipv4 = flow.service.address.is_ipv4();
  uint8_t type = is_ipv4 ? OneOf(random_, kTypes4) : OneOf(random_, kTypes6);
  if (random_.Chance(0.02)) type = Byte();
  Bytes icmp = {type, static_cast<uint8_t>(Byte() % 16)};
  PutAll(icmp, RandomBytes(6));
  PutAll(icmp, Quote(flow));
  uint8_t proto = is_ipv4 ? kProtoIcmp : kProtoIcmpv6;
  if (random_.Chance(0.02)) proto = OneOf(random_, kProtos);
  if (!is_ipv4 && random_.Chance(0.15)) icmp = Extend(proto, std::move(icmp));
  const test::Flow from_router = {RandomClient(random_, is_ipv4), flow.service};
  return Ip(from_router, proto, icmp);
}

// The start of a packet of the service to its client.
Bytes RandomFrames::Quote(const test::Flow& flow) {
  test::Flow sent = {flow.service, flow.client};
  // Of a port that is no service's; of somebody else.
  if (random_.Chance(0.03)) sent.client.port ^= 1;
  if (random_.Chance(0.03)) sent = flow;
  const bool is_ipv4 = flow.service.address.is_ipv4();
  uint8_t proto = random_.Chance(0.97) ? kProtoTcp : OneOf(random_, kProtos);
  Bytes payload = Tcp(sent, DataLength());
  if (!is_ipv4 && random_.Chance(0.25))
    payload = Extend(proto, std::move(payload));
  // In IPv4 the address family of a packet is that of its service.
  Bytes quoted = Ip(sent, proto, payload);
  if (random_.Chance(0.15)) MutateIp(quoted);
  if (quoted.size() < kEthernetBytes) return {};
  quoted.erase(quoted.begin(), quoted.begin() + kEthernetBytes);
  const size_t header = is_ipv4 ? 20 : 40;
  const size_t sizes[] = {header + 8,
                          header + 8,
                          header + random_.Next() % 12,
                          header + random_.Next() % 80,
                          random_.Next() % 80,
                          quoted.size(),
                          quoted.size()};
  quoted.resize(std::min(quoted.size(), OneOf(random_, sizes)));
  return quoted;
}

Bytes RandomFrames::IcmpEcho() {
  const test::Flow flow = AnyFlow();
  const bool is_ipv4 = flow.service.address.is_ipv4();
  Bytes icmp = {static_cast<uint8_t>(is_ipv4 ? 8 : 128), 0, 0, 0};
  const size_t size = 4 + (random_.Chance(0.3) ? 0 : random_.Next() % 64);
  PutAll(icmp, random_.Chance(0.3) ? Bytes(size) : RandomBytes(size));
  if (random_.Chance(0.05)) icmp[1] = Byte();
  // Right (in IPv4), any, or at an end of its ring before or after.
  const uint16_t checksums[] = {test::InternetChecksum(icmp),
                                static_cast<uint16_t>(random_.Next()),
                                0xf7ff,
                                0x0100,
                                0x0000,
                                0xffff};
  Set16(icmp, 2, OneOf(random_, checksums));
  uint8_t proto = is_ipv4 ? kProtoIcmp : kProtoIcmpv6;
  if (!is_ipv4 && random_.Chance(0.1)) icmp = Extend(proto, std::move(icmp));
  Bytes frame = Ip(flow, proto, icmp);
  if (is_ipv4 && random_.Chance(0.1))
    Set16(frame, 24, random_.Chance(0.5) ? 0xffff : 0);
  if (random_.Chance(0.15)) SetSource(frame);
  return frame;
}

void RandomFrames::SetSource(Bytes& frame) {
  if (frame.size() < 54) return;
  if (ReadEtherType(frame) == kEtherIpv4) {
    frame[26] = OneOf(random_, kEdges4);
    return;
  }
  const base::IpAddress edge = test::Ip(OneOf(random_, kEdges6));
  std::ranges::copy(edge.bytes(), frame.begin() + 22);
  // Not quite: any bit of its prefix may be what tells it from one of these.
  if (random_.Chance(0.3)) frame[22 + random_.Next() % 12] ^= Byte();
}

}  // namespace fairlead::model
