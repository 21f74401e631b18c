// TableMove: takes the contents of pinned tables over into new ones, of another
// size or of today's layout, while packets flow.
//
//   Fill      what the daemon alone writes: services, rows, backends
//   (commit)  the new maps count from now on, also for the next daemon
//   (switch)  to a program that finds in the old flow table what is not in the
//             new one yet
//   Pass      flows, from the old table into the new one
//   (load)    of a program that has the new table alone
//   Finish    what the last packets of the program before the switch put into
//             the old table meanwhile; tells what found no room
//   (switch)
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "datapath/flow_move.h"
#include "datapath/layouts.h"
#include "datapath/loader.h"
#include "datapath/mapped_array.h"

namespace fairlead::datapath {

class TableMove {
 public:
  // Fills the new maps of `loaded`, but for the flows.
  static absl::Status Fill(const Layout& layout, const LoadedProgram& loaded);

  // Prepares to move flows from `loaded`'s old table, if it has one.
  static absl::StatusOr<std::unique_ptr<TableMove>> Prepare(
      const LoadedProgram& loaded, const core::TableSizes& sizes,
      const fl_timeouts& timeouts, uint32_t now_tick);
  TableMove(const TableMove&) = delete;
  TableMove& operator=(const TableMove&) = delete;

  void Pass();
  // Returns what the operator should be told; empty: no flows were moved.
  std::string Finish();

 private:
  struct Flows {
    Flows(MappedArray<fl_bucket> old, MappedArray<fl_bucket> now,
          FlowMoveOptions options)
        : from(std::move(old)),
          to(std::move(now)),
          move(from.elements(), to.elements(), std::move(options)) {}

    MappedArray<fl_bucket> from, to;
    FlowMove move;  // borrows both
  };
  TableMove() = default;
  absl::Status MapCharges(const LoadedProgram& loaded,
                          FlowMoveOptions& options);

  // Outlive what borrows them.
  std::vector<MappedArray<fl_flow_charges>> charges_;
  std::optional<MappedArray<fl_conn_set>> conns_;

  std::unique_ptr<Flows> flows_;
  uint64_t taken_ = 0;
};

}  // namespace fairlead::datapath
