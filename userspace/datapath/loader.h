// Loads the LB host's program into the kernel: sets the sizes of its maps and
// its configuration, takes over maps that are pinned already, has the verifier
// look at it. Pins and attaches nothing.
#pragma once

#include <array>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"
#include "core/model.h"
#include "datapath/map_shape.h"
#include "datapath/table_memory.h"
#include "fairlead/abi/config.h"

namespace fairlead::datapath {

struct LoadedMap {
  OpenMap now;
  bool adopted = false;  // was pinned; else it is new and empty
  // Of another size was pinned: this; its contents are to be taken over.
  std::optional<OpenMap> resized_from;
};

struct LoadedProgram {
  base::UniqueFd program;
  std::array<LoadedMap, kMapNames.size()> maps;  // in the order of kMapNames
  // The flow table that the program looks into second, if there is one.
  std::optional<OpenMap> old_flows;
  // And what its flows are charged to, if that is to be taken over.
  std::optional<OpenMap> old_charges;
  // Of fairlead/abi/trace.h; never pinned.
  base::UniqueFd trace, traced;
  // Never pinned either: the daemon that has this program writes them.
  base::UniqueFd limits;
  // And this; it is empty.
  base::UniqueFd egress;

  const LoadedMap& map(absl::string_view name) const;
};

struct LoadRequest {
  fl_config config;  // must agree with `sizes`
  core::TableSizes sizes;
  std::string pins;  // maps that are pinned there are used if they fit
  // Where the maps are that `pins` were to take the place of when a daemon was
  // killed; empty: nowhere.
  std::string unfinished;
  std::optional<MemoryRoom> room;  // nullopt: what the host has
};

// Errors: a pinned map of another shape, other than by its size; no memory for
// those that have to be made; a program that the kernel refuses.
absl::StatusOr<LoadedProgram> LoadProgram(const LoadRequest& request);

// Errors: a size that the tables cannot have.
absl::Status CheckSizes(const core::TableSizes& sizes);

}  // namespace fairlead::datapath
