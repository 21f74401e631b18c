#include "agent/scanner.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <span>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "base/errors.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "datapath/libbpf_log.h"
#include "datapath/mapped_array.h"
#include "event/files.h"
#include "fairlead/abi/maps.h"
#include "sockets.skel.h"

namespace fairlead::agent {
namespace {

constexpr size_t kLogLines = 3;
// Rows that are read before others have their turn.
constexpr uint32_t kRowsPerTurn = 4096;

struct SkeletonDeleter {
  void operator()(::sockets* skeleton) const { sockets__destroy(skeleton); }
};
using Skeleton = std::unique_ptr<::sockets, SkeletonDeleter>;

absl::Status LoadError(int error, const datapath::LibbpfLog& log) {
  return base::Annotate(base::BpfError(error, log.Tail(kLogLines)),
                        "load the socket scan (needs a kernel with BTF)");
}

absl::StatusOr<Skeleton> LoadSkeleton(int vips_map,
                                      const tier::HashKey& hash_key) {
  const datapath::LibbpfLog log;
  Skeleton skeleton(sockets__open());
  if (skeleton == nullptr) return LoadError(errno, log);
  if (const int error = bpf_map__reuse_fd(skeleton->maps.fl_vips, vips_map)) {
    return base::BpfError(error, "reuse fl_vips for the socket scan");
  }
  skeleton->rodata->fl_hash_key[0] = hash_key[0];
  skeleton->rodata->fl_hash_key[1] = hash_key[1];
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
  datapath::MappedArray<fl_scan> scan;     // one
};

absl::StatusOr<std::unique_ptr<Scanner>> Scanner::Create(
    event::Loop& loop, int vips_map, const tier::HashKey& hash_key,
    const Tables& tables, event::Mutex& tables_mutex) {
  FL_ASSIGN_OR_RETURN(Skeleton skeleton, LoadSkeleton(vips_map, hash_key));
  FL_ASSIGN_OR_RETURN(datapath::MappedArray<uint64_t> counts,
                      datapath::MappedArray<uint64_t>::Map(
                          bpf_map__fd(skeleton->maps.fl_sockets),
                          FL_AGENT_MAX_VIPS, "fl_sockets"));
  FL_ASSIGN_OR_RETURN(datapath::MappedArray<fl_scan> scan,
                      datapath::MappedArray<fl_scan>::Map(
                          bpf_map__fd(skeleton->maps.fl_scan), 1, "fl_scan"));
  auto kernel = std::make_unique<Kernel>(
      Kernel{std::move(skeleton), std::move(counts), std::move(scan)});
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
  FL_CO_RETURN_IF_ERROR(co_await ReadCounters(scan));
  FL_CO_RETURN_IF_ERROR(co_await Walk(), "scan the TCP sockets");
  for (const auto& [vip, line] : tables_.vips) {
    scan.services.push_back({.vip = vip,
                             .live = kernel_->counts.elements()[line.index],
                             .by_source = line.by_source,
                             .owned = core::RowSet(line.rows)});
  }
  FL_CO_RETURN_IF_ERROR(co_await CollectRows(scan), "collect the owned rows");
  if (walks_ > first_walk_) scan.previous_begun = last_begun_;
  scan.last_syn_cookie = syn_cookies_.last_sent();
  last_number_ = scan.number;
  last_begun_ = scan.begun;
  last_ = scan;
  co_return scan;
}

void Scanner::Forget() {
  last_.reset();
  first_walk_ = walks_ + 1;
}

event::Task<absl::Status> Scanner::ReadCounters(Scan& scan) {
  FL_CO_ASSIGN_OR_RETURN(
      const std::string netstat,
      co_await event::ReadFile(loop_, "/proc/self/net/netstat"));
  FL_CO_ASSIGN_OR_RETURN(const uint64_t sent,
                         ParseTcpCounter(netstat, "SyncookiesSent"));
  FL_CO_ASSIGN_OR_RETURN(scan.overflows,
                         ParseTcpCounter(netstat, "ListenOverflows"));
  syn_cookies_.OnCount(sent, loop_.Now());
  co_return absl::OkStatus();
}

event::Task<absl::Status> Scanner::CollectRows(Scan& scan) {
  absl::flat_hash_map<uint32_t, core::RowSet*> sets;  // by fl_vip.index
  for (ServiceSockets& service : scan.services)
    sets[tables_.vips.at(service.vip).index] = &service.owned;
  const int fd = bpf_map__fd(kernel_->skeleton->maps.fl_owned);
  std::vector<fl_owned_key> keys(kRowsPerTurn), old;
  std::vector<fl_owned> values(kRowsPerTurn);
  uint32_t position = 0;
  bool more = true, first = true;
  while (more) {
    uint32_t count = kRowsPerTurn;
    const int error =
        bpf_map_lookup_batch(fd, first ? nullptr : &position, &position,
                             keys.data(), values.data(), &count, nullptr);
    if (error != 0 && error != -ENOENT) co_return base::BpfError(error, "read");
    more = error == 0;
    first = false;
    for (uint32_t i = 0; i < count; ++i) {
      // Those of earlier scans are of no use any more.
      const uint32_t age = walks_ - values[i].scan;
      if (age > 1) {
        old.push_back(keys[i]);
        continue;
      }
      const auto set = sets.find(keys[i].vip);
      if (set != sets.end() && keys[i].row < set->second->rows())
        set->second->Add(keys[i].row);
    }
    if (more) co_await loop_.Yield();
  }
  for (const fl_owned_key& key : old) bpf_map_delete_elem(fd, &key);
  co_return absl::OkStatus();
}

event::Task<absl::Status> Scanner::Walk() {
  // Nobody counts now: scans run one at a time.
  kernel_->scan.elements()[0] = {.number = ++walks_, .lost = 0};
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
    if (*read == 0) break;
  }
  const uint32_t lost = kernel_->scan.elements()[0].lost;
  if (lost == 0) co_return absl::OkStatus();
  co_return absl::ResourceExhaustedError(
      absl::StrCat("fl_owned took no more rows for ", lost, " sockets"));
}

}  // namespace fairlead::agent
