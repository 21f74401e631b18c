// The layouts of pinned tables that this daemon can take over, by version
// (FL_ABI_VERSION): how their contents come into new maps of other sizes, or of
// the layout of today.
//
// A version that is raised adds an entry here for the one before. Flows are not
// its business as long as their slots are as they are today: the new program
// finds those in the old table until FlowMove has moved them. A layout with
// other slots would have to put them into the new table before the program is
// switched.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/model.h"
#include "datapath/map_shape.h"

namespace fairlead::datapath {

struct Layout {
  uint32_t version = 0;
  // Errors: what is in use in the tables of `folder` has no place in tables of
  // `sizes`. Changes nothing.
  absl::Status (*check)(const std::string& folder,
                        const core::TableSizes& sizes);
  // Puts what the map `name` holds into the new one `to`, which nobody uses
  // yet.
  absl::Status (*fill)(absl::string_view name, const OpenMap& from,
                       const OpenMap& to);
};

std::span<const Layout> KnownLayouts();

// By backend id: whose flows are known by the flow table alone. Of tables of
// today's layout.
absl::StatusOr<std::vector<bool>> FindTableOnly(const OpenMap& services,
                                                const OpenMap& backends);

}  // namespace fairlead::datapath
