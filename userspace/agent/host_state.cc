#include "agent/host_state.h"

#include <atomic>
#include <fstream>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "event/files.h"

namespace fairlead::agent {
namespace {

constexpr mode_t kFileMode = 0600;
constexpr char kDraining[] = "draining\n";
constexpr char kReady[] = "ready\n";

std::string PathOf(const std::string& folder) {
  return absl::StrCat(folder, "/host-state");
}

}  // namespace

absl::StatusOr<HostState> HostState::Open(int fd, std::string folder) {
  FL_ASSIGN_OR_RETURN(auto states, datapath::MappedArray<fl_agent_state>::Map(
                                       fd, 1, "fl_state"));
  HostState state(std::move(states), std::move(folder));
  std::ifstream file(PathOf(state.folder_), std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  // Without the file, what the map holds is all that is known.
  if (file.is_open()) state.Set(FL_AGENT_DRAINING, text == kDraining);
  state.Set(FL_AGENT_HOT, false);
  return state;
}

void HostState::Set(uint64_t flag, bool on) {
  std::atomic_ref<__u64> word(state().flags);
  word.store(on ? word.load() | flag : word.load() & ~flag);
}

event::Task<absl::Status> HostState::SetDraining(event::Loop& loop,
                                                 bool draining) {
  FL_CO_RETURN_IF_ERROR(
      co_await event::WriteFileDurably(
          loop, PathOf(folder_), draining ? kDraining : kReady, kFileMode),
      "remember it");
  Set(FL_AGENT_DRAINING, draining);
  co_return absl::OkStatus();
}

void HostState::OnCounters(const Scan& scan, base::MonoTime now) {
  NoteSynCookies(scan.syn_cookies, now, state());
  if (overflows_.has_value() && scan.overflows != *overflows_)
    overflowed_at_ = now;
  overflows_ = scan.overflows;
  Set(FL_AGENT_HOT,
      overflowed_at_.has_value() && now - *overflowed_at_ < kHotFor);
}

}  // namespace fairlead::agent
