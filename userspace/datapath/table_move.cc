#include "datapath/table_move.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace fairlead::datapath {

absl::Status TableMove::Fill(const Layout& layout,
                             const LoadedProgram& loaded) {
  for (size_t i = 0; i < kMapNames.size(); ++i) {
    const LoadedMap& map = loaded.maps[i];
    if (!map.resized_from.has_value()) continue;
    FL_RETURN_IF_ERROR(layout.fill(kMapNames[i], *map.resized_from, map.now),
                       "take over ", kMapNames[i]);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<TableMove>> TableMove::Prepare(
    const LoadedProgram& loaded, const core::TableSizes& sizes,
    const fl_timeouts& timeouts, uint32_t now_tick) {
  std::unique_ptr<TableMove> move(new TableMove());
  if (!loaded.old_flows.has_value()) return move;
  const OpenMap& old = *loaded.old_flows;
  const OpenMap& now = loaded.map("fl_flows").now;
  FL_ASSIGN_OR_RETURN(
      auto from, MappedArray<fl_bucket>::Map(old.fd.get(), old.shape.entries,
                                             "the old fl_flows"));
  FL_ASSIGN_OR_RETURN(
      auto to,
      MappedArray<fl_bucket>::Map(now.fd.get(), now.shape.entries, "fl_flows"));
  FlowMoveOptions options = {.timeouts = timeouts,
                             .now_tick = now_tick,
                             .backends = sizes.backends,
                             .table_only = {}};
  FL_ASSIGN_OR_RETURN(options.table_only,
                      FindTableOnly(loaded.map("fl_services").now,
                                    loaded.map("fl_backends").now));
  FL_RETURN_IF_ERROR(move->MapCharges(loaded, options));
  move->flows_ = std::make_unique<Flows>(std::move(from), std::move(to),
                                         std::move(options));
  return move;
}

absl::Status TableMove::MapCharges(const LoadedProgram& loaded,
                                   FlowMoveOptions& options) {
  const OpenMap& now = loaded.map("fl_flow_sources").now;
  const OpenMap& conns = loaded.map("fl_source_conns").now;
  if (conns.shape.entries <= 1) return absl::OkStatus();
  FL_ASSIGN_OR_RETURN(
      auto sets, MappedArray<fl_conn_set>::Map(
                     conns.fd.get(), conns.shape.entries, "fl_source_conns"));
  FL_ASSIGN_OR_RETURN(auto to,
                      MappedArray<fl_flow_charges>::Map(
                          now.fd.get(), now.shape.entries, "fl_flow_sources"));
  options.charges_to = SourceCharges(to.elements(), sets.elements());
  if (loaded.old_charges.has_value()) {
    const OpenMap& old = *loaded.old_charges;
    FL_ASSIGN_OR_RETURN(auto from, MappedArray<fl_flow_charges>::Map(
                                       old.fd.get(), old.shape.entries,
                                       "the old fl_flow_sources"));
    options.charges_from = SourceCharges(from.elements(), sets.elements());
    charges_.push_back(std::move(from));
  }
  charges_.push_back(std::move(to));
  conns_.emplace(std::move(sets));
  return absl::OkStatus();
}

void TableMove::Pass() {
  if (flows_ != nullptr) taken_ += flows_->move.Pass();
}

std::string TableMove::Finish() {
  if (flows_ == nullptr) return "";
  Pass();
  const FlowsLeft left = flows_->move.CountLeft();
  flows_->move.ReleaseCharges();
  std::string told = absl::StrCat(
      "flow table: ", taken_, " flows moved from ",
      flows_->from.elements().size() * FL_BUCKET_SLOTS, " slots to ",
      flows_->to.elements().size() * FL_BUCKET_SLOTS);
  if (left.sum() == 0) return told;
  absl::StrAppend(&told, "; ", left.sum(), " found no room (", left.live,
                  " established, ", left.pending,
                  " young): the backends' agents find where they live");
  if (left.table_only == 0) return told;
  return absl::StrCat(told, ", but ", left.table_only,
                      " are of services with guarantee flow-table and may "
                      "break; raise flows in section [tables]");
}

}  // namespace fairlead::datapath
