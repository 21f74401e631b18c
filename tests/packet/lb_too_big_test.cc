// A segment that would not fit when encapsulated: the client is told what
// would, in the byte-exact answer of RFC 1191 or RFC 4443.
#include <linux/bpf.h>

#include <algorithm>
#include <catch2/catch.hpp>

#include "tests/packet/lb_world.h"

namespace fairlead::test {
namespace {

// What the longest form of the outer headers leaves of a path of 1500.
constexpr uint16_t kLimit = 1500 - 84;

// The first `size` bytes of the IP packet.
Raw Quote(const Packet& packet, size_t size) {
  Bytes ip = packet.Inner().Wire();
  ip.resize(size);
  return Raw{ip};
}

Packet FragNeeded(const Packet& packet, uint16_t mtu) {
  return Eth{.dst = kRouterMac, .src = kLbMac} /
         Ipv4{.src = kVip4, .dst = kClient4, .df = false} /
         Icmp{.type = 3, .code = 4, .rest = mtu} / Quote(packet, 68);
}

Packet PacketTooBig(const Packet& packet, uint32_t mtu) {
  return Eth{.dst = kRouterMac, .src = kLbMac} /
         Ipv6{.src = kVip6, .dst = kClient6} / Icmp{.type = 2, .rest = mtu} /
         Quote(packet, 448);
}

// An IP packet of `length` bytes.
Packet Sized4(size_t length, Ipv4 ip = {}) {
  return Eth{} / ip / Tcp{.seq = 99, .ack = true} /
         Payload(length - 40 - ip.options.size());
}
Packet Sized6(size_t length, const Ipv6& ip = {}) {
  return Eth{} / ip / Tcp{.seq = 99, .ack = true} / Payload(length - 60);
}

Expected TooBig(Packet answer) {
  return {
      .verdict = FL_LB_TX_TOO_BIG, .packet = std::move(answer), .too_big = 1};
}

// RFC 1122, section 3.2.2; RFC 4443, section 2.4.
TEST_CASE("who is not one host is not told what is too big",
          "[packet][lb][mtu]") {
  LbWorld world;
  for (const char* source : {"0.0.0.0", "127.0.0.1", "224.0.0.1"}) {
    world.Check(Sized4(kLimit + 1, {.src = Ip(source)}),
                {.verdict = FL_LB_DROP_TOO_BIG});
  }
  for (const char* source : {"::", "::1", "ff02::1"}) {
    world.Check(Sized6(kLimit + 1, {.src = Ip(source)}),
                {.verdict = FL_LB_DROP_TOO_BIG});
  }
  world.Send(Sized6(kLimit + 1, {.src = Ip("64:ff9b::192.0.2.1")}),
             FL_LB_TX_TOO_BIG);
}

TEST_CASE("what just fits is sent, one byte more is answered",
          "[packet][lb][mtu]") {
  LbWorld world;
  for (const bool ipv6_backend : {false, true}) {
    if (ipv6_backend) world.SetBackend(1, {.address = Ip("2001:db8:2::1")});
    world.Send(Sized4(kLimit), FL_LB_TX_MISS);
    world.Send(Sized6(kLimit), FL_LB_TX_MISS);
    const Packet v4 = Sized4(kLimit + 1), v6 = Sized6(kLimit + 1);
    world.Check(v4, TooBig(FragNeeded(v4, kLimit)));
    world.Check(v6, TooBig(PacketTooBig(v6, kLimit)));
  }
}

// Lengths of both parities and every remainder, so that every way to sum an odd
// tail is taken; contents differ by Payload().
TEST_CASE("the answer is right for every length", "[packet][lb][mtu]") {
  LbWorld world;
  for (size_t length = kLimit + 1; length < kLimit + 40; length += 3) {
    INFO(length);
    const Packet v4 = Sized4(length), v6 = Sized6(length);
    world.Check(v4, TooBig(FragNeeded(v4, kLimit)));
    world.Check(v6, TooBig(PacketTooBig(v6, kLimit)));
  }
}

// Checksums carry over differently for every content: all ones, all zeros, and
// a client whose address moves the sum around its end.
TEST_CASE("the answer's checksums are right whatever is quoted",
          "[packet][lb][mtu]") {
  LbWorld world;
  const auto check = [&](const Packet& v4, const Packet& v6) {
    CHECK_THAT(world.Send(v4, FL_LB_TX_TOO_BIG).packet,
               IsPacket(FragNeeded(v4, kLimit)));
    CHECK_THAT(world.Send(v6, FL_LB_TX_TOO_BIG).packet,
               IsPacket(PacketTooBig(v6, kLimit)));
  };
  for (const uint8_t byte : Bytes{0x00, 0x01, 0x80, 0xfe, 0xff}) {
    const Raw data = {Bytes(1400, byte)};
    check(Eth{} / Ipv4{} / Tcp{.ack = true} / data,
          Eth{} / Ipv6{} / Tcp{.ack = true} / data);
  }
  for (uint32_t seq = 0; seq < 300; seq++) {
    const Tcp tcp = {.seq = seq * 0x01010101u, .ack = true};
    check(Eth{} / Ipv4{} / tcp / Payload(1400),
          Eth{} / Ipv6{} / tcp / Payload(1400));
  }
}

TEST_CASE("the limit follows the backend's path", "[packet][lb][mtu]") {
  LbWorld world;
  for (const uint16_t mtu : std::vector<uint16_t>{1280, 1400, 1492, 3000}) {
    INFO("mtu " << mtu);
    world.SetBackend(1, {.mtu = mtu});
    const auto limit = static_cast<uint16_t>(mtu - 84);
    const Packet v4 = Sized4(size_t{limit} + 1), v6 = Sized6(size_t{limit} + 1);
    world.Send(Sized4(limit), FL_LB_TX_MISS);
    world.Check(v4, TooBig(FragNeeded(v4, limit)));
    // IPv6 promises 1280 to everybody: no answer may name less.
    world.Check(v6, TooBig(PacketTooBig(v6, std::max<uint32_t>(limit, 1280))));
  }
}

TEST_CASE("an IPv4 packet that may be fragmented is dropped and counted",
          "[packet][lb][mtu]") {
  LbWorld world;
  world.Check(Sized4(kLimit + 1, {.df = false}),
              {.verdict = FL_LB_DROP_TOO_BIG});
  world.Send(Sized4(kLimit, {.df = false}), FL_LB_TX_MISS);
}

TEST_CASE("IPv4 options are quoted", "[packet][lb][mtu]") {
  LbWorld world;
  for (const size_t options : std::vector<size_t>{4, 20, 40}) {
    const Packet packet =
        Sized4(kLimit + 1, {.id = 5, .options = Bytes(options, 1)});
    world.Check(packet, TooBig(FragNeeded(packet, kLimit)));
  }
}

TEST_CASE("padding is not quoted and does not make a packet too big",
          "[packet][lb][mtu]") {
  LbWorld world;
  const Padding padding = {Bytes(64, 0xee)};
  world.Send(Sized4(kLimit) / padding, FL_LB_TX_MISS);
  const Packet v4 = Sized4(kLimit + 1), v6 = Sized6(kLimit + 1);
  world.Check(v4 / padding, TooBig(FragNeeded(v4, kLimit)));
  world.Check(v6 / padding, TooBig(PacketTooBig(v6, kLimit)));
}

// The answer belongs to the client, who is not where the backend is.
TEST_CASE("the answer leaves by the interface that the packet came in by",
          "[packet][lb][mtu]") {
  LbWorld world;
  world.SetBackend(1, {.egress = 2});
  const Packet packet = Sized4(kLimit + 1);
  world.Check(packet, TooBig(FragNeeded(packet, kLimit)));
}

TEST_CASE("a path too narrow for any host counts as no next hop",
          "[packet][lb][mtu]") {
  LbWorld world;
  for (const uint16_t mtu : std::vector<uint16_t>{0, 20, 83, 84, 575}) {
    INFO("mtu " << mtu);
    world.SetBackend(1, {.mtu = mtu});
    world.Check(Sized4(100), {.verdict = FL_LB_DROP_NO_NEXT_HOP});
    world.Check(Sized6(1400), {.verdict = FL_LB_DROP_NO_NEXT_HOP});
  }
  world.SetBackend(1, {.mtu = 576});
  const Packet v6 = Sized6(493);
  world.Send(Sized6(492), FL_LB_TX_MISS);
  world.Check(v6, TooBig(PacketTooBig(v6, 1280)));
}

}  // namespace
}  // namespace fairlead::test
