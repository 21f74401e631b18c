#include "event/ring.h"

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/errors.h"
#include "base/log.h"
#include "event/loop.h"

namespace fairlead::event {
namespace {

// The low bits of user_data say what completed, the high ones the turn of the
// request; the rest is the RingOp, whose address has 47 bits.
//
// The kernel looks for what a time-out or a cancel request is to end by its
// user_data, which may be after that has completed. The next operation of the
// same coroutine is likely at the same address: without the turn, it would be
// ended in its place.
enum class Completion : uint64_t {
  kIgnored = 0,  // a linked timeout: its operation's own result says all
  kOperation = 1,
  kCancel = 2,
};
constexpr uint64_t kCompletionMask = 3;
constexpr int kTurnShift = 48;
constexpr uint64_t kPointerMask =
    ((uint64_t{1} << kTurnShift) - 1) & ~kCompletionMask;
static_assert(alignof(RingOp) > kCompletionMask);

constexpr unsigned kCollectBatch = 128;

// Each set of flags is tried in turn; older kernels answer EINVAL to what they
// do not know. The first keeps the kernel's work for a completion in our own
// io_uring_enter, where it disturbs nothing.
constexpr unsigned kSetupFlags[] = {
    IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER |
        IORING_SETUP_DEFER_TASKRUN,
    IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN,
    0,
};

// The one place where an entry gets its user_data: liburing 2.3's prep
// functions leave the value of the entry's last use.
void Fill(io_uring_sqe* sqe, const RingRequest& request, uint64_t user_data) {
  *sqe = {};
  sqe->opcode = request.opcode;
  sqe->fd = request.fd;
  sqe->addr = request.address;
  sqe->len = request.length;
  sqe->off = request.offset;
  sqe->rw_flags = static_cast<__kernel_rwf_t>(request.op_flags);
  sqe->user_data = user_data;
}

uint64_t Tag(const RingOp& op, uint16_t turn, Completion completion) {
  const uint64_t pointer = reinterpret_cast<uint64_t>(&op);
  FL_CHECK((pointer & ~kPointerMask) == 0);
  return pointer | uint64_t{turn} << kTurnShift |
         static_cast<uint64_t>(completion);
}

// Errors that the next turn may not meet again.
bool IsTransient(int error) {
  return error == ETIME || error == EINTR || error == EAGAIN ||
         error == EBUSY || error == ENOMEM;
}

void CheckEntered(int result) {
  if (result >= 0 || IsTransient(-result)) return;
  // EBADR: the kernel had no memory for a completion and dropped it. What
  // waits for it would wait for ever.
  base::LogError("io_uring_enter: ", std::strerror(-result));
  FL_CHECK(result >= 0);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Ring>> Ring::Create(const LoopOptions& options) {
  if (options.submission_entries < kMinSubmissionEntries) {
    return absl::InvalidArgumentError(
        absl::StrCat("the ring needs ", kMinSubmissionEntries,
                     " submission entries, not ", options.submission_entries));
  }
  std::unique_ptr<Ring> ring(new Ring);
  int error = -EINVAL;
  for (const unsigned flags : kSetupFlags) {
    io_uring_params params = {};
    params.flags = flags | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
    params.cq_entries = options.completion_entries;
    error = io_uring_queue_init_params(options.submission_entries, &ring->ring_,
                                       &params);
    if (error != -EINVAL) break;
  }
  if (error < 0) {
    ring->ring_.ring_fd = -1;
    return base::UringError(error, "io_uring_setup");
  }
  const unsigned needed = IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG;
  if ((ring->ring_.features & needed) != needed) {
    return absl::UnimplementedError(
        "io_uring_setup: this kernel's io_uring is too old; Fairlead needs "
        "Linux 6.1");
  }
  return ring;
}

Ring::~Ring() {
  if (ring_.ring_fd >= 0) io_uring_queue_exit(&ring_);
}

unsigned Ring::EntriesFor(const RingOp& op) {
  return op.deadline_ == kNoDeadline ? 1 : 2;
}

bool Ring::MakeRoom(Loop& loop, unsigned entries) {
  if (io_uring_sq_space_left(&ring_) >= entries) return true;
  CheckEntered(io_uring_submit(&ring_));
  if (io_uring_sq_space_left(&ring_) >= entries) return true;
  // The kernel takes no more while completions overflow.
  Collect(loop);
  CheckEntered(io_uring_submit(&ring_));
  return io_uring_sq_space_left(&ring_) >= entries;
}

io_uring_sqe* Ring::Take() {
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  FL_CHECK(sqe != nullptr);
  return sqe;
}

void Ring::Push(RingOp& op) {
  io_uring_sqe* sqe = Take();
  op.turn_ = ++last_turn_;
  Fill(sqe, op.request_, Tag(op, op.turn_, Completion::kOperation));
  if (op.deadline_ == kNoDeadline) return;

  static_assert(sizeof(op.timeout_) == sizeof(__kernel_timespec));
  constexpr int64_t kNsPerSecond = 1'000'000'000;
  op.timeout_[0] = op.deadline_.nanoseconds() / kNsPerSecond;
  op.timeout_[1] = op.deadline_.nanoseconds() % kNsPerSecond;
  sqe->flags |= IOSQE_IO_LINK;
  Fill(Take(),
       {.opcode = IORING_OP_LINK_TIMEOUT,
        .address = reinterpret_cast<uint64_t>(op.timeout_),
        .length = 1,
        .op_flags = IORING_TIMEOUT_ABS},
       static_cast<uint64_t>(Completion::kIgnored));
}

void Ring::PushCancel(const RingOp& op) {
  Fill(Take(),
       {.opcode = IORING_OP_ASYNC_CANCEL,
        .address = Tag(op, op.turn_, Completion::kOperation)},
       Tag(op, op.turn_, Completion::kCancel));
}

void Ring::SubmitAndCollect(Loop& loop, absl::Duration wait) {
  if (wait <= absl::ZeroDuration()) {
    CheckEntered(io_uring_submit_and_get_events(&ring_));
  } else {
    const timespec limit = absl::ToTimespec(wait);
    __kernel_timespec timeout = {.tv_sec = limit.tv_sec,
                                 .tv_nsec = limit.tv_nsec};
    io_uring_cqe* first = nullptr;
    CheckEntered(
        io_uring_submit_and_wait_timeout(&ring_, &first, 1, &timeout, nullptr));
  }
  Collect(loop);
}

void Ring::Collect(Loop& loop) {
  io_uring_cqe* batch[kCollectBatch];
  while (true) {
    // Also fetches what overflowed, once the queue itself is empty.
    const unsigned count =
        io_uring_peek_batch_cqe(&ring_, batch, kCollectBatch);
    if (count == 0) return;
    for (unsigned i = 0; i < count; ++i) {
      const uint64_t user_data = batch[i]->user_data;
      auto* op = reinterpret_cast<RingOp*>(user_data & kPointerMask);
      switch (static_cast<Completion>(user_data & kCompletionMask)) {
        case Completion::kIgnored:
          break;
        case Completion::kOperation:
          loop.OnCompletion(*op, batch[i]->res);
          break;
        case Completion::kCancel:
          loop.OnCancelCompletion(*op);
          break;
      }
    }
    io_uring_cq_advance(&ring_, count);
  }
}

}  // namespace fairlead::event
