#include "datapath/vlan_offload.h"

#include <catch2/catch.hpp>

namespace fairlead::datapath {
namespace {

TEST_CASE("hardware that hides tags raises an alarm where there are VLANs",
          "[datapath][vlan]") {
  NetworkView view;
  view.links[3] = {.interface = 3, .name = "eth0", .up = true};
  view.links[4] = {.interface = 4, .name = "eth1", .up = true};
  std::set<std::string> hide = {"eth0", "eth1"};
  const auto alarms = [&](const std::set<uint32_t>& ingress) {
    return HiddenTagAlarms(view, ingress, [&](const std::string& name) {
      return hide.count(name) > 0;
    });
  };
  CHECK(alarms({3, 4}).empty());
  view.links[9] = {.interface = 9,
                   .name = "eth0.7",
                   .kind = "vlan",
                   .vlan = VlanLink{.on = 3, .id = 7},
                   .up = true};
  CHECK(alarms({3, 4}) ==
        std::vector<std::string>{
            "eth0 takes VLAN tags off the frames that come by it, and eth0.7 "
            "is a VLAN on it: pings of services and packets that are too big "
            "are answered without a tag; ethtool -K eth0 rxvlan off"});
  CHECK(alarms({4}).empty());
  // Up to the other end.
  view.links[3].kind = "veth";
  CHECK(alarms({3}).empty());
  view.links[3].kind = "";
  hide.erase("eth0");
  CHECK(alarms({3}).empty());
}

}  // namespace
}  // namespace fairlead::datapath
