// Task<T>: a lazy coroutine. Awaiting it starts it; it belongs to the frame
// that awaits it and ends before that frame goes on.
//
//   Task<absl::Status> Greet(Loop& loop, int fd) {
//     FL_CO_RETURN_IF_ERROR(co_await loop.SendAll(fd, "hello\n"));
//     co_return absl::OkStatus();
//   }
//
// A task runs in the Scope of the task that awaits it; Scope::Spawn starts one
// that nobody awaits. One thread; exceptions end the process.
//
// A coroutine's parameters are copied into its frame, the objects behind
// references, views and spans are not: they must live until the task is done.
// The closure of a lambda coroutine is such an object too.
//
// Never co_await in the condition of an if, while or switch, in ?:, && or ||,
// or inside CHECK(): give the result a name first. In a function without a
// local variable g++ 12 compiles `if ((co_await x).ok())` to a jump into
// nowhere, without a warning; behind && it awaits even when it must not. The
// FL_CO_ macros are safe.
#pragma once

#include <coroutine>
#include <cstdlib>
#include <optional>
#include <type_traits>
#include <utility>

#include "base/check.h"

namespace fairlead::event {

class Scope;

template <typename T>
class Task;

// What every coroutine of the loop has: the scope it runs in.
class PromiseBase {
 public:
  Scope* scope() const { return scope_; }
  void set_scope(Scope* scope) { scope_ = scope; }

  void unhandled_exception() noexcept { std::abort(); }

 private:
  Scope* scope_ = nullptr;
};

// A promise through which an awaitable of the loop finds its scope.
template <typename P>
concept ScopedPromise = std::is_base_of_v<PromiseBase, P>;

class TaskPromiseBase : public PromiseBase {
 public:
  class FinalAwaiter {
   public:
    bool await_ready() const noexcept { return false; }
    template <typename P>
    std::coroutine_handle<> await_suspend(
        std::coroutine_handle<P> self) const noexcept {
      const TaskPromiseBase& promise = self.promise();
      if (promise.starting_) return std::noop_coroutine();
      return promise.continuation_;
    }
    void await_resume() const noexcept {}
  };

  std::suspend_always initial_suspend() const noexcept { return {}; }
  FinalAwaiter final_suspend() const noexcept { return {}; }

  // Runs `self` until it first suspends or is done. True if it suspended; it
  // then resumes `continuation` when it is done.
  //
  // A plain call instead of a transfer: g++ turns a transfer into a jump only
  // at -O2 and never under AddressSanitizer, so a loop around a task that has
  // its answer at once would grow the stack with each round.
  template <typename P>
  static bool Start(std::coroutine_handle<P> self,
                    std::coroutine_handle<> continuation, Scope* scope) {
    TaskPromiseBase& promise = self.promise();
    promise.set_scope(scope);
    promise.continuation_ = continuation;
    promise.starting_ = true;
    self.resume();
    promise.starting_ = false;
    return !self.done();
  }

 private:
  std::coroutine_handle<> continuation_;
  // Start() is on the stack and resumes the awaiting frame itself.
  bool starting_ = false;
};

template <typename T>
class TaskPromise : public TaskPromiseBase {
 public:
  Task<T> get_return_object();

  template <typename U = T>
  requires std::is_constructible_v<T, U&&>
  void return_value(U&& value) { result_.emplace(std::forward<U>(value)); }

  T TakeResult() { return *std::move(result_); }

 private:
  std::optional<T> result_;
};

template <>
class TaskPromise<void> : public TaskPromiseBase {
 public:
  Task<void> get_return_object();
  void return_void() const {}
  void TakeResult() const {}
};

template <typename T>
class [[nodiscard]] Task {
 public:
  using promise_type = TaskPromise<T>;

  Task(Task&& other) noexcept
      : coroutine_(std::exchange(other.coroutine_, nullptr)) {}
  Task& operator=(Task&& other) noexcept {
    if (this == &other) return *this;
    if (coroutine_) coroutine_.destroy();
    coroutine_ = std::exchange(other.coroutine_, nullptr);
    return *this;
  }
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;
  ~Task() {
    if (coroutine_) coroutine_.destroy();
  }

  class Awaiter {
   public:
    explicit Awaiter(std::coroutine_handle<promise_type> task) : task_(task) {}
    bool await_ready() const { return false; }
    template <ScopedPromise P>
    bool await_suspend(std::coroutine_handle<P> parent) const {
      return TaskPromiseBase::Start(task_, parent, parent.promise().scope());
    }
    T await_resume() const { return task_.promise().TakeResult(); }

   private:
    std::coroutine_handle<promise_type> task_;
  };

  // A task is awaited once: co_await Function(), co_await std::move(task).
  Awaiter operator co_await() && {
    FL_CHECK(coroutine_ && !coroutine_.done());
    return Awaiter(coroutine_);
  }

 private:
  friend class TaskPromise<T>;
  explicit Task(std::coroutine_handle<promise_type> coroutine)
      : coroutine_(coroutine) {}

  std::coroutine_handle<promise_type> coroutine_;
};

template <typename T>
Task<T> TaskPromise<T>::get_return_object() {
  return Task<T>(std::coroutine_handle<TaskPromise<T>>::from_promise(*this));
}

inline Task<void> TaskPromise<void>::get_return_object() {
  return Task<void>(
      std::coroutine_handle<TaskPromise<void>>::from_promise(*this));
}

}  // namespace fairlead::event
