#include "agent/scanner.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "base/errors.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "datapath/libbpf_log.h"
#include "datapath/mapped_array.h"
#include "fairlead/abi/maps.h"
#include "sockets.skel.h"

namespace fairlead::agent {
namespace {

constexpr size_t kLogLines = 3;

struct SkeletonDeleter {
  void operator()(::sockets* skeleton) const { sockets__destroy(skeleton); }
};
using Skeleton = std::unique_ptr<::sockets, SkeletonDeleter>;

absl::Status LoadError(int error, const datapath::LibbpfLog& log) {
  return base::Annotate(base::BpfError(error, log.Tail(kLogLines)),
                        "load the socket scan (needs a kernel with BTF)");
}

absl::StatusOr<Skeleton> LoadSkeleton(int vips_map) {
  const datapath::LibbpfLog log;
  Skeleton skeleton(sockets__open());
  if (skeleton == nullptr) return LoadError(errno, log);
  if (const int error = bpf_map__reuse_fd(skeleton->maps.fl_vips, vips_map)) {
    return base::BpfError(error, "reuse fl_vips for the socket scan");
  }
  if (const int error = sockets__load(skeleton.get()))
    return LoadError(error, log);
  skeleton->links.fl_scan_sockets =
      bpf_program__attach_iter(skeleton->progs.fl_scan_sockets, nullptr);
  if (skeleton->links.fl_scan_sockets == nullptr) return LoadError(errno, log);
  return skeleton;
}

}  // namespace

struct Scanner::Kernel {
  Skeleton skeleton;
  datapath::MappedArray<uint64_t> counts;  // by fl_vip.index
};

absl::StatusOr<std::unique_ptr<Scanner>> Scanner::Create(
    event::Loop& loop, int vips_map, const Tables& tables,
    event::Mutex& tables_mutex) {
  FL_ASSIGN_OR_RETURN(Skeleton skeleton, LoadSkeleton(vips_map));
  FL_ASSIGN_OR_RETURN(datapath::MappedArray<uint64_t> counts,
                      datapath::MappedArray<uint64_t>::Map(
                          bpf_map__fd(skeleton->maps.fl_sockets),
                          FL_AGENT_MAX_VIPS, "fl_sockets"));
  auto kernel =
      std::make_unique<Kernel>(Kernel{std::move(skeleton), std::move(counts)});
  return std::unique_ptr<Scanner>(
      new Scanner(loop, tables, tables_mutex, std::move(kernel)));
}

Scanner::Scanner(event::Loop& loop, const Tables& tables,
                 event::Mutex& tables_mutex, std::unique_ptr<Kernel> kernel)
    : loop_(loop),
      tables_(tables),
      mutex_(tables_mutex),
      kernel_(std::move(kernel)) {}

Scanner::~Scanner() = default;

event::Task<absl::StatusOr<Scan>> Scanner::Latest() {
  const event::MutexLock lock = co_await mutex_.Lock();
  const base::MonoTime now = loop_.Now();
  if (last_.has_value() && now - last_->begun < kScanFreshness)
    co_return *last_;
  Scan scan;
  scan.begun = now;
  // Milliseconds since boot: a restarted agent goes on above what the one
  // before has given out, unless that scanned more than once a millisecond.
  scan.number = std::max(last_number_ + 1,
                         static_cast<uint64_t>(now.nanoseconds() / 1'000'000));
  FL_CO_RETURN_IF_ERROR(co_await Walk(), "scan the TCP sockets");
  for (const auto& [vip, index] : tables_.vips)
    scan.services.push_back({vip, kernel_->counts.elements()[index]});
  last_number_ = scan.number;
  last_ = scan;
  co_return scan;
}

event::Task<absl::Status> Scanner::Walk() {
  // Nobody counts now: scans run one at a time.
  std::fill(kernel_->counts.elements().begin(),
            kernel_->counts.elements().end(), 0);
  const base::UniqueFd walk(
      bpf_iter_create(bpf_link__fd(kernel_->skeleton->links.fl_scan_sockets)));
  if (!walk.valid()) co_return base::BpfError(errno, "bpf_iter_create");
  // The program writes nothing; the read that ends the walk gives 0 bytes.
  std::array<char, 64> nothing;
  while (true) {
    const absl::StatusOr<size_t> read = co_await loop_.Read(
        walk.get(), std::span<char>(nothing), event::kCurrentPosition);
    // EAGAIN: the kernel pauses after a million sockets.
    if (absl::IsUnavailable(read.status())) continue;
    if (!read.ok()) co_return read.status();
    if (*read == 0) co_return absl::OkStatus();
  }
}

}  // namespace fairlead::agent
