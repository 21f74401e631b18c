// What is not a whole TCP segment for a service: passed on untouched, or
// dropped by name if it is for a service's address. Never forwarded.
#include <linux/bpf.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cerrno>

#include "tests/packet/lb_world.h"

namespace fairlead::test {
namespace {

// As CheckUntouched, but counted as the service's.
void CheckDropped(const std::vector<PacketCase>& cases) {
  LbWorld world;
  for (const PacketCase& c : cases) {
    INFO(c.name);
    world.Check(c.packet, {.verdict = c.verdict});
  }
  world.CheckLoad();
}

const base::IpAddress kHost4 = Ip("192.0.2.200");
const base::IpAddress kHost6 = Ip("2001:db8:200::1");

TEST_CASE("the host's own traffic passes untouched", "[packet][lb][parse]") {
  CheckUntouched({
      {"ARP", Eth{.type = 0x0806} / Payload(46), FL_LB_PASS_NOT_IP},
      {"VLAN tag", Eth{.type = 0x8100} / Payload(46), FL_LB_PASS_NOT_IP},
      {"an ether type that is none", Eth{.type = 0} / Payload(46),
       FL_LB_PASS_NOT_IP},
      {"an 802.3 length", Eth{.type = 0x0026} / Payload(46), FL_LB_PASS_NOT_IP},
      {"UDP to a VIP", Eth{} / Ipv4{} / Udp{.dport = kVipPort} / Payload(9),
       FL_LB_PASS_NOT_TCP},
      {"UDP over IPv6", Eth{} / Ipv6{} / Udp{.dport = kVipPort} / Payload(9),
       FL_LB_PASS_NOT_TCP},
      {"ICMP echo", Eth{} / Ipv4{.dst = kHost4} / Icmp{} / Payload(8),
       FL_LB_PASS_NOT_TCP},
      {"neighbour solicitation", Eth{} / Ipv6{} / Icmp{.type = 135},
       FL_LB_PASS_NOT_TCP},
      {"TCP to another address", Eth{} / Ipv4{.dst = kHost4} / Tcp{.syn = true},
       FL_LB_PASS_NOT_SERVICE},
      {"TCP to another IPv6 address",
       Eth{} / Ipv6{.dst = kHost6} / Tcp{.syn = true}, FL_LB_PASS_NOT_SERVICE},
      {"TCP to another port of a VIP",
       Eth{} / Ipv4{} / Tcp{.dport = 22, .syn = true}, FL_LB_PASS_NOT_SERVICE},
      {"TCP from the VIP's port",
       Eth{} / Ipv4{.src = kVip4, .dst = kClient4} /
           Tcp{.sport = 443, .dport = 5},
       FL_LB_PASS_NOT_SERVICE},
  });
}

TEST_CASE("odd packets to a host of its own pass", "[packet][lb][parse]") {
  CheckUntouched({
      {"fragment",
       Eth{} / Ipv4{.dst = kHost4, .more_fragments = true} / Tcp{} / Payload(8),
       FL_LB_PASS_NOT_SERVICE},
      {"extension header",
       Eth{} / Ipv6{.dst = kHost6} / Extension{.type = 60} / Tcp{},
       FL_LB_PASS_NOT_SERVICE},
      {"bad length", Eth{} / Ipv4{.dst = kHost4, .length = 10} / Tcp{},
       FL_LB_PASS_NOT_SERVICE},
      {"no ports", Eth{} / Ipv4{.dst = kHost4, .proto = 6} / Payload(3),
       FL_LB_PASS_NOT_SERVICE},
      {"impossible TCP offset",
       Eth{} / Ipv4{.dst = kHost4} / Tcp{.syn = true, .doff = 3},
       FL_LB_PASS_NOT_SERVICE},
  });
}

TEST_CASE("an IP header to a VIP that lies is dropped", "[packet][lb][parse]") {
  const Tcp syn = {.syn = true};
  CheckUntouched({
      {"version 5", Eth{} / Ipv4{.version = 5} / syn, FL_LB_DROP_IP_HEADER},
      {"header of 0 bytes", Eth{} / Ipv4{.ihl = 0} / syn, FL_LB_DROP_IP_HEADER},
      {"header of 16 bytes", Eth{} / Ipv4{.ihl = 4} / syn,
       FL_LB_DROP_IP_HEADER},
      {"header past the frame", Eth{} / Ipv4{.ihl = 15} / syn,
       FL_LB_DROP_IP_HEADER},
      {"length below the header", Eth{} / Ipv4{.length = 19} / syn,
       FL_LB_DROP_IP_HEADER},
      {"length 0", Eth{} / Ipv4{.length = 0} / syn, FL_LB_DROP_IP_HEADER},
      {"length below the options' end",
       Eth{} / Ipv4{.options = Bytes(8), .length = 27} / syn,
       FL_LB_DROP_IP_HEADER},
      {"length one past the frame", Eth{} / Ipv4{.length = 41} / syn,
       FL_LB_DROP_IP_HEADER},
      {"length of 64 KiB", Eth{} / Ipv4{.length = 0xffff} / syn,
       FL_LB_DROP_IP_HEADER},
      {"IPv6 header says version 4", Eth{} / Ipv6{.version = 4} / syn,
       FL_LB_DROP_IP_HEADER},
      {"IPv6 length one past the frame", Eth{} / Ipv6{.length = 21} / syn,
       FL_LB_DROP_IP_HEADER},
      {"IPv6 length of 64 KiB", Eth{} / Ipv6{.length = 0xffff} / syn,
       FL_LB_DROP_IP_HEADER},
      {"IPv6 to the mapped form of an IPv4 service",
       Eth{} / Ipv6{.dst = kVip4} / syn, FL_LB_DROP_IP_HEADER},
      {"IPv6 from a mapped IPv4 address", Eth{} / Ipv6{.src = kClient4} / syn,
       FL_LB_DROP_IP_HEADER},
  });
}

Extension Fragment(uint16_t offset, bool more) {
  const auto bits = static_cast<uint16_t>(offset << 3 | (more ? 1 : 0));
  return {.type = 44,
          .detail = {static_cast<uint8_t>(bits >> 8),
                     static_cast<uint8_t>(bits), 0, 0, 0, 7}};
}

TEST_CASE("fragments to a VIP are dropped", "[packet][lb][parse]") {
  CheckUntouched({
      {"first, too short for a quote",
       Eth{} / Ipv4{.df = false, .more_fragments = true, .proto = 6} /
           Payload(7),
       FL_LB_DROP_FRAGMENT},
      {"first, with options",
       Eth{} / Ipv4{.df = false, .more_fragments = true, .options = Bytes(4)} /
           Tcp{},
       FL_LB_DROP_FRAGMENT},
      {"first, of UDP", Eth{} / Ipv4{.more_fragments = true} / Udp{},
       FL_LB_DROP_FRAGMENT},
      {"first, from everybody",
       Eth{} / Ipv4{.src = Ip("255.255.255.255"), .more_fragments = true} /
           Tcp{},
       FL_LB_DROP_FRAGMENT},
      {"first, shorter than it says",
       Eth{} / Ipv4{.more_fragments = true, .length = 41} / Tcp{},
       FL_LB_DROP_IP_HEADER},
      {"middle",
       Eth{} / Ipv4{.df = false, .more_fragments = true, .fragment_offset = 9} /
           Tcp{},
       FL_LB_DROP_FRAGMENT},
      {"last", Eth{} / Ipv4{.df = false, .fragment_offset = 9} / Tcp{},
       FL_LB_DROP_FRAGMENT},
      {"last, shorter than it says",
       Eth{} / Ipv4{.fragment_offset = 9, .length = 41} / Tcp{},
       FL_LB_DROP_FRAGMENT},
      {"last, of UDP",
       Eth{} / Ipv4{.fragment_offset = 1, .proto = 17} / Payload(30),
       FL_LB_DROP_FRAGMENT},
      {"IPv6, middle", Eth{} / Ipv6{} / Fragment(9, true) / Tcp{},
       FL_LB_DROP_FRAGMENT},
      {"IPv6, last", Eth{} / Ipv6{} / Fragment(9, false) / Tcp{},
       FL_LB_DROP_FRAGMENT},
      {"IPv6, first, behind another header",
       Eth{} / Ipv6{} / Extension{} / Fragment(0, true) / Tcp{},
       FL_LB_DROP_FRAGMENT},
      {"IPv6, first, too short for a quote",
       Eth{} / Ipv6{.length = 15} / Fragment(0, true) / Tcp{},
       FL_LB_DROP_FRAGMENT},
      {"IPv6, first, shorter than it says",
       Eth{} / Ipv6{.length = 29} / Fragment(0, true) / Tcp{},
       FL_LB_DROP_IP_HEADER},
  });
}

// The path takes no fragment, and says so, but to later ones (RFC 1122).
TEST_CASE("a first fragment to a VIP is answered", "[packet][lb][parse]") {
  LbWorld world;
  const Packet v4 = Eth{} / Ipv4{.df = false, .more_fragments = true} /
                    Tcp{.seq = 77, .ack = true} / Payload(64);
  const Packet v6 = Eth{} / Ipv6{} / Fragment(0, true) /
                    Tcp{.seq = 77, .ack = true} / Payload(64);
  const auto quote = [](const Packet& packet, size_t size) {
    Bytes bytes = packet.Inner().Wire();
    bytes.resize(size);
    return Raw{bytes};
  };
  world.Check(v4, {.verdict = FL_LB_TX_FRAGMENT_REFUSED,
                   .packet = Eth{.dst = kRouterMac, .src = kLbMac} /
                             Ipv4{.src = kVip4, .dst = kClient4, .df = false} /
                             Icmp{.type = 3, .code = 13} / quote(v4, 28),
                   .service = 0});
  world.Check(v6, {.verdict = FL_LB_TX_FRAGMENT_REFUSED,
                   .packet = Eth{.dst = kRouterMac, .src = kLbMac} /
                             Ipv6{.src = kVip6, .dst = kClient6} /
                             Icmp{.type = 1, .code = 1} / quote(v6, 56),
                   .service = 0});
}

TEST_CASE("a hop limit of 0 is the end of a packet", "[packet][lb][parse]") {
  CheckUntouched({
      {"IPv4", Eth{} / Ipv4{.ttl = 0} / Tcp{.syn = true}, FL_LB_DROP_HOP_LIMIT},
      {"IPv6", Eth{} / Ipv6{.hop_limit = 0} / Tcp{.syn = true},
       FL_LB_DROP_HOP_LIMIT},
      {"IPv6 with an extension",
       Eth{} / Ipv6{.hop_limit = 0} / Extension{} / Tcp{.syn = true},
       FL_LB_DROP_HOP_LIMIT},
      {"to another address",
       Eth{} / Ipv4{.dst = kHost4, .ttl = 0} / Tcp{.syn = true},
       FL_LB_PASS_NOT_SERVICE},
  });
  LbWorld world;
  world.Send(Eth{} / Ipv4{.ttl = 1} / Tcp{.syn = true}, FL_LB_TX_SYN_NEW);
  world.Send(Eth{} / Ipv6{.hop_limit = 1} / Tcp{.syn = true}, FL_LB_TX_SYN_NEW);
}

TEST_CASE("TCP behind IPv6 extension headers is TCP", "[packet][lb][parse]") {
  const Extension options = {.type = 0, .detail = Bytes(14)};
  const Extension followed_route = {.type = 43, .detail = {0, 0, 0, 0, 0, 0}};
  const Extension to_destination = {.type = 60, .detail = Bytes(2046)};
  const Extension whole = Fragment(0, false);
  const Ipv6 ip = {};
  const Tcp syn = {.syn = true};
  const Packet packets[] = {
      Eth{} / ip / options / syn,
      Eth{} / ip / followed_route / syn,
      Eth{} / ip / whole / syn,
      Eth{} / ip / options / Extension{.type = 60} / followed_route / whole /
          Extension{.type = 60} / Extension{.type = 60} / syn,
  };
  const HopList hops = {.ids = {1, 2, 3, 4}, .acceptors = 0b1111};
  for (const Packet& packet : packets) {
    LbWorld world;
    CHECK_THAT(world.Send(packet, FL_LB_TX_SYN_NEW).packet,
               IsPacket(world.Encapsulated(packet, hops)));
    // The same flow with and without.
    world.Send(Eth{} / ip / Tcp{.ack = true}, FL_LB_TX_HIT);
  }
  LbWorld world;
  world.SetBackend(1, {.mtu = 9000});
  world.Send(Eth{} / ip / to_destination / syn, FL_LB_TX_SYN_NEW);
}

TEST_CASE("IPv6 extension headers that hide TCP are dropped",
          "[packet][lb][parse]") {
  const Tcp syn = {.syn = true};
  const Extension one;
  CheckUntouched({
      {"authentication", Eth{} / Ipv6{} / Extension{.type = 51} / syn,
       FL_LB_DROP_EXTENSION},
      {"a route that goes on",
       Eth{} / Ipv6{} / Extension{.type = 43, .detail = {0, 1, 0, 0, 0, 0}} /
           syn,
       FL_LB_DROP_EXTENSION},
      {"seven of them",
       Eth{} / Ipv6{} / one / one / one / one / one / one / one / syn,
       FL_LB_DROP_EXTENSION},
      {"one that ends behind the frame",
       Eth{} / Ipv6{.next_header = 0} / Raw{Bytes{6, 1, 0, 0, 0, 0, 0, 0}},
       FL_LB_DROP_TCP_HEADER},
      {"one that begins behind the frame",
       Eth{} / Ipv6{.next_header = 0} / Raw{Bytes{60, 1, 0, 0, 0, 0, 0, 0}},
       FL_LB_DROP_IP_HEADER},
      {"cut short", Eth{} / Ipv6{.next_header = 60} / Payload(7),
       FL_LB_DROP_IP_HEADER},
      {"no TCP behind it",
       Eth{} / Ipv6{} / one / Udp{.dport = kVipPort} / Payload(9),
       FL_LB_PASS_NOT_TCP},
  });
}

TEST_CASE("a TCP header that cannot be is dropped", "[packet][lb][parse]") {
  const Tcp syn = {.syn = true};
  CheckDropped({
      {"offset 0", Eth{} / Ipv4{} / Tcp{.syn = true, .doff = 0},
       FL_LB_DROP_TCP_HEADER},
      {"offset 16", Eth{} / Ipv4{} / Tcp{.syn = true, .doff = 4},
       FL_LB_DROP_TCP_HEADER},
      {"offset past the packet", Eth{} / Ipv4{} / Tcp{.syn = true, .doff = 6},
       FL_LB_DROP_TCP_HEADER},
      {"offset past the packet, into the padding",
       Eth{} / Ipv4{} / Tcp{.syn = true, .doff = 6} / Padding{Bytes(6)},
       FL_LB_DROP_TCP_HEADER},
      {"IPv6, offset past the packet",
       Eth{} / Ipv6{} / Tcp{.syn = true, .doff = 15} / Payload(39),
       FL_LB_DROP_TCP_HEADER},
      {"the packet ends inside the header", Eth{} / Ipv4{.length = 39} / syn,
       FL_LB_DROP_TCP_HEADER},
  });
}

TEST_CASE("TCP flags that no stack sends are dropped", "[packet][lb][parse]") {
  CheckDropped({
      {"none", Eth{} / Ipv4{} / Tcp{}, FL_LB_DROP_TCP_FLAGS},
      {"PSH alone", Eth{} / Ipv4{} / Tcp{.psh = true}, FL_LB_DROP_TCP_FLAGS},
      {"SYN+FIN", Eth{} / Ipv4{} / Tcp{.fin = true, .syn = true},
       FL_LB_DROP_TCP_FLAGS},
      {"SYN+RST", Eth{} / Ipv6{} / Tcp{.syn = true, .rst = true},
       FL_LB_DROP_TCP_FLAGS},
      {"SYN+FIN+ACK",
       Eth{} / Ipv6{} / Tcp{.fin = true, .syn = true, .ack = true},
       FL_LB_DROP_TCP_FLAGS},
      {"all",
       Eth{} / Ipv4{} /
           Tcp{.fin = true, .syn = true, .rst = true, .psh = true, .ack = true},
       FL_LB_DROP_TCP_FLAGS},
  });
}

TEST_CASE("a deleted service stays silent", "[packet][lb][parse]") {
  LbWorld world;
  world.service().flags = FL_SERVICE_TOMBSTONE;
  world.StoreService();
  world.Check(Eth{} / Ipv4{} / Tcp{.syn = true},
              {.verdict = FL_LB_DROP_TOMBSTONE});
  world.Check(Eth{} / Ipv6{} / Tcp{.ack = true},
              {.verdict = FL_LB_DROP_TOMBSTONE});
  world.Check(Eth{} / Ipv4{} / Tcp{.rst = true, .doff = 0},
              {.verdict = FL_LB_DROP_TOMBSTONE});

  world.lb().RemoveService(kService4);
  world.Check(Eth{} / Ipv4{} / Tcp{.syn = true},
              {.verdict = FL_LB_PASS_NOT_SERVICE, .service = 0});
}

// Every valid packet cut at every length: the kernel refuses frames below an
// Ethernet header itself; the program passes or drops the others, untouched,
// and counts each once (LbProgram::Run asserts it).
TEST_CASE("a truncated packet is never forwarded", "[packet][lb][parse]") {
  const Packet packets[] = {
      Eth{} / Ipv4{} / Tcp{.syn = true},
      Eth{} / Ipv4{} / Tcp{.ack = true} / Payload(40),
      Eth{} / Ipv4{.options = Bytes(40)} / Tcp{.syn = true},
      Eth{} / Ipv6{} / Tcp{.syn = true},
      Eth{} / Ipv6{} / Tcp{.ack = true, .options = Bytes(12)} / Payload(9),
      Eth{} / Ipv6{} / Extension{.type = 60} / Tcp{.syn = true},
      Eth{} / Ipv4{} / Udp{} / Payload(30),
  };
  LbWorld world;
  const uint64_t passed_before = world.lb().verdicts()[FL_LB_PASS_TRUNCATED];
  for (const Packet& packet : packets) {
    const Bytes frame = packet.Wire();
    for (size_t length = 0; length < frame.size(); length++) {
      INFO("cut to " << length << " of " << frame.size());
      const auto cut = std::span(frame).first(length);
      if (length < 14) {
        REQUIRE(TestRun(world.lb().program_fd(), cut).error == EINVAL);
        continue;
      }
      const LbResult result = world.lb().Run(cut);
      REQUIRE((result.action == XDP_PASS || result.action == XDP_DROP));
      REQUIRE(std::ranges::equal(result.packet, cut));
    }
  }
  CHECK(world.lb().verdicts()[FL_LB_PASS_TRUNCATED] > passed_before);
  for (const fl_bucket& bucket : world.lb().flows()) {
    for (const fl_slot& slot : bucket.slots) CHECK(slot.word0 == 0);
  }
}

// As above, but the IP header tells the truth about the shorter packet.
TEST_CASE("a TCP segment shorter than its header is dropped at every length",
          "[packet][lb][parse]") {
  LbWorld world;
  for (size_t length = 0; length < 20; length++) {
    INFO("TCP bytes " << length);
    Bytes tcp = Packet(Tcp{.syn = true}).Wire();
    tcp.resize(length);
    const LbResult result = world.lb().Run(Eth{} / Ipv4{.proto = 6} / Raw{tcp});
    CHECK(result.verdict == FL_LB_DROP_TCP_HEADER);
    CHECK(result.action == XDP_DROP);
    const LbResult padded = world.lb().Run(Eth{} / Ipv4{.proto = 6} / Raw{tcp} /
                                           Padding{Bytes(26 - length)});
    CHECK(padded.verdict == FL_LB_DROP_TCP_HEADER);
  }
}

}  // namespace
}  // namespace fairlead::test
