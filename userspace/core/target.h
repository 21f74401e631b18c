// What the shared tables are to hold for one service: pure, from the desired
// state and the sizes of the tables.
#pragma once

#include "core/applier.h"
#include "core/model.h"

namespace fairlead::core {

TargetService TombstoneTarget(const Tombstone& tombstone);

// Its entry, and as members all backends that are not leaving, by id. What is
// said for the tier is divided among so many LB hosts.
TargetService ServiceTarget(const Service& service, const TableSizes& sizes,
                            size_t lb_hosts);

}  // namespace fairlead::core
