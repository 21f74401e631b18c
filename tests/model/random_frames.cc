#include "tests/model/random_frames.h"

#include <algorithm>
#include <array>

#include "tests/model/read_frame.h"

namespace fairlead::model {
namespace {

// FIN, SYN, RST, PSH, ACK; the flags of ECN are 0x40 and 0x80.
constexpr uint8_t kFin = 1, kSyn = 2, kRst = 4, kPsh = 8, kAck = 16;
constexpr uint8_t kOrdinary[] = {kAck, kAck,       kAck, kPsh | kAck,
                                 kSyn, kSyn,       kSyn, kSyn | 0xc0,
                                 kSyn, kFin | kAck};
constexpr uint8_t kRare[] = {kFin,        kFin | kAck, kRst,
                             kRst | kAck, kSyn | kAck, 0,
                             kSyn | kFin, kSyn | kRst};

constexpr size_t kLongestIp = 3300;

bool IsIpv6(const Bytes& frame) { return ReadEtherType(frame) == kEtherIpv6; }

}  // namespace

base::Endpoint RandomClient(SimulatedRandom& random, bool is_ipv4) {
  const auto port = static_cast<uint16_t>(random.Next());
  if (is_ipv4) {
    // 203.0.113.0/24
    const uint32_t host =
        0xcb007100u + static_cast<uint32_t>(random.Below(256));
    return {base::IpAddress::FromIpv4(host), port};
  }
  std::array<uint8_t, 16> address = {0x20, 0x01, 0x0d, 0xb8};
  for (size_t i = 4; i < address.size(); i++)
    address[i] = static_cast<uint8_t>(random.Next());
  return {base::IpAddress(address), port};
}

Bytes RandomFrames::Next() {
  Bytes frame = random_.Chance(0.8) ? Segment(AnyFlow()) : Stranger();
  if (random_.Chance(0.25)) {
    Mutate(frame);
    while (random_.Chance(0.3)) Mutate(frame);
  }
  if (random_.Chance(0.2)) {
    AddTag(frame);
    while (random_.Chance(0.05)) AddTag(frame);
    if (random_.Chance(0.1)) MutateAnywhere(frame);
  }
  frame.resize(std::max(frame.size(), kEthernetBytes));
  return frame;
}

test::Flow RandomFrames::AnyFlow() {
  if (!known_.empty() && random_.Chance(0.75)) return OneOf(random_, known_);
  const base::Endpoint& service = OneOf(random_, services_);
  return {RandomClient(random_, service.address.is_ipv4()), service};
}

Bytes RandomFrames::Segment(const test::Flow& flow) {
  return Ip(flow, kProtoTcp, Tcp(flow, DataLength()));
}

// Mostly little; often about as much as just fits some backend's path.
size_t RandomFrames::DataLength() {
  if (random_.Chance(0.75)) return random_.Next() % 40;
  if (random_.Chance(0.2)) return random_.Next() % 3000;
  const size_t overhead = random_.Chance(0.7) ? 84 : 52;
  const size_t headers = random_.Chance(0.7) ? 40 : 60;
  size_t path = OneOf(random_, kMtus);
  path += random_.Next() % 4;
  return std::min(path - std::min(path, overhead + headers + 1), size_t{3000});
}

Bytes RandomFrames::Tcp(const test::Flow& flow, size_t data) {
  const size_t options = random_.Chance(0.3) ? random_.Next() % 11 : 0;
  Bytes tcp;
  Put16(tcp, flow.client.port);
  Put16(tcp, flow.service.port);
  PutAll(tcp, RandomBytes(8));
  tcp.push_back(static_cast<uint8_t>((5 + options) << 4));
  tcp.push_back(random_.Chance(0.85) ? OneOf(random_, kOrdinary)
                                     : OneOf(random_, kRare));
  // Window, a checksum that nobody looks at, urgent pointer, options, data.
  PutAll(tcp, RandomBytes(6 + 4 * options + data));
  return tcp;
}

Bytes RandomFrames::Ip(const test::Flow& flow, uint8_t proto,
                       const Bytes& payload) {
  return flow.service.address.is_ipv4() ? Ipv4(flow, proto, payload)
                                        : Ipv6(flow, proto, payload);
}

Bytes RandomFrames::Ipv4(const test::Flow& flow, uint8_t proto,
                         const Bytes& payload) {
  const size_t options = random_.Chance(0.15) ? random_.Next() % 11 : 0;
  const size_t header = 20 + 4 * options;
  const bool df = random_.Chance(0.7);
  Bytes ip = {static_cast<uint8_t>(0x40 | header / 4), Byte()};
  Put16(ip, header + payload.size());
  Put16(ip, random_.Next());
  Put16(ip, df ? 0x4000 : 0);
  ip.push_back(Byte());
  ip.push_back(proto);
  PutAll(ip, RandomBytes(2));
  PutAddress(ip, flow.client.address);
  PutAddress(ip, flow.service.address);
  PutAll(ip, RandomBytes(4 * options));
  PutAll(ip, payload);
  return Frame(kEtherIpv4, ip);
}

Bytes RandomFrames::Ipv6(const test::Flow& flow, uint8_t proto,
                         const Bytes& payload) {
  Bytes ip = {static_cast<uint8_t>(0x60 | (Byte() & 15))};
  PutAll(ip, RandomBytes(3));
  Put16(ip, payload.size());
  ip.push_back(proto);
  ip.push_back(Byte());
  PutAddress(ip, flow.client.address);
  PutAddress(ip, flow.service.address);
  PutAll(ip, payload);
  return Frame(kEtherIpv6, ip);
}

Bytes RandomFrames::Frame(uint16_t type, const Bytes& packet) {
  Bytes frame = RandomBytes(12);
  frame.reserve(packet.size() + 40);
  Put16(frame, type);
  PutAll(frame, packet);
  frame.resize(std::min(frame.size(), kLongestIp));
  if (random_.Chance(0.1)) PutAll(frame, RandomBytes(random_.Next() % 24));
  return frame;
}

void RandomFrames::Mutate(Bytes& frame) {
  switch (random_.Below(3)) {
    case 0:
      return MutateAnywhere(frame);
    case 1:
      return MutateIp(frame);
    default:
      return MutateTcp(frame);
  }
}

void RandomFrames::MutateAnywhere(Bytes& frame) {
  const size_t at = random_.Next() % std::min(frame.size(), size_t{100});
  switch (random_.Below(5)) {
    case 0:
      frame[at] ^= static_cast<uint8_t>(1 << random_.Below(8));
      break;
    case 1:
      frame[at] = Byte();
      break;
    case 2:
      frame.resize(std::max(at, kEthernetBytes));
      break;
    case 3:
      PutAll(frame, RandomBytes(random_.Next() % 40));
      break;
    default:
      Set16(frame, 12, OneOf(random_, kEtherTypes));
  }
}

void RandomFrames::MutateIp(Bytes& frame) {
  const bool v6 = IsIpv6(frame);
  const size_t destination = v6 ? 38 : 30;
  const size_t bytes = v6 ? 16 : 4;
  if (frame.size() < 54) return;
  switch (random_.Below(11)) {
    case 0:
    case 1: {
      const size_t length = frame.size() - (v6 ? 54 : 14);
      const size_t lengths[] = {length - 1,
                                length + 1,
                                length + 4,
                                random_.Next() % (length + 1),
                                random_.Next() % 64,
                                0,
                                0xffff};
      return Set16(frame, v6 ? 18 : 16, OneOf(random_, lengths));
    }
    case 2:
      frame[14] = Byte();
      return;
    case 3:
      return v6 ? void() : Set16(frame, 20, OneOf(random_, kFragments));
    case 4:
      frame[v6 ? 20 : 23] = OneOf(random_, kProtos);
      return;
    case 5: {
      // The mapped form of an IPv4 address, as source or destination.
      if (!v6) return;
      const size_t at = random_.Chance(0.5) ? 22 : 38;
      const base::IpAddress address = OneOf(random_, services_).address;
      Bytes mapped(12);
      mapped[10] = mapped[11] = 0xff;
      for (size_t i = 12; i < 16; i++) mapped.push_back(address.bytes()[i]);
      std::ranges::copy(mapped, frame.begin() + static_cast<int>(at));
      return;
    }
    case 6: {
      Bytes address;
      PutAddress(address, OneOf(random_, services_).address);
      if (address.size() == bytes)
        std::ranges::copy(address,
                          frame.begin() + static_cast<int>(destination));
      return;
    }
    case 7:
    case 8:
      frame[v6 ? 21 : 22] = 0;  // hop limit
      return;
    case 9:
      return SetSource(frame);
    default:
      frame[destination + bytes - 1] = Byte();
  }
}

void RandomFrames::MutateTcp(Bytes& frame) {
  if (frame.size() < kEthernetBytes + 20) return;
  const size_t header =
      IsIpv6(frame) ? 40 : size_t{4} * (frame[kEthernetBytes] & 15u);
  const size_t at = kEthernetBytes + header;
  if (frame.size() < at + 20) return;
  switch (random_.Below(5)) {
    case 0:
      frame[at + 12] = Byte();
      return;
    case 1:
      frame[at + 13] = Byte();
      return;
    case 2:
      return Set16(frame, at + 2, OneOf(random_, services_).port);
    case 3:
      return Set16(frame, at + 2, random_.Next());
    default:
      // Cut inside the TCP header, with an IP header that says so.
      frame.resize(at + random_.Next() % 20);
      if (IsIpv6(frame)) {
        Set16(frame, 18, frame.size() - 54);
      } else {
        Set16(frame, 16, frame.size() - 14);
      }
      if (random_.Chance(0.5)) PutAll(frame, RandomBytes(26));
  }
}

Bytes RandomFrames::RandomBytes(size_t size) {
  Bytes bytes(size);
  for (size_t i = 0; i < size; i += 8) {
    const uint64_t word = random_.Next();
    for (size_t j = i; j < std::min(size, i + 8); j++)
      bytes[j] = static_cast<uint8_t>(word >> 8 * (j - i));
  }
  return bytes;
}

}  // namespace fairlead::model
