#include "datapath/vlan_offload.h"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/unique_fd.h"

namespace fairlead::datapath {

bool TakesTagsOff(const std::string& interface) {
  const base::UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ethtool_value flags = {.cmd = ETHTOOL_GFLAGS, .data = 0};
  ifreq request = {};
  const size_t length = std::min(interface.size(), size_t{IFNAMSIZ - 1});
  std::copy_n(interface.begin(), length, request.ifr_name);
  request.ifr_data = reinterpret_cast<char*>(&flags);
  return fd.valid() && ioctl(fd.get(), SIOCETHTOOL, &request) == 0 &&
         (flags.data & ETH_FLAG_RXVLAN) != 0;
}

std::vector<std::string> HiddenTagAlarms(
    const NetworkView& view, const std::set<uint32_t>& ingress,
    absl::FunctionRef<bool(const std::string&)> takes_tags_off) {
  std::vector<std::string> alarms;
  for (const uint32_t interface : ingress) {
    const auto link = view.links.find(interface);
    if (link == view.links.end() || link->second.kind == "veth") continue;
    const std::string& name = link->second.name;
    const auto vlan = std::find_if(
        view.links.begin(), view.links.end(), [&](const auto& other) {
          return other.second.vlan && other.second.vlan->on == interface;
        });
    if (vlan == view.links.end() || !takes_tags_off(name)) continue;
    alarms.push_back(absl::StrCat(
        name, " takes VLAN tags off the frames that come by it, and ",
        vlan->second.name,
        " is a VLAN on it: pings of services and packets "
        "that are too big are answered without a tag; ethtool -K ",
        name, " rxvlan off"));
  }
  return alarms;
}

}  // namespace fairlead::datapath
