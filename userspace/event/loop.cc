#include "event/loop.h"

#include <fcntl.h>
#include <liburing.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "event/ring.h"

namespace fairlead::event {
namespace {

template <typename T>
uint64_t Address(const T* pointer) {
  return reinterpret_cast<uint64_t>(pointer);
}

// The kernel's length is 32 bits; a longer buffer is used in part, as with any
// short read or write.
uint32_t Length(size_t size) {
  constexpr size_t kMaxLength = 0x7fff'f000;
  return static_cast<uint32_t>(std::min(size, kMaxLength));
}

// When requests wait for room, the kernel is asked again at least this often:
// if nothing is in flight, no completion would wake the loop.
constexpr absl::Duration kBacklogRetryInterval = absl::Milliseconds(10);
// An idle loop wakes now and then for no reason; it costs nothing and spares
// the ring a second way of waiting.
constexpr absl::Duration kMaxWait = absl::Minutes(10);

}  // namespace

absl::Status ConvertStatus(const RingOp& op) { return op.status(); }

absl::StatusOr<size_t> ConvertSize(const RingOp& op) {
  if (op.result() < 0) return op.status();
  return static_cast<size_t>(op.result());
}

absl::StatusOr<int> ConvertInt(const RingOp& op) {
  if (op.result() < 0) return op.status();
  return op.result();
}

absl::StatusOr<base::UniqueFd> ConvertFd(const RingOp& op) {
  if (op.result() < 0) return op.status();
  return base::UniqueFd(op.result());
}

absl::StatusOr<std::unique_ptr<Loop>> Loop::Create(const LoopOptions& options) {
  FL_ASSIGN_OR_RETURN(std::unique_ptr<Ring> ring, Ring::Create(options));
  return std::unique_ptr<Loop>(new Loop(std::move(ring)));
}

Loop::Loop(std::unique_ptr<Ring> ring) : ring_(std::move(ring)), root_(*this) {}

Loop::~Loop() = default;

void Loop::Run() {
  while (!root_.empty()) Turn();
}

void Loop::Stop() { root_.Cancel(); }

void Loop::Turn() {
  timers_.Expire(Now());
  resuming_.swap(ready_);
  for (const std::coroutine_handle<> coroutine : resuming_) coroutine.resume();
  resuming_.clear();
  if (root_.empty()) return;

  FlushQueues();
  absl::Duration wait = absl::ZeroDuration();
  if (ready_.empty()) {
    // Otherwise every task waits for another one, for ever.
    FL_CHECK(pending_operations_ > 0 || timers_.size() > 0);
    wait = std::min(NextWakeup() - Now(), kMaxWait);
  }
  ring_->SubmitAndCollect(*this, wait);
}

base::MonoTime Loop::NextWakeup() const {
  base::MonoTime wakeup = timers_.NextDeadline();
  if (!retries_.empty()) wakeup = std::min(wakeup, retry_at_);
  if (!backlog_.empty() || !cancels_.empty())
    wakeup = std::min(wakeup, Now() + kBacklogRetryInterval);
  return wakeup;
}

void Loop::MakeReady(std::coroutine_handle<> coroutine) {
  ready_.push_back(coroutine);
}

void Loop::QueueOp(RingOp& op) {
  ++pending_operations_;
  // In the order of their start, so behind the backlog.
  if (!backlog_.empty() || !ring_->MakeRoom(*this, Ring::EntriesFor(op))) {
    backlog_.PushBack(op);
    return;
  }
  op.in_kernel_ = true;
  ring_->Push(op);
}

void Loop::QueueCancel(RingOp& op) {
  if (op.in_kernel_) {
    op.cancel_state_ = RingOp::CancelState::kWanted;
    cancels_.PushBack(op);
    return;
  }
  op.ListLink<RingQueueTag>::Unlink();
  op.result_ = -ECANCELED;
  FinishIfQuiet(op);
}

void Loop::FlushQueues() {
  if (!retries_.empty() && Now() >= retry_at_) {
    while (!retries_.empty()) {
      RingOp& op = retries_.PopFront();
      op.cancel_state_ = RingOp::CancelState::kWanted;
      cancels_.PushBack(op);
    }
  }
  // MakeRoom() comes first in both conditions: the completions that it collects
  // may take operations out of the lists.
  while (ring_->MakeRoom(*this, 1) && !cancels_.empty()) {
    RingOp& op = cancels_.PopFront();
    op.cancel_state_ = RingOp::CancelState::kInKernel;
    ring_->PushCancel(op);
  }
  while (ring_->MakeRoom(*this, kMinSubmissionEntries) && !backlog_.empty()) {
    RingOp& op = backlog_.PopFront();
    op.in_kernel_ = true;
    ring_->Push(op);
  }
}

void Loop::OnCompletion(RingOp& op, int result) {
  op.in_kernel_ = false;
  op.result_ = result;
  op.Waiter::Unlink();
  // A cancel request that has not been sent is not needed any more. One that
  // has been sent names this operation, so it must be answered before the
  // frame may go.
  op.ListLink<RingQueueTag>::Unlink();
  if (op.cancel_state_ != RingOp::CancelState::kInKernel)
    op.cancel_state_ = RingOp::CancelState::kNone;
  FinishIfQuiet(op);
}

void Loop::OnCancelCompletion(RingOp& op) {
  op.cancel_state_ = RingOp::CancelState::kNone;
  if (op.in_kernel_) {
    // Either its completion is on the way, or the request met it between a
    // wake-up and its next wait and was lost.
    if (retries_.empty()) retry_at_ = Now() + kCancelRetryInterval;
    op.cancel_state_ = RingOp::CancelState::kRetry;
    retries_.PushBack(op);
    return;
  }
  FinishIfQuiet(op);
}

void Loop::FinishIfQuiet(RingOp& op) {
  if (op.in_kernel_ || op.cancel_state_ != RingOp::CancelState::kNone) return;
  --pending_operations_;
  MakeReady(op.waiter_);
}

base::MonoTime Loop::Now() const {
  timespec now = {};
  FL_CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
  return base::MonoTime::FromNanoseconds(int64_t{now.tv_sec} * 1'000'000'000 +
                                         now.tv_nsec);
}

absl::Time Loop::WallNow() const { return absl::Now(); }

FdOp Loop::Accept(int fd, base::MonoTime deadline) {
  return FdOp(*this, {.name = "accept",
                      .request = {.opcode = IORING_OP_ACCEPT,
                                  .fd = fd,
                                  .op_flags = SOCK_CLOEXEC},
                      .deadline = deadline});
}

Task<absl::Status> Loop::Connect(int fd, SocketAddress address,
                                 base::MonoTime deadline) {
  RingOp op(*this, {.name = "connect",
                    .request = {.opcode = IORING_OP_CONNECT,
                                .fd = fd,
                                .address = Address(address.data()),
                                .offset = address.size()},
                    .deadline = deadline});
  co_await op;
  co_return op.status(absl::StrCat("connect ", address.ToString()));
}

SizeOp Loop::Recv(int fd, std::span<char> buffer, base::MonoTime deadline) {
  return SizeOp(*this, {.name = "recv",
                        .request = {.opcode = IORING_OP_RECV,
                                    .fd = fd,
                                    .address = Address(buffer.data()),
                                    .length = Length(buffer.size())},
                        .deadline = deadline});
}

SizeOp Loop::Send(int fd, absl::string_view data, base::MonoTime deadline) {
  return SizeOp(*this, {.name = "send",
                        .request = {.opcode = IORING_OP_SEND,
                                    .fd = fd,
                                    .address = Address(data.data()),
                                    .length = Length(data.size()),
                                    .op_flags = MSG_NOSIGNAL},
                        .deadline = deadline});
}

Task<absl::Status> Loop::SendAll(int fd, absl::string_view data,
                                 base::MonoTime deadline) {
  while (!data.empty()) {
    FL_CO_ASSIGN_OR_RETURN(const size_t sent,
                           co_await Send(fd, data, deadline));
    data.remove_prefix(sent);
  }
  co_return absl::OkStatus();
}

SizeOp Loop::Read(int fd, std::span<char> buffer, uint64_t offset,
                  base::MonoTime deadline) {
  return SizeOp(*this, {.name = "read",
                        .request = {.opcode = IORING_OP_READ,
                                    .fd = fd,
                                    .address = Address(buffer.data()),
                                    .length = Length(buffer.size()),
                                    .offset = offset},
                        .deadline = deadline});
}

SizeOp Loop::Write(int fd, absl::string_view data, uint64_t offset,
                   base::MonoTime deadline) {
  return SizeOp(*this, {.name = "write",
                        .request = {.opcode = IORING_OP_WRITE,
                                    .fd = fd,
                                    .address = Address(data.data()),
                                    .length = Length(data.size()),
                                    .offset = offset},
                        .deadline = deadline});
}

StatusOp Loop::Fsync(int fd) {
  return StatusOp(*this, {.name = "fsync",
                          .request = {.opcode = IORING_OP_FSYNC, .fd = fd}});
}

StatusOp Loop::FdataSync(int fd) {
  return StatusOp(*this, {.name = "fdatasync",
                          .request = {.opcode = IORING_OP_FSYNC,
                                      .fd = fd,
                                      .op_flags = IORING_FSYNC_DATASYNC}});
}

Task<absl::StatusOr<base::UniqueFd>> Loop::Open(std::string path, int flags,
                                                mode_t mode) {
  RingOp op(*this, {.name = "open",
                    .request = {
                        .opcode = IORING_OP_OPENAT,
                        .fd = AT_FDCWD,
                        .address = Address(path.c_str()),
                        .length = mode,
                        .op_flags = static_cast<uint32_t>(flags | O_CLOEXEC)}});
  co_await op;
  if (op.result() < 0) co_return op.status(absl::StrCat("open ", path));
  co_return base::UniqueFd(op.result());
}

Task<absl::Status> Loop::Rename(std::string from, std::string to) {
  RingOp op(*this, {.name = "rename",
                    .request = {.opcode = IORING_OP_RENAMEAT,
                                .fd = AT_FDCWD,
                                .address = Address(from.c_str()),
                                .length = static_cast<uint32_t>(AT_FDCWD),
                                .offset = Address(to.c_str())}});
  co_await op;
  co_return op.status(absl::StrCat("rename ", from, " to ", to));
}

Task<absl::Status> Loop::Unlink(std::string path) {
  RingOp op(*this, {.name = "unlink",
                    .request = {.opcode = IORING_OP_UNLINKAT,
                                .fd = AT_FDCWD,
                                .address = Address(path.c_str())}});
  co_await op;
  co_return op.status(absl::StrCat("unlink ", path));
}

IntOp Loop::Poll(int fd, short mask, base::MonoTime deadline) {
  return IntOp(*this, {.name = "poll",
                       .request = {.opcode = IORING_OP_POLL_ADD,
                                   .fd = fd,
                                   .op_flags = static_cast<uint32_t>(
                                       static_cast<unsigned short>(mask))},
                       .deadline = deadline});
}

SleepOp Loop::SleepUntil(base::MonoTime deadline) {
  return SleepOp(*this, deadline);
}

SleepOp Loop::SleepFor(absl::Duration duration) {
  return SleepOp(*this, Now() + duration);
}

}  // namespace fairlead::event
