#include "control/store.h"

#include <fcntl.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "control/state_codec.h"
#include "event/files.h"

namespace fairlead::control {
namespace {

// Services and addresses are nobody else's business.
constexpr mode_t kStateFileMode = 0600;

}  // namespace

Store::Store(event::Loop& loop, const std::string& state_dir)
    : loop_(loop),
      folder_(state_dir),
      path_(absl::StrCat(state_dir, "/", kStateFile)) {}

event::Task<absl::Status> Store::CheckFolder() {
  const absl::StatusOr<base::UniqueFd> folder =
      co_await loop_.Open(folder_, O_RDONLY | O_DIRECTORY);
  if (folder.ok()) co_return absl::OkStatus();
  co_return absl::Status(
      folder.status().code(),
      absl::StrCat("state folder ", folder_, ": ", folder.status().message(),
                   "; run: mkdir -m 700 ", folder_,
                   " (or set state_dir in the node config)"));
}

event::Task<absl::StatusOr<core::DesiredState>> Store::Load() {
  FL_CO_RETURN_IF_ERROR(co_await CheckFolder());
  absl::StatusOr<std::string> content = co_await event::ReadFile(loop_, path_);
  if (absl::IsNotFound(content.status())) co_return core::DesiredState();
  if (!content.ok()) {
    co_return base::Annotate(content.status(), "read the desired state from ",
                             path_);
  }
  absl::StatusOr<core::DesiredState> state = DecodeState(*content);
  if (!state.ok()) {
    co_return absl::DataLossError(absl::StrCat(
        path_, ": ", state.status().message(),
        "; mend the file, put a copy in its place, or move it away to start "
        "without services"));
  }
  durable_ = *std::move(content);
  co_return state;
}

event::Task<absl::Status> Store::Save(const core::DesiredState& state) {
  std::string content = EncodeState(state);
  const absl::Status saved =
      co_await event::WriteFileDurably(loop_, path_, content, kStateFileMode);
  if (saved.ok()) {
    durable_ = std::move(content);
    co_return absl::OkStatus();
  }
  const std::string what =
      absl::StrCat("save the desired state in ", path_, ": ", saved.message());
  const absl::Status put_back = co_await PutBack();
  if (put_back.ok()) co_return absl::InternalError(what);
  co_return absl::InternalError(absl::StrCat(
      what,
      "; and what was there could not be put back: ", put_back.message()));
}

// A write that failed after its rename has left the new content behind.
event::Task<absl::Status> Store::PutBack() {
  const absl::StatusOr<std::string> content =
      co_await event::ReadFile(loop_, path_);
  if (content.ok() && *content == durable_) co_return absl::OkStatus();
  if (durable_.empty()) {
    if (absl::IsNotFound(content.status())) co_return absl::OkStatus();
    co_return co_await loop_.Unlink(path_);
  }
  co_return co_await event::WriteFileDurably(loop_, path_, durable_,
                                             kStateFileMode);
}

}  // namespace fairlead::control
