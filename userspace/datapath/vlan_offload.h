// VLAN tags that an interface's hardware takes off received frames: XDP does
// not see them.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "datapath/next_hop.h"

namespace fairlead::datapath {

// Does the interface take tags off? False where it cannot be known. Of a veth
// it means nothing: there it is up to the other end.
bool TakesTagsOff(const std::string& interface);

// An alarm for each of `ingress` that takes tags off and has VLANs.
std::vector<std::string> HiddenTagAlarms(
    const NetworkView& view, const std::set<uint32_t>& ingress,
    absl::FunctionRef<bool(const std::string&)> takes_tags_off);

}  // namespace fairlead::datapath
