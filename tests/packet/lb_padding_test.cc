// Behind an IP packet its frame may have padding, which is anybody's to choose
// and says nothing.
#include <catch2/catch.hpp>

#include "tests/packet/lb_world.h"

namespace fairlead::test {
namespace {

const base::IpAddress kHost4 = Ip("192.0.2.200");

TEST_CASE("a packet that ends before its ports is dropped whatever pads it",
          "[packet][lb][parse]") {
  const Tcp syn = {.syn = true};
  const Tcp elsewhere = {.dport = 22, .syn = true};
  CheckUntouched({
      {"the padding names a service", Eth{} / Ipv4{.length = 20} / syn,
       FL_LB_DROP_TCP_HEADER},
      {"IPv6, the padding names a service", Eth{} / Ipv6{.length = 0} / syn,
       FL_LB_DROP_TCP_HEADER},
      {"the padding names none", Eth{} / Ipv4{.length = 20} / elsewhere,
       FL_LB_DROP_TCP_HEADER},
      {"IPv6, the padding names none", Eth{} / Ipv6{.length = 3} / elsewhere,
       FL_LB_DROP_TCP_HEADER},
      {"a byte of the port is missing", Eth{} / Ipv4{.length = 23} / elsewhere,
       FL_LB_DROP_TCP_HEADER},
      {"the ports are all there is", Eth{} / Ipv4{.length = 24} / elsewhere,
       FL_LB_PASS_NOT_SERVICE},
      {"to a host of its own", Eth{} / Ipv4{.dst = kHost4, .length = 23} / syn,
       FL_LB_PASS_NOT_SERVICE},
  });
}

TEST_CASE("padding is no extension header", "[packet][lb][parse]") {
  const Tcp syn = {.syn = true};
  const Extension later_fragment = {.type = 44,
                                    .detail = {0, 0x48, 0, 0, 0, 7}};
  CheckUntouched({
      {"of what hides TCP",
       Eth{} / Ipv6{.length = 7} / Extension{.type = 51} / syn,
       FL_LB_DROP_IP_HEADER},
      {"of a fragment", Eth{} / Ipv6{.length = 7} / later_fragment / syn,
       FL_LB_DROP_IP_HEADER},
      {"behind another one",
       Eth{} / Ipv6{.length = 8} / Extension{} / Extension{} / Udp{},
       FL_LB_DROP_IP_HEADER},
      {"TCP behind the last one", Eth{} / Ipv6{.length = 8} / Extension{} / syn,
       FL_LB_DROP_TCP_HEADER},
  });
}

TEST_CASE("padding is no quote", "[packet][lb][icmp]") {
  const Tcp reply = {.sport = kVipPort, .dport = kClientPort, .ack = true};
  const Packet error4 =
      Icmp{.type = 3, .code = 4} / Ipv4{.src = kVip4, .dst = kClient4} / reply;
  const Packet error6 =
      Icmp{.type = 2} / Ipv6{.src = kVip6, .dst = kClient6} / reply;
  const Packet extended6 = Icmp{.type = 2} /
                           Ipv6{.src = kVip6, .dst = kClient6} /
                           Extension{.type = 60} / reply;
  const auto v4 = [&](uint16_t quoted) {
    return Eth{} / Ipv4{.length = static_cast<uint16_t>(28 + quoted)} / error4;
  };
  const auto v6 = [&](uint16_t quoted, const Packet& error) {
    return Eth{} / Ipv6{.length = static_cast<uint16_t>(8 + quoted)} / error;
  };
  CheckUntouched({
      {"all of it", v4(0), FL_LB_PASS_NOT_TCP},
      {"half a port", v4(23), FL_LB_PASS_NOT_TCP},
      {"the header of ICMP too", Eth{} / Ipv4{.length = 20} / error4,
       FL_LB_PASS_NOT_TCP},
      {"IPv6, all of it", v6(0, error6), FL_LB_PASS_NOT_TCP},
      {"IPv6, half a port", v6(43, error6), FL_LB_PASS_NOT_TCP},
      {"IPv6, the extension", v6(47, extended6), FL_LB_PASS_NOT_TCP},
      {"IPv6, what is behind the extension", v6(51, extended6),
       FL_LB_PASS_NOT_TCP},
  });
  LbWorld world;
  for (const Packet& whole : {v4(24), v6(44, error6), v6(52, extended6)})
    world.Send(whole, FL_LB_TX_ICMP_ERROR);
}

}  // namespace
}  // namespace fairlead::test
