#include "lib/quote.h"

#include <catch2/catch.hpp>
#include <cstring>
#include <optional>

#include "tests/support/packet.h"
#include "tests/support/reference_siphash.h"

namespace fairlead::test {
namespace {

constexpr uint16_t kPort = 443;
const base::IpAddress kRouter4 = Ip("192.0.2.1");
const base::IpAddress kRouter6 = Ip("2001:db8:1::1");

struct Quote {
  Flow flow;
  bool is_ipv4 = false;
};

base::IpAddress Address(const __u32 (&words)[4]) {
  std::array<uint8_t, 16> bytes;
  std::memcpy(bytes.data(), words, sizeof(bytes));
  return base::IpAddress(bytes);
}

// What fl_parse_quote makes of an IP packet; nothing if it refuses.
std::optional<Quote> Parse(const Packet& ip, size_t cut = 0) {
  Bytes wire = ip.Wire();
  wire.resize(wire.size() - cut);
  fl_cursor cursor = {wire.data(), wire.data() + wire.size()};
  fl_packet packet = {};
  fl_ip_anomaly odd = FL_IP_FINE;
  const bool is_ipv4 = wire[0] >> 4 == 4;
  if (is_ipv4)
    REQUIRE(fl_parse_ipv4(&cursor, &packet, &odd));
  else
    REQUIRE(fl_parse_ipv6(&cursor, &packet, &odd));
  if (!fl_parse_quote(&cursor, &packet)) return std::nullopt;
  CHECK(packet.service.proto == IPPROTO_TCP);
  return Quote{
      {{Address(packet.client), fl_swap16(packet.client_port)},
       {Address(packet.service.address), fl_swap16(packet.service.port)}},
      packet.is_ipv4 != 0};
}

// What the service sent and a router could not deliver.
Packet Sent4() {
  return Ipv4{.src = kVip4, .dst = kClient4} /
         Tcp{.sport = kPort, .dport = 50000, .ack = true} / Payload(8);
}
Packet Sent6() {
  return Ipv6{.src = kVip6, .dst = kClient6} /
         Tcp{.sport = kPort, .dport = 50000, .ack = true} / Payload(8);
}

TEST_CASE("an ICMP error is about the connection that it quotes",
          "[bpf][quote]") {
  const auto quote4 =
      Parse(Ipv4{.src = kRouter4} / Icmp{.type = 3, .code = 4} / Sent4());
  REQUIRE(quote4.has_value());
  CHECK(quote4->is_ipv4);
  CHECK(quote4->flow.client == base::Endpoint{kClient4, 50000});
  CHECK(quote4->flow.service == base::Endpoint{kVip4, kPort});
  const auto quote6 = Parse(Ipv6{.src = kRouter6} / Icmp{.type = 2} / Sent6());
  REQUIRE(quote6.has_value());
  CHECK_FALSE(quote6->is_ipv4);
  CHECK(quote6->flow.client == base::Endpoint{kClient6, 50000});
  CHECK(quote6->flow.service == base::Endpoint{kVip6, kPort});
}

TEST_CASE("four bytes of the quoted TCP header are enough", "[bpf][quote]") {
  // TCP header 20, payload 8.
  const Packet error = Ipv4{.src = kRouter4} / Icmp{.type = 11} / Sent4();
  CHECK(Parse(error, 20).has_value());
  CHECK(Parse(error, 24).has_value());
  CHECK_FALSE(Parse(error, 25).has_value());
  CHECK_FALSE(Parse(error, 48).has_value());
  CHECK_FALSE(Parse(error, 56).has_value());
  const Packet error6 = Ipv6{.src = kRouter6} / Icmp{.type = 3} / Sent6();
  CHECK(Parse(error6, 24).has_value());
  CHECK_FALSE(Parse(error6, 25).has_value());
}

TEST_CASE("options in front of the quoted ports are stepped over",
          "[bpf][quote]") {
  const Packet sent =
      Ipv4{.src = kVip4, .dst = kClient4, .options = Bytes(40, 1)} /
      Tcp{.sport = kPort, .dport = 50000};
  const auto quote = Parse(Ipv4{.src = kRouter4} / Icmp{.type = 12} / sent);
  REQUIRE(quote.has_value());
  CHECK(quote->flow.client.port == 50000);
}

TEST_CASE("extension headers in front of the quoted ports are stepped over",
          "[bpf][quote]") {
  const Packet sent = Ipv6{.src = kVip6, .dst = kClient6} /
                      Extension{.type = 60, .detail = Bytes(22)} /
                      Extension{.type = 44, .detail = {0, 1, 0, 0, 0, 1}} /
                      Tcp{.sport = kPort, .dport = 50000};
  const auto quote = Parse(Ipv6{.src = kRouter6} / Icmp{.type = 2} / sent);
  REQUIRE(quote.has_value());
  CHECK(quote->flow.client.port == 50000);
  // It may end with the ports, not before.
  CHECK(Parse(Ipv6{.src = kRouter6} / Icmp{.type = 2} / sent, 16).has_value());
  CHECK_FALSE(Parse(Ipv6{.src = kRouter6} / Icmp{.type = 2} / sent, 17));
}

TEST_CASE("what is no error about a segment of the service is refused",
          "[bpf][quote]") {
  for (const uint8_t type : Bytes{0, 4, 5, 8, 13})
    CHECK_FALSE(Parse(Ipv4{.src = kRouter4} / Icmp{.type = type} / Sent4()));
  for (const uint8_t type : Bytes{0, 5, 128, 129, 135})
    CHECK_FALSE(Parse(Ipv6{.src = kRouter6} / Icmp{.type = type} / Sent6()));
  const Packet error4 = Ipv4{.src = kRouter4} / Icmp{.type = 3};
  // Of another address than the error was sent to.
  CHECK_FALSE(Parse(error4 / (Ipv4{.src = Ip("198.51.100.11")} / Tcp{})));
  CHECK_FALSE(Parse(error4 / (Ipv4{.src = kVip4} / Udp{})));
  CHECK_FALSE(
      Parse(error4 / (Ipv4{.src = kVip4, .fragment_offset = 4} / Tcp{})));
  CHECK_FALSE(Parse(error4 / (Ipv4{.src = kVip4, .ihl = 2} / Tcp{})));
  const Packet error6 = Ipv6{.src = kRouter6} / Icmp{.type = 1};
  const Packet sent = Ipv6{.src = kVip6};
  CHECK_FALSE(Parse(error6 / (sent / Extension{.type = 51} / Tcp{})));
  CHECK_FALSE(Parse(
      error6 /
      (sent / Extension{.type = 44, .detail = {0, 8, 0, 0, 0, 1}} / Tcp{})));
}

}  // namespace
}  // namespace fairlead::test
