#include "agent/scanner.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <span>
#include <string>
#include <utility>

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
constexpr uint32_t kRowsPerTurn = 65536;
// What fl_owned has room for until there is more to count: a page.
constexpr uint32_t kLeastRows = 512;

struct SkeletonDeleter {
  void operator()(::sockets* skeleton) const { sockets__destroy(skeleton); }
};
using Skeleton = std::unique_ptr<::sockets, SkeletonDeleter>;

absl::Status LoadError(int error, const datapath::LibbpfLog& log) {
  return base::Annotate(base::BpfError(error, log.Tail(kLogLines)),
                        "load the socket scan (needs a kernel with BTF)");
}

absl::StatusOr<Skeleton> LoadSkeleton(const AgentMapFds& maps,
                                      const tier::HashKey& hash_key,
                                      uint32_t rows) {
  const datapath::LibbpfLog log;
  Skeleton skeleton(sockets__open());
  if (skeleton == nullptr) return LoadError(errno, log);
  if (const int error = bpf_map__reuse_fd(skeleton->maps.fl_vips, maps.vips)) {
    return base::BpfError(error, "reuse fl_vips for the socket scan");
  }
  if (maps.sources >= 0) {
    if (const int error =
            bpf_map__reuse_fd(skeleton->maps.fl_sources, maps.sources))
      return base::BpfError(error, "reuse fl_sources for the socket scan");
  }
  if (const int error =
          bpf_map__set_max_entries(skeleton->maps.fl_owned, rows)) {
    return base::BpfError(error, "size fl_owned for the socket scan");
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
  datapath::MappedArray<fl_vip_sockets> sockets;  // by fl_vip.index
  datapath::MappedArray<uint64_t> owned;          // by row of all services
  datapath::MappedArray<fl_scan> scan;            // one
};

absl::StatusOr<std::unique_ptr<Scanner>> Scanner::Create(
    event::Loop& loop, const AgentMapFds& maps, const tier::HashKey& hash_key,
    const Tables& tables, event::Mutex& tables_mutex) {
  std::unique_ptr<Scanner> scanner(
      new Scanner(loop, maps, hash_key, tables, tables_mutex));
  // A kernel that cannot do it is to be known at once.
  FL_RETURN_IF_ERROR(scanner->Load(kLeastRows));
  return scanner;
}

Scanner::Scanner(event::Loop& loop, const AgentMapFds& maps,
                 const tier::HashKey& hash_key, const Tables& tables,
                 event::Mutex& tables_mutex)
    : loop_(loop),
      maps_(maps),
      hash_key_(hash_key),
      tables_(tables),
      mutex_(tables_mutex) {}

Scanner::~Scanner() = default;

absl::Status Scanner::Load(uint32_t rows) {
  FL_ASSIGN_OR_RETURN(Skeleton skeleton, LoadSkeleton(maps_, hash_key_, rows));
  FL_ASSIGN_OR_RETURN(auto sockets, datapath::MappedArray<fl_vip_sockets>::Map(
                                        bpf_map__fd(skeleton->maps.fl_sockets),
                                        FL_AGENT_MAX_VIPS, "fl_sockets"));
  FL_ASSIGN_OR_RETURN(
      auto owned, datapath::MappedArray<uint64_t>::Map(
                      bpf_map__fd(skeleton->maps.fl_owned), rows, "fl_owned"));
  FL_ASSIGN_OR_RETURN(auto scan,
                      datapath::MappedArray<fl_scan>::Map(
                          bpf_map__fd(skeleton->maps.fl_scan), 1, "fl_scan"));
  kernel_ =
      std::make_unique<Kernel>(Kernel{std::move(skeleton), std::move(sockets),
                                      std::move(owned), std::move(scan)});
  return absl::OkStatus();
}

absl::Status Scanner::PlaceRows() {
  std::vector<Place> places;
  uint32_t rows = 0;
  for (const auto& [vip, line] : tables_.vips) {
    places.push_back({.vip = vip,
                      .index = line.index,
                      .rows = line.rows,
                      .by_source = line.by_source,
                      .first_row = rows});
    rows += line.rows;
  }
  if (places == places_) return absl::OkStatus();
  if (rows > kernel_->owned.elements().size())
    FL_RETURN_IF_ERROR(Load(std::bit_ceil(rows)));
  std::fill(kernel_->owned.elements().begin(), kernel_->owned.elements().end(),
            0);
  places_ = std::move(places);
  complete_walk_ = 0;
  last_.reset();
  return absl::OkStatus();
}

event::Task<absl::StatusOr<Scan>> Scanner::Latest() {
  const event::MutexLock lock = co_await mutex_.Lock();
  FL_CO_RETURN_IF_ERROR(PlaceRows());
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
  co_await Collect(scan);
  // What a walk in between found that did not end well is a part only.
  if (complete_walk_ != 0 && walks_ == complete_walk_ + 1)
    scan.previous_begun = last_begun_;
  complete_walk_ = walks_;
  last_number_ = scan.number;
  last_begun_ = scan.begun;
  last_ = scan;
  co_return scan;
}

event::Task<absl::Status> Scanner::ReadCounters(Scan& scan) {
  FL_CO_ASSIGN_OR_RETURN(
      const std::string netstat,
      co_await event::ReadFile(loop_, "/proc/self/net/netstat"));
  FL_CO_ASSIGN_OR_RETURN(scan.syn_cookies,
                         ParseTcpCounter(netstat, "SyncookiesSent"));
  FL_CO_ASSIGN_OR_RETURN(scan.overflows,
                         ParseTcpCounter(netstat, "ListenOverflows"));
  co_return absl::OkStatus();
}

event::Task<void> Scanner::Collect(Scan& scan) {
  uint32_t rows = 0;
  for (const Place& place : places_) {
    ServiceSockets& service = scan.services.emplace_back(ServiceSockets{
        .vip = place.vip,
        .live = kernel_->sockets.elements()[place.index].live,
        .handshakes = kernel_->sockets.elements()[place.index].handshakes,
        .by_source = place.by_source,
        .owned = core::RowSet(place.rows)});
    const std::span<const uint64_t> owned =
        kernel_->owned.elements().subspan(place.first_row, place.rows);
    for (uint32_t row = 0; row < place.rows; ++row) {
      // Found by this walk or by the one before; 0 is never.
      if (owned[row] != 0 && walks_ - owned[row] <= 1) service.owned.Add(row);
    }
    rows += place.rows;
    if (rows < kRowsPerTurn) continue;
    rows = 0;
    co_await loop_.Yield();
  }
}

event::Task<absl::Status> Scanner::Walk() {
  // Nobody counts now: scans run one at a time.
  kernel_->scan.elements()[0] = {.number = ++walks_, .lost = 0};
  for (const Place& place : places_) {
    kernel_->sockets.elements()[place.index] = {
        .live = 0, .first_row = place.first_row, .handshakes = 0};
  }
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
  co_return absl::ResourceExhaustedError(absl::StrCat(
      lost, " sockets are of rows that fl_owned has no place for"));
}

}  // namespace fairlead::agent
