// Ring: what the loop needs of liburing, and the only code that touches it.
// Knows submission entries and completions; which operation waits for what is
// the loop's business.
#pragma once

#include <liburing.h>

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "base/mono_time.h"
#include "event/operation.h"

namespace fairlead::event {

class Loop;
struct LoopOptions;

class Ring {
 public:
  static absl::StatusOr<std::unique_ptr<Ring>> Create(
      const LoopOptions& options);
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;
  ~Ring();

  // Entries that `op` takes: one, and one for its deadline.
  static unsigned EntriesFor(const RingOp& op);
  // True if `entries` are free, if need be after submitting those in use. Hands
  // the completions that stand in the way to `loop`.
  bool MakeRoom(Loop& loop, unsigned entries);
  // Requires: MakeRoom(EntriesFor(op)).
  void Push(RingOp& op);
  // Asks the kernel to cancel `op`. Requires: MakeRoom(1).
  void PushCancel(const RingOp& op);

  // Submits, and hands all completions to `loop`. Waits for at least one of
  // them for up to `wait`; not at all if it is zero.
  void SubmitAndCollect(Loop& loop, absl::Duration wait);

 private:
  Ring() = default;

  io_uring_sqe* Take();
  void Collect(Loop& loop);

  io_uring ring_ = {};
  uint16_t last_turn_ = 0;
};

}  // namespace fairlead::event
