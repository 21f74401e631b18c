#include "datapath/program.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "datapath/probe_path.h"
#include "datapath/program_opener.h"

namespace fairlead::datapath {
namespace {

absl::Status Stopped(absl::string_view step) {
  return absl::CancelledError(absl::StrCat("stopped after: ", step));
}

// The links first: without them no packet meets the tables. Then the tables as
// a whole.
absl::Status RemovePins(const PinFolder& folder, const StopAfter& stop_after) {
  const auto stop = [&](absl::string_view step) {
    return stop_after && stop_after(step);
  };
  FL_RETURN_IF_ERROR(folder.Recover().status());
  FL_ASSIGN_OR_RETURN(const std::vector<PinnedLink> links,
                      FindPinnedLinks(folder.layout()));
  for (const PinnedLink& link : links) {
    FL_RETURN_IF_ERROR(RemoveLink(link));
    if (stop("remove a link")) return Stopped("remove a link");
  }
  FL_RETURN_IF_ERROR(ProbePath::Remove(folder.path()));
  if (stop("remove the road of checks"))
    return Stopped("remove the road of checks");
  FL_RETURN_IF_ERROR(folder.EndMove());
  FL_ASSIGN_OR_RETURN(const bool has_layout, folder.HasLayout());
  if (has_layout) FL_RETURN_IF_ERROR(folder.RetireLayout());
  if (stop("retire the maps")) return Stopped("retire the maps");
  FL_RETURN_IF_ERROR(folder.Recover().status());
  if (stop("remove the maps")) return Stopped("remove the maps");
  folder.RemoveIfEmpty();
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Program>> Program::Open(ProgramOptions options) {
  FL_RETURN_IF_ERROR(FinishMove(options));
  FL_ASSIGN_OR_RETURN(PinFolder folder, PinFolder::Lock(options.pin_path));
  return ProgramOpener(std::move(options), std::move(folder)).Run();
}

// A daemon that was killed in a move, and now yet another size is wanted: first
// to the size that the tables have by now.
absl::Status Program::FinishMove(ProgramOptions options) {
  FL_ASSIGN_OR_RETURN(PinFolder folder, PinFolder::Lock(options.pin_path));
  FL_ASSIGN_OR_RETURN(const std::string unfinished, folder.Recover());
  if (unfinished.empty()) return absl::OkStatus();
  FL_ASSIGN_OR_RETURN(const core::TableSizes sizes,
                      PinnedSizes(folder.layout(), options.sizes));
  if (sizes == options.sizes) return absl::OkStatus();
  options.sizes = sizes;
  return ProgramOpener(std::move(options), std::move(folder)).Run().status();
}

absl::Status Program::Detach(const StopAfter& stop_after) {
  return RemovePins(folder_, stop_after);
}

absl::Status Program::DetachFolder(const std::string& pin_path,
                                   const StopAfter& stop_after) {
  FL_ASSIGN_OR_RETURN(const PinFolder folder, PinFolder::Lock(pin_path));
  return RemovePins(folder, stop_after);
}

MapFds Program::maps() const {
  const auto fd = [this](absl::string_view name) {
    const auto at = std::find(kMapNames.begin(), kMapNames.end(), name);
    return map_fds_[static_cast<size_t>(at - kMapNames.begin())].get();
  };
  return {.services = fd("fl_services"),
          .rows = fd("fl_rows"),
          .backends = fd("fl_backends"),
          .load = fd("fl_load"),
          .flows = fd("fl_flows"),
          .verdicts = fd("fl_verdicts"),
          .service_stats = fd("fl_svc_stats"),
          .backend_stats = fd("fl_bkd_stats"),
          .leases = fd("fl_leases"),
          .prefixes = fd("fl_prefixes"),
          .limits = limits_.get(),
          .egress = egress_.get(),
          .source_stats = fd("fl_src_stats"),
          .source_conns = fd("fl_source_conns"),
          .flow_sources = fd("fl_flow_sources"),
          .trace = trace_.get(),
          .traced = traced_.get()};
}

}  // namespace fairlead::datapath
