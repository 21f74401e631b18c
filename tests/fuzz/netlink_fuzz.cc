// A datagram from the kernel's side of a netlink socket, and the next hop that
// follows from all that it says.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <variant>
#include <vector>

#include "datapath/netlink.h"
#include "datapath/next_hop.h"

namespace fairlead::datapath {
namespace {

void Follow(const std::vector<NetlinkMessage>& messages) {
  NetworkView view;
  for (const NetlinkMessage& message : messages) view.Apply(message);
  for (const NetlinkMessage& message : messages) {
    if (const auto* route = std::get_if<Route>(&message.body))
      (void)FindNextHop(route->destination, *route, view);
  }
}

}  // namespace
}  // namespace fairlead::datapath

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // Aligned, and without a byte to spare behind it.
  std::vector<uint8_t> datagram(size);
  if (size > 0) std::memcpy(datagram.data(), data, size);
  const auto messages = fairlead::datapath::ParseNetlink(datagram);
  if (messages.ok()) fairlead::datapath::Follow(*messages);
  return 0;
}
