#include "event/sync.h"

#include "base/check.h"
#include "event/loop.h"

namespace fairlead::event {

void Event::Set() {
  set_ = true;
  NotifyAll();
}

void Event::NotifyAll() {
  while (!waiting_.empty()) waiting_.front().Finish(absl::OkStatus());
}

Event::Waiting Event::Wait(base::MonoTime deadline) {
  return Waiting(*this, deadline);
}

bool Event::Waiting::Start(Scope& scope, std::coroutine_handle<> waiter) {
  if (scope.cancelled()) {
    status_ = absl::CancelledError("wait: cancelled");
    return false;
  }
  if (event_.set_) return false;
  waiter_ = waiter;
  scope.AddWaiter(*this);
  event_.waiting_.PushBack(*this);
  event_.loop_.timers().Add(*this, deadline_);
  return true;
}

void Event::Waiting::OnCancel() {
  Finish(absl::CancelledError("wait: cancelled"));
}

void Event::Waiting::OnExpired() {
  Finish(absl::DeadlineExceededError("wait: timed out"));
}

void Event::Waiting::Finish(absl::Status status) {
  status_ = std::move(status);
  Waiter::Unlink();
  ListLink<EventWaitTag>::Unlink();
  event_.loop_.timers().Remove(*this);
  event_.loop_.MakeReady(waiter_);
}

MutexLock::~MutexLock() {
  if (mutex_ != nullptr) mutex_->Unlock();
}

Mutex::~Mutex() { FL_CHECK(!locked_); }

Mutex::Locking Mutex::Lock() { return Locking(*this); }

void Mutex::Unlock() {
  FL_CHECK(locked_);
  if (waiting_.empty()) {
    locked_ = false;
    return;
  }
  // Stays locked: handed on, so that nobody overtakes.
  loop_.MakeReady(waiting_.PopFront().waiter_);
}

bool Mutex::Locking::await_suspend(std::coroutine_handle<> self) {
  if (!mutex_.locked_) {
    mutex_.locked_ = true;
    return false;
  }
  waiter_ = self;
  mutex_.waiting_.PushBack(*this);
  return true;
}

}  // namespace fairlead::event
