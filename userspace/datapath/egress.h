// Egress: the interfaces that packets may be redirected to, as the packet path
// has them (fl_egress). The kernel takes one out when it goes.
#pragma once

#include <cstdint>
#include <set>

#include "absl/status/status.h"
#include "datapath/map_shape.h"

namespace fairlead::datapath {

class Egress {
 public:
  // `map` is borrowed; -1: there is none, and nothing is done.
  explicit Egress(int map) : map_(map) {}

  // Errors: there is no such interface; too many are in use.
  absl::Status Add(uint32_t interface) const;
  // Adds those that are missing, and removes all others.
  void KeepOnly(const std::set<uint32_t>& interfaces) const;

 private:
  const int map_;
};

// Adds the interface of every next hop in `backends`, but for those that are
// gone: packets to them are dropped by name.
absl::Status FillEgress(int map, const OpenMap& backends);

}  // namespace fairlead::datapath
