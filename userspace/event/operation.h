// The awaitables of the loop: one ring request each (RingOp, Op<Result>), a
// sleep, and a turn given away. They live in the frame of the coroutine that
// awaits them and know its scope.
//
// Not for use outside event/ except as what Loop's functions return.
#pragma once

#include <coroutine>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/mono_time.h"
#include "event/list.h"
#include "event/scope.h"
#include "event/timer_queue.h"

namespace fairlead::event {

class Loop;

inline constexpr base::MonoTime kNoDeadline = base::MonoTime::InfiniteFuture();

// A request in the ring's terms, without the ring's header.
struct RingRequest {
  uint8_t opcode = 0;
  int fd = -1;
  uint64_t address = 0;
  uint32_t length = 0;
  uint64_t offset = 0;
  uint32_t op_flags = 0;  // msg_flags, open_flags, poll events...
};

struct RingOpOptions {
  const char* name;  // the system call, for messages; static
  RingRequest request;
  base::MonoTime deadline = kNoDeadline;
};

class RingOp : public Waiter, public ListLink<class RingQueueTag> {
 public:
  RingOp(Loop& loop, const RingOpOptions& options)
      : loop_(loop),
        name_(options.name),
        request_(options.request),
        deadline_(options.deadline) {}

  bool await_ready() const { return false; }
  template <ScopedPromise P>
  bool await_suspend(std::coroutine_handle<P> self) {
    return Start(*self.promise().scope(), self);
  }

  void await_resume() const {}

  // Valid once completed: the kernel's result, negative on error.
  int result() const { return result_; }
  // Valid once completed. OK if result() >= 0; otherwise the error of `what`,
  // CANCELLED if the scope was cancelled first, DEADLINE_EXCEEDED if the
  // deadline passed first.
  absl::Status status(absl::string_view what) const;
  absl::Status status() const { return status(name_); }

 private:
  friend class Loop;
  friend class Ring;
  enum class CancelState {
    kNone,
    kWanted,    // waits for room in the submission queue
    kInKernel,  // its own completion is still to come
    kRetry,     // the kernel missed the request once; asked again soon
  };

  // False if the operation is complete at once.
  bool Start(Scope& scope, std::coroutine_handle<> waiter);
  void OnCancel() override;

  // Constant after construction.
  Loop& loop_;
  const char* name_;
  RingRequest request_;
  base::MonoTime deadline_;

  std::coroutine_handle<> waiter_;
  int result_ = 0;
  bool in_kernel_ = false;
  bool cancel_requested_ = false;
  uint16_t turn_ = 0;  // of the ring's requests, set when it is pushed
  CancelState cancel_state_ = CancelState::kNone;
  // struct __kernel_timespec of the linked timeout; the kernel reads it at
  // submission, which may be later than the call that queued the request.
  int64_t timeout_[2] = {0, 0};
};

// A RingOp whose value is made by `Convert`.
template <typename Result, Result (*Convert)(const RingOp&)>
class [[nodiscard]] Op : public RingOp {
 public:
  using RingOp::RingOp;
  Result await_resume() const { return Convert(*this); }
};

class [[nodiscard]] SleepOp : public Waiter, public Timer {
 public:
  SleepOp(Loop& loop, base::MonoTime deadline)
      : loop_(loop), deadline_(deadline) {}

  bool await_ready() const { return false; }
  template <ScopedPromise P>
  bool await_suspend(std::coroutine_handle<P> self) {
    return Start(*self.promise().scope(), self);
  }
  absl::Status await_resume() const;

 private:
  bool Start(Scope& scope, std::coroutine_handle<> waiter);
  void OnCancel() override;
  void OnExpired() override;

  Loop& loop_;
  base::MonoTime deadline_;
  std::coroutine_handle<> waiter_;
  bool cancelled_ = false;
};

class [[nodiscard]] YieldOp {
 public:
  explicit YieldOp(Loop& loop) : loop_(loop) {}
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> self);
  void await_resume() const {}

 private:
  Loop& loop_;
};

}  // namespace fairlead::event
