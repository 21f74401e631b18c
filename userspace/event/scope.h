// Scope: the owner of tasks that nobody awaits. It can ask them all to stop,
// and it is left only when they have.
//
//   Scope connections(co_await CurrentScope());
//   connections.Spawn(Talk(loop, std::move(fd)));
//   ...
//   connections.Cancel();
//   co_await connections.Join();
//
// Cancelling is a request: each pending operation of the scope's tasks is asked
// to end and then reports CANCELLED, or its result if that came first.
// Operations started later in a cancelled scope report CANCELLED at once, so a
// loop around an operation must end on its error. A frame is never destroyed
// before its last completion has arrived.
#pragma once

#include <coroutine>
#include <cstddef>
#include <vector>

#include "event/list.h"
#include "event/task.h"

namespace fairlead::event {

class Loop;

// An operation that a suspended coroutine waits for, as its scope sees it.
class Waiter : public ListLink<class WaiterTag> {
 public:
  virtual ~Waiter() = default;

 private:
  friend class Scope;
  // The scope is being cancelled. Called once, after the waiter has left the
  // scope's list; must not resume the coroutine before it returns.
  virtual void OnCancel() = 0;
};

class Scope : public ListLink<class ChildScopeTag> {
 public:
  // A scope that nobody cancels but its owner.
  explicit Scope(Loop& loop) : loop_(loop) {}
  // A scope that is cancelled with `parent`, which must outlive it.
  // NOLINTNEXTLINE(google-explicit-constructor): a child, not a copy
  explicit Scope(Scope& parent);
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;
  // Requires: empty().
  ~Scope();

  // Starts `task` in the next turn of the loop.
  void Spawn(Task<void> task);
  // Cancels all tasks of this scope and of the scopes within it.
  void Cancel();
  // Returns when no task is left. Does not cancel, and cannot be cancelled.
  Task<void> Join();

  bool cancelled() const { return cancelled_; }
  bool empty() const { return tasks_ == 0; }
  size_t tasks() const { return tasks_; }
  Loop& loop() const { return loop_; }

  // For awaitables: `waiter` is asked to stop when the scope is cancelled. It
  // leaves with Unlink(). Requires: !cancelled().
  void AddWaiter(Waiter& waiter);

 private:
  class Detached;
  class DetachedPromise;
  class JoinAwaiter;

  static Detached RunDetached(Task<void> task);
  void OnTaskDone();

  Loop& loop_;
  bool cancelled_ = false;
  size_t tasks_ = 0;
  List<Waiter, WaiterTag> waiters_;
  List<Scope, ChildScopeTag> children_;
  std::vector<std::coroutine_handle<>> joiners_;
};

// co_await CurrentScope() gives the Scope& that the coroutine runs in.
class CurrentScope {
 public:
  bool await_ready() const { return false; }
  template <ScopedPromise P>
  bool await_suspend(std::coroutine_handle<P> self) {
    scope_ = self.promise().scope();
    return false;
  }
  Scope& await_resume() const { return *scope_; }

 private:
  Scope* scope_ = nullptr;
};

}  // namespace fairlead::event
