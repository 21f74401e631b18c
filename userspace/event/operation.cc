#include "event/operation.h"

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "base/errors.h"
#include "event/loop.h"

namespace fairlead::event {

absl::Status RingOp::status(absl::string_view what) const {
  if (result_ >= 0) return absl::OkStatus();
  // EINTR: a worker thread of the kernel was interrupted to end the operation.
  if (result_ == -ECANCELED || result_ == -EINTR) {
    if (cancel_requested_)
      return absl::CancelledError(absl::StrCat(what, ": cancelled"));
    if (deadline_ != kNoDeadline)
      return absl::DeadlineExceededError(absl::StrCat(what, ": timed out"));
  }
  // Not UringError, which explains why there is no ring.
  errno = -result_;
  return base::SyscallError(what);
}

bool RingOp::Start(Scope& scope, std::coroutine_handle<> waiter) {
  if (scope.cancelled()) {
    cancel_requested_ = true;
    result_ = -ECANCELED;
    return false;
  }
  waiter_ = waiter;
  scope.AddWaiter(*this);
  loop_.QueueOp(*this);
  return true;
}

void RingOp::OnCancel() {
  cancel_requested_ = true;
  loop_.QueueCancel(*this);
}

absl::Status SleepOp::await_resume() const {
  if (cancelled_) return absl::CancelledError("sleep: cancelled");
  return absl::OkStatus();
}

bool SleepOp::Start(Scope& scope, std::coroutine_handle<> waiter) {
  if (scope.cancelled()) {
    cancelled_ = true;
    return false;
  }
  waiter_ = waiter;
  scope.AddWaiter(*this);
  // Even if the deadline has passed: a task that only sleeps must not keep the
  // loop from everything else.
  loop_.timers().Add(*this, deadline_);
  return true;
}

void SleepOp::OnCancel() {
  cancelled_ = true;
  loop_.timers().Remove(*this);
  loop_.MakeReady(waiter_);
}

void SleepOp::OnExpired() {
  Unlink();
  loop_.MakeReady(waiter_);
}

void YieldOp::await_suspend(std::coroutine_handle<> self) {
  loop_.MakeReady(self);
}

}  // namespace fairlead::event
