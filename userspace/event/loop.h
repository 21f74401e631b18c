// Loop: one thread, one io_uring ring, any number of coroutines. The only way
// in which Fairlead waits, and the only reader of the clocks.
//
//   auto loop = event::Loop::Create();
//   (*loop)->root().Spawn(Main(**loop));
//   (*loop)->Run();
//
// Every operation is awaited by a coroutine of the loop's thread and obeys that
// coroutine's Scope. One with a deadline reports DEADLINE_EXCEEDED when it
// passes first; a result that came first is never lost. Buffers, paths and file
// descriptors stay valid until the operation is done, which is the case if they
// live in the awaiting frame.
//
// Create, Run and every operation belong to one thread: the ring refuses any
// other.
#pragma once

#include <sys/types.h>

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/mono_time.h"
#include "base/unique_fd.h"
#include "event/operation.h"
#include "event/scope.h"
#include "event/socket.h"
#include "event/task.h"
#include "event/timer_queue.h"

namespace fairlead::event {

class Ring;

// An operation and its deadline take two entries, so fewer are refused.
inline constexpr uint32_t kMinSubmissionEntries = 2;
inline constexpr uint32_t kDefaultSubmissionEntries = 1024;
// Twice the kernel's default ratio; more completions than this at once cost a
// second call, not a loss.
inline constexpr uint32_t kDefaultCompletionEntries = 4096;
// A cancel request can meet its operation in the moment between two waits and
// miss it; then it is sent again after this time.
inline constexpr absl::Duration kCancelRetryInterval = absl::Milliseconds(10);

struct LoopOptions {
  // More operations than entries wait for room in user space.
  uint32_t submission_entries = kDefaultSubmissionEntries;
  uint32_t completion_entries = kDefaultCompletionEntries;
};

absl::Status ConvertStatus(const RingOp& op);
absl::StatusOr<size_t> ConvertSize(const RingOp& op);
absl::StatusOr<int> ConvertInt(const RingOp& op);
absl::StatusOr<base::UniqueFd> ConvertFd(const RingOp& op);

using StatusOp = Op<absl::Status, ConvertStatus>;
using SizeOp = Op<absl::StatusOr<size_t>, ConvertSize>;
using IntOp = Op<absl::StatusOr<int>, ConvertInt>;
using FdOp = Op<absl::StatusOr<base::UniqueFd>, ConvertFd>;

class Loop {
 public:
  // PERMISSION_DENIED or UNIMPLEMENTED with the remedy if the kernel gives no
  // ring.
  static absl::StatusOr<std::unique_ptr<Loop>> Create(
      const LoopOptions& options = {});
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;
  // Requires: root().empty(), which holds when Run() has returned.
  ~Loop();

  // Runs until the root scope has no task left.
  void Run();
  // Cancels the root scope, and so makes Run() return when every task has
  // ended.
  void Stop();
  Scope& root() { return root_; }

  // CLOCK_MONOTONIC.
  base::MonoTime Now() const;
  absl::Time WallNow() const;

  // The new socket has FD_CLOEXEC and blocks; the ring does not mind.
  FdOp Accept(int fd, base::MonoTime deadline = kNoDeadline);
  Task<absl::Status> Connect(int fd, SocketAddress address,
                             base::MonoTime deadline = kNoDeadline);
  // 0 at the end of the stream.
  SizeOp Recv(int fd, std::span<char> buffer,
              base::MonoTime deadline = kNoDeadline);
  // May send less than all. A vanished peer is an error, never SIGPIPE.
  SizeOp Send(int fd, absl::string_view data,
              base::MonoTime deadline = kNoDeadline);
  Task<absl::Status> SendAll(int fd, absl::string_view data,
                             base::MonoTime deadline = kNoDeadline);

  // At the file's own position if `offset` is kCurrentPosition.
  SizeOp Read(int fd, std::span<char> buffer, uint64_t offset,
              base::MonoTime deadline = kNoDeadline);
  SizeOp Write(int fd, absl::string_view data, uint64_t offset,
               base::MonoTime deadline = kNoDeadline);
  StatusOp Fsync(int fd);
  // Without what a reader of the data does not need, such as the mtime.
  StatusOp FdataSync(int fd);
  // FD_CLOEXEC is added to `flags`.
  Task<absl::StatusOr<base::UniqueFd>> Open(std::string path, int flags,
                                            mode_t mode = 0);
  Task<absl::Status> Rename(std::string from, std::string to);
  Task<absl::Status> Unlink(std::string path);

  // Waits for one of the poll(2) events in `mask` and gives those that hold.
  IntOp Poll(int fd, short mask, base::MonoTime deadline = kNoDeadline);

  // OK at the deadline, CANCELLED when cancelled before.
  SleepOp SleepUntil(base::MonoTime deadline);
  SleepOp SleepFor(absl::Duration duration);
  // Lets everything else that is ready run first. Not cancellable.
  YieldOp Yield() { return YieldOp(*this); }

  // Tasks of all scopes that are suspended in a ring request.
  size_t pending_operations() const { return pending_operations_; }

  // For awaitables: resumes `coroutine` in the next turn.
  void MakeReady(std::coroutine_handle<> coroutine);
  TimerQueue& timers() { return timers_; }

 private:
  friend class RingOp;
  friend class Ring;

  explicit Loop(std::unique_ptr<Ring> ring);
  void Turn();
  void QueueOp(RingOp& op);
  void QueueCancel(RingOp& op);
  void FlushQueues();
  base::MonoTime NextWakeup() const;
  // Called by the ring as it collects completions; resumes nothing.
  void OnCompletion(RingOp& op, int result);
  void OnCancelCompletion(RingOp& op);
  void FinishIfQuiet(RingOp& op);

  std::unique_ptr<Ring> ring_;
  TimerQueue timers_;
  std::vector<std::coroutine_handle<>> ready_;
  std::vector<std::coroutine_handle<>> resuming_;
  size_t pending_operations_ = 0;

  // Operations and cancel requests that found the submission queue full.
  List<RingOp, RingQueueTag> backlog_;
  List<RingOp, RingQueueTag> cancels_;
  // Cancel requests that the kernel missed, sent again at retry_at_.
  List<RingOp, RingQueueTag> retries_;
  base::MonoTime retry_at_ = kNoDeadline;

  Scope root_;
};

// For Loop::Read and Loop::Write.
inline constexpr uint64_t kCurrentPosition = ~uint64_t{0};

}  // namespace fairlead::event
