// Signals as something that a coroutine waits for.
#pragma once

#include <initializer_list>
#include <utility>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "event/loop.h"
#include "event/task.h"

namespace fairlead::event {

class Signals {
 public:
  // Blocks the signals for this thread and those it starts later, for good: a
  // signal that nobody asks for with Next() stays pending.
  static absl::StatusOr<Signals> Block(std::initializer_list<int> signals);

  // The number of the next one.
  Task<absl::StatusOr<int>> Next(Loop& loop);

 private:
  explicit Signals(base::UniqueFd fd) : fd_(std::move(fd)) {}

  base::UniqueFd fd_;
};

}  // namespace fairlead::event
