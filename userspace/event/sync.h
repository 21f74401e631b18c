// Event and Mutex: how coroutines of one loop wait for each other. No threads:
// nothing here is atomic, and nothing resumes a coroutine before the caller has
// returned to the loop.
#pragma once

#include <coroutine>
#include <utility>

#include "absl/status/status.h"
#include "base/mono_time.h"
#include "event/list.h"
#include "event/operation.h"
#include "event/scope.h"
#include "event/timer_queue.h"

namespace fairlead::event {

// A condition that coroutines wait for. Used as a latch (Set, until Reset) or
// as a pulse (NotifyAll, seen only by those that wait already):
//
//   while (!ReadyToGo()) FL_CO_RETURN_IF_ERROR(co_await changed.Wait());
class Event {
 public:
  class Waiting;

  explicit Event(Loop& loop) : loop_(loop) {}
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  // Requires: nobody waits.
  ~Event() = default;

  // Wakes all who wait and lets later ones pass until Reset().
  void Set();
  void Reset() { set_ = false; }
  bool is_set() const { return set_; }
  // Wakes all who wait.
  void NotifyAll();

  // co_await gives an absl::Status: OK, CANCELLED or DEADLINE_EXCEEDED.
  Waiting Wait(base::MonoTime deadline = kNoDeadline);

 private:
  Loop& loop_;
  bool set_ = false;
  List<Waiting, class EventWaitTag> waiting_;
};

class [[nodiscard]] Event::Waiting : public Waiter,
                                     public Timer,
                                     public ListLink<EventWaitTag> {
 public:
  Waiting(Event& event, base::MonoTime deadline)
      : event_(event), deadline_(deadline) {}

  bool await_ready() const { return false; }
  template <ScopedPromise P>
  bool await_suspend(std::coroutine_handle<P> self) {
    return Start(*self.promise().scope(), self);
  }
  absl::Status await_resume() const { return status_; }

 private:
  friend class Event;
  bool Start(Scope& scope, std::coroutine_handle<> waiter);
  void OnCancel() override;
  void OnExpired() override;
  void Finish(absl::Status status);

  Event& event_;
  base::MonoTime deadline_;
  std::coroutine_handle<> waiter_;
  absl::Status status_;
};

class Mutex;

// Holds a Mutex until it is destroyed.
class [[nodiscard]] MutexLock {
 public:
  MutexLock(MutexLock&& other) noexcept
      : mutex_(std::exchange(other.mutex_, nullptr)) {}
  MutexLock& operator=(MutexLock&&) = delete;
  ~MutexLock();

 private:
  friend class Mutex;
  explicit MutexLock(Mutex& mutex) : mutex_(&mutex) {}
  Mutex* mutex_;
};

// Held by one coroutine at a time, given on in the order of Lock().
//
//   MutexLock lock = co_await mutex.Lock();
//
// Waiting for it is not cancellable, since the guard must be the answer: hold
// it only around operations that are.
class Mutex {
 public:
  class Locking;

  explicit Mutex(Loop& loop) : loop_(loop) {}
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;
  // Requires: nobody holds it or waits for it.
  ~Mutex();

  Locking Lock();
  bool locked() const { return locked_; }

 private:
  friend class MutexLock;
  void Unlock();

  Loop& loop_;
  bool locked_ = false;
  List<Locking, class MutexWaitTag> waiting_;
};

class [[nodiscard]] Mutex::Locking : public ListLink<MutexWaitTag> {
 public:
  explicit Locking(Mutex& mutex) : mutex_(mutex) {}

  bool await_ready() const { return false; }
  bool await_suspend(std::coroutine_handle<> self);
  MutexLock await_resume() const { return MutexLock(mutex_); }

 private:
  friend class Mutex;
  Mutex& mutex_;
  std::coroutine_handle<> waiter_;
};

}  // namespace fairlead::event
