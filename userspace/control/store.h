// Store: where the desired state is durable: desired.json in the state folder.
// One writer at a time.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/model.h"
#include "event/loop.h"
#include "event/task.h"

namespace fairlead::control {

inline constexpr absl::string_view kStateFile = "desired.json";

class Store {
 public:
  Store(event::Loop& loop, const std::string& state_dir);
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // An empty state if there is no file yet. A file that cannot be read or
  // understood is an error that names it, the place and the remedy.
  event::Task<absl::StatusOr<core::DesiredState>> Load();

  // OK: `state` is on the disk. An error, which is always INTERNAL: what was
  // there before is, unless the message says that it could not be put back.
  event::Task<absl::Status> Save(const core::DesiredState& state);

  const std::string& path() const { return path_; }

 private:
  event::Task<absl::Status> CheckFolder();
  event::Task<absl::Status> PutBack();

  event::Loop& loop_;
  std::string folder_;
  std::string path_;
  std::string durable_;  // content of the file; empty: there is none
};

}  // namespace fairlead::control
