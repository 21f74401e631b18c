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

// The low bits of user_data say what completed; the rest is the RingOp.
enum class Completion : uint64_t {
  kIgnored = 0,  // a linked timeout: its operation's own result says all
  kOperation = 1,
  kCancel = 2,
};
constexpr uint64_t kCompletionMask = 3;
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
void Fill(io_uring_sqe* sqe, const RingRequest& request, Completion completion,
          const RingOp* op) {
  *sqe = {};
  sqe->opcode = request.opcode;
  sqe->fd = request.fd;
  sqe->addr = request.address;
  sqe->len = request.length;
  sqe->off = request.offset;
  sqe->rw_flags = static_cast<__kernel_rwf_t>(request.op_flags);
  sqe->user_data =
      reinterpret_cast<uint64_t>(op) | static_cast<uint64_t>(completion);
}

uint64_t OperationTag(const RingOp& op) {
  return reinterpret_cast<uint64_t>(&op) |
         static_cast<uint64_t>(Completion::kOperation);
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
  Fill(sqe, op.request_, Completion::kOperation, &op);
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
       Completion::kIgnored, nullptr);
}

void Ring::PushCancel(const RingOp& op) {
  Fill(Take(), {.opcode = IORING_OP_ASYNC_CANCEL, .address = OperationTag(op)},
       Completion::kCancel, &op);
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
      auto* op = reinterpret_cast<RingOp*>(user_data & ~kCompletionMask);
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
