#include "datapath/egress.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>

#include <cerrno>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/errors.h"
#include "base/status_macros.h"
#include "datapath/mapped_array.h"
#include "datapath/xdp_link.h"
#include "fairlead/abi/maps.h"

namespace fairlead::datapath {

// What is there stays: to put it there again would take it out for a moment.
absl::Status Egress::Add(uint32_t interface) const {
  if (map_ < 0 || interface == 0) return absl::OkStatus();
  const int result =
      bpf_map_update_elem(map_, &interface, &interface, BPF_NOEXIST);
  if (result == 0 || result == -EEXIST) return absl::OkStatus();
  return base::BpfError(
      result,
      absl::StrCat("send by ", InterfaceName(interface), ": put it ",
                   "into fl_egress (of ", FL_MAX_EGRESS, " interfaces)"));
}

void Egress::KeepOnly(const std::set<uint32_t>& interfaces) const {
  if (map_ < 0) return;
  std::vector<uint32_t> unused;
  uint32_t key = 0;
  int result = bpf_map_get_next_key(map_, nullptr, &key);
  for (; result == 0; result = bpf_map_get_next_key(map_, &key, &key))
    if (interfaces.count(key) == 0) unused.push_back(key);
  for (const uint32_t interface : unused) bpf_map_delete_elem(map_, &interface);
  // One that cannot be added is gone, which netlink tells.
  for (const uint32_t interface : interfaces) Add(interface).IgnoreError();
}

absl::Status FillEgress(int map, const OpenMap& backends) {
  FL_ASSIGN_OR_RETURN(
      const auto lines,
      MappedArray<fl_backend>::Map(backends.fd.get(), backends.shape.entries,
                                   "fl_backends"));
  std::set<uint32_t> interfaces;
  for (const fl_backend& line : lines.elements())
    if ((line.state & FL_BACKEND_NEXT_HOP) != 0) interfaces.insert(line.egress);
  Egress(map).KeepOnly(interfaces);
  return absl::OkStatus();
}

}  // namespace fairlead::datapath
