#include "event/scope.h"

#include <utility>

#include "base/check.h"
#include "event/loop.h"

namespace fairlead::event {

// The frame around a spawned task. It destroys itself.
class Scope::DetachedPromise : public PromiseBase {
 public:
  Detached get_return_object();
  std::suspend_always initial_suspend() const noexcept { return {}; }
  std::suspend_never final_suspend() const noexcept { return {}; }
  void return_void() const {}
};

class Scope::Detached {
 public:
  using promise_type = DetachedPromise;
  std::coroutine_handle<DetachedPromise> coroutine;
};

Scope::Detached Scope::DetachedPromise::get_return_object() {
  return {std::coroutine_handle<DetachedPromise>::from_promise(*this)};
}

class Scope::JoinAwaiter {
 public:
  explicit JoinAwaiter(Scope& scope) : scope_(scope) {}
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> self) const {
    scope_.joiners_.push_back(self);
  }
  void await_resume() const {}

 private:
  Scope& scope_;
};

Scope::Scope(Scope& parent)
    : loop_(parent.loop_), cancelled_(parent.cancelled_) {
  parent.children_.PushBack(*this);
}

Scope::~Scope() {
  FL_CHECK(empty());
  Unlink();
}

void Scope::Spawn(Task<void> task) {
  Detached detached = RunDetached(std::move(task));
  detached.coroutine.promise().set_scope(this);
  ++tasks_;
  loop_.MakeReady(detached.coroutine);
}

Scope::Detached Scope::RunDetached(Task<void> task) {
  Scope& scope = co_await CurrentScope();
  {
    // The task's frame, with everything it was given, ends before the scope
    // counts it as done.
    Task<void> owned = std::move(task);
    co_await std::move(owned);
  }
  scope.OnTaskDone();
}

void Scope::OnTaskDone() {
  --tasks_;
  if (tasks_ > 0) return;
  for (const std::coroutine_handle<> joiner : joiners_) loop_.MakeReady(joiner);
  joiners_.clear();
}

void Scope::Cancel() {
  if (cancelled_) return;
  cancelled_ = true;
  while (!waiters_.empty()) waiters_.PopFront().OnCancel();
  children_.ForEach([](Scope& child) { child.Cancel(); });
}

Task<void> Scope::Join() {
  // Again, because a task may have been spawned since the last one ended.
  while (!empty()) co_await JoinAwaiter(*this);
}

void Scope::AddWaiter(Waiter& waiter) {
  FL_CHECK(!cancelled_);
  waiters_.PushBack(waiter);
}

}  // namespace fairlead::event
