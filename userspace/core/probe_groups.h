// ProbeGroups: which checks of which backends are one and the same probe. A
// server that stands behind several services is asked once for all of them:
// at the same address and port, by the same settings but for rise and fall,
// which are each service's own. Checks by way of a VIP are never the same: each
// takes the road of its own service.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/strings/string_view.h"
#include "core/model.h"

namespace fairlead::core {

class ProbeGroups {
 public:
  struct Member {
    BackendId id = 0;
    std::string check;

    friend bool operator==(const Member&, const Member&) = default;
  };

  void Rebuild(const DesiredState& desired);
  // Of its group, without itself; empty if nobody shares its probe.
  std::vector<Member> Others(BackendId id, absl::string_view check) const;

 private:
  // Of two members at least.
  std::vector<std::vector<Member>> groups_;
  absl::btree_map<std::pair<BackendId, std::string>, size_t> group_of_;
};

}  // namespace fairlead::core
