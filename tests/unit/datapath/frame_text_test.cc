#include "datapath/frame_text.h"

#include <arpa/inet.h>

#include <catch2/catch.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/support/packet.h"

namespace fairlead::datapath {
namespace {

using namespace test;  // NOLINT: packets read as such

std::string Text(std::span<const uint8_t> frame) {
  return FrameText(frame, {.gue_port = 6080, .backend_name = [](uint16_t id) {
                             return absl::StrCat("web", id);
                           }});
}

TEST_CASE("a frame is told in a line", "[datapath][trace]") {
  const Packet syn = Eth{} / Ipv4{} / Tcp{.syn = true};
  CHECK(Text(syn.Wire()) ==
        absl::StrCat(kClient4.ToString(), ":", syn.Find<Tcp>()->sport, " > ",
                     kVip4.ToString(), ":", kVipPort, " TCP SYN"));
  const Packet ack = Eth{} / Ipv6{} / Tcp{.ack = true};
  CHECK(Text(ack.Wire()) ==
        absl::StrCat("[", kClient6.ToString(), "]:", ack.Find<Tcp>()->sport,
                     " > [", kVip6.ToString(), "]:", kVipPort, " TCP ACK"));
  CHECK(Text((Eth{.type = 0x0806} / Payload(28)).Wire()) == "ethertype 0x0806");
}

TEST_CASE("a tunnel is told with its hops", "[datapath][trace]") {
  const Packet inner = Ipv4{} / Tcp{.syn = true};
  const std::string ends =
      absl::StrCat(kClient6.ToString(), " > ", kVip6.ToString(), " GUE");
  CHECK(Text((Eth{} / Ipv6{} / Udp{} / Gue{} / Hops{.ids = {7, 300}} / inner)
                 .Wire()) == ends + " hops web7,web300");
  CHECK(Text((Eth{} / Ipv6{} / Udp{} / Gue{} / inner).Wire()) == ends);
  for (const Packet& packet : {inner, Ipv6{} / Tcp{.syn = true}})
    CHECK(Text((Eth{} / Ipv6{} / packet).Wire()) ==
          absl::StrCat(kClient6.ToString(), " > ", kVip6.ToString(), " IPIP"));
}

TEST_CASE("a frame's VLAN tags are told first", "[datapath][trace]") {
  const Packet packet = Ipv4{} / Tcp{.syn = true};
  const std::string bare = Text((Eth{} / packet).Wire());
  CHECK(Text((Eth{} / Vlan{.id = 4094, .priority = 7} / packet).Wire()) ==
        absl::StrCat("VLAN 4094 ", bare));
  CHECK(Text((Eth{.type = 0x88a8} / Vlan{.id = 5} / Vlan{.id = 6} / packet)
                 .Wire()) == absl::StrCat("802.1ad VLAN 5 VLAN 6 ", bare));
  CHECK(Text((Eth{} / Vlan{.id = 0, .type = 0x0806} / Payload(28)).Wire()) ==
        "VLAN 0 ethertype 0x0806");
}

TEST_CASE("a frame may end anywhere", "[datapath][trace]") {
  for (const Packet& packet :
       {Eth{} / Ipv4{} / Tcp{.syn = true}, Eth{} / Ipv6{} / Tcp{.syn = true},
        Eth{} / Vlan{} / Ipv4{} / Tcp{.syn = true}}) {
    const Bytes frame = packet.Wire();
    const std::string whole = Text(frame);
    for (size_t size = 0; size < frame.size(); ++size) {
      // Exactly so many bytes, so that a sanitizer sees what is read past them.
      const Bytes part(frame.begin(), frame.begin() + static_cast<long>(size));
      CHECK(Text(part) != whole);
    }
  }
  CHECK(Text({}) == "Ethernet cut short");
}

}  // namespace
}  // namespace fairlead::datapath
