#include "tests/sim/simulated_lb.h"

#include <arpa/inet.h>

#include <bit>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "fairlead/abi/verdict.h"
#include "lib/tcp.h"

namespace fairlead::testing {
namespace {

constexpr char kService[] = "web";
constexpr char kVip[] = "198.51.100.10";
constexpr uint16_t kPort = 443;
// Those of the daemon.
constexpr fl_timeouts kTimeouts = {
    .by_state = {0, 60, 112, 7451, 112, 112, 7451, 112}};

core::TableSizes SizesFor(uint32_t flows) {
  return {.services = 8,
          .backends = 1024,
          .rows = 1u << 17,
          .flow_buckets = std::bit_ceil(flows / FL_BUCKET_SLOTS + 2)};
}

}  // namespace

HostTables::HostTables(const core::TableSizes& sizes)
    : FakeDatapath(sizes),
      lines_(sizes.backends),
      load_(sizes.backends),
      flows_(sizes.flow_buckets) {
  static_assert(sizeof(core::RowWords) == sizeof(fl_row));
  shared_ = {.rows = reinterpret_cast<const fl_row*>(rows().data()),
             .backends = lines_.data(),
             .load = load_.data(),
             .flows = flows_.data(),
             .service = &stats_,
             .row_count = sizes.rows,
             .backend_count = sizes.backends,
             .flow_bucket_mask = sizes.flow_buckets - 1,
             .timeouts = kTimeouts};
}

core::LoadReport HostTables::Load(core::BackendId id) const {
  return {.live = load_[id].live,
          .pending = load_[id].pending,
          .elsewhere = load_[id].elsewhere};
}

void HostTables::SetElsewhere(core::BackendId id, int64_t connections) {
  load_[id].elsewhere = connections;
}

void HostTables::CopyLines() {
  for (const auto& [id, entry] : backends()) {
    lines_[id].state = entry.state | FL_BACKEND_NEXT_HOP;
    lines_[id].weight = static_cast<__u16>(entry.weight);
  }
}

SimulatedLb::SimulatedLb(uint32_t flows, const core::ServiceSettings& service)
    : tables_(SizesFor(flows)),
      controller_(tables_.sizes(), tables_, [] { return 0.5; }),
      scan_(tables_.flows(), tables_.load(), kTimeouts),
      backend_of_(tables_.sizes().backends) {
  const base::MonoTime start = base::MonoTime::FromNanoseconds(0);
  const base::Endpoint vip{*base::IpAddress::Parse(kVip), kPort};
  FL_CHECK(controller_.Adopt({}, start).ok());
  Do(core::AddService{.name = kService, .vip = vip, .settings = service},
     start);
  const core::ServiceEntry& entry = tables_.services().at(vip);
  service_ = {.id = entry.id,
              .policy = static_cast<__u8>(entry.policy),
              .choices = static_cast<__u8>(entry.choices),
              .rows_base = entry.rows_base,
              .row_mask = entry.rows - 1};
}

uint32_t SimulatedLb::rows() const { return service_.row_mask + 1; }

void SimulatedLb::Do(const core::Command& command, base::MonoTime now) {
  const absl::StatusOr<core::Change> change =
      controller_.Prepare(command, absl::UnixEpoch());
  FL_CHECK(change.ok());
  FL_CHECK(controller_.Commit(*change, now).ok());
  tables_.CopyLines();
}

void SimulatedLb::AddBackend(base::MonoTime now) {
  const int number = static_cast<int>(ids_.size());
  const std::string name = absl::StrCat("b", number);
  Do(core::AddBackend{.service = kService,
                      .name = name,
                      .address = *base::IpAddress::Parse(
                          absl::StrCat("2001:db8::", absl::Hex(number + 1)))},
     now);
  ids_.push_back(
      controller_.desired().services.at(kService).backends.at(name).id);
  backend_of_[ids_.back()] = number;
  OnAnswer(number, Ask(number, now), 0, now);
}

void SimulatedLb::SetAdmin(int backend, core::Admin admin, base::MonoTime now) {
  Do(core::SetAdmin{.service = kService,
                    .name = absl::StrCat("b", backend),
                    .admin = admin},
     now);
}

fl_host_verdict SimulatedLb::Route(const ClientEnd& client, uint8_t tcp_flags,
                                   base::MonoTime now) {
  const fl_host_segment segment = {.client = htonl(client.address),
                                   .client_port = htons(client.port),
                                   .address = inet_addr(kVip),
                                   .port = htons(kPort),
                                   .tcp_flags = tcp_flags};
  return fl_host_route(&tables_.shared(), &service_, &segment,
                       static_cast<uint64_t>(now.nanoseconds()));
}

int SimulatedLb::Syn(const ClientEnd& client, base::MonoTime now) {
  const fl_host_verdict verdict = Route(client, FL_TCP_SYN, now);
  FL_CHECK(verdict.verdict == FL_LB_TX_SYN_NEW ||
           verdict.verdict == FL_LB_TX_SYN_AGAIN ||
           verdict.verdict == FL_LB_TX_SYN_UNRECORDED);
  return backend_of_[verdict.target];
}

void SimulatedLb::Segment(const ClientEnd& client, uint8_t tcp_flags,
                          base::MonoTime now) {
  const int verdict = Route(client, tcp_flags, now).verdict;
  FL_CHECK(verdict == FL_LB_TX_HIT || verdict == FL_LB_TX_MISS);
}

SimulatedLb::Question SimulatedLb::Ask(int backend, base::MonoTime now) const {
  return {
      .begun = now,
      .recorded = tables_.Load(ids_[static_cast<size_t>(backend)]).recorded()};
}

void SimulatedLb::OnAnswer(int backend, const Question& asked,
                           uint64_t live_sockets, base::MonoTime now) {
  controller_.OnAgentReport(kService, absl::StrCat("b", backend),
                            {.presence = core::AgentReport::Presence::kPresent,
                             .live_sockets = live_sockets,
                             .recorded = asked.recorded,
                             .scan = ++reports_,
                             .boot_id = "boot",
                             .begun = asked.begun},
                            now);
  tables_.CopyLines();
}

void SimulatedLb::Settle(base::MonoTime now) {
  for (const auto& [name, backend] :
       controller_.desired().services.at(kService).backends)
    controller_.OnAgentReport(
        kService, name,
        {.presence = core::AgentReport::Presence::kPresent,
         .scan = ++reports_,
         .boot_id = "boot",
         .begun = now,
         .owned = core::RowSet(rows()),
         .owned_begun = now},
        now);
  controller_.OnFlowScan({}, absl::UnixEpoch() + absl::Hours(1), now);
  FL_CHECK(controller_.View(kService).ok());
}

void SimulatedLb::Sweep(base::MonoTime now) {
  const uint32_t tick =
      static_cast<uint32_t>(static_cast<uint64_t>(now.nanoseconds()) >>
                            FL_TICK_SHIFT) &
      FL_TICK_MASK;
  scan_.Step(tables_.sizes().flow_buckets, tick);
}

uint32_t SimulatedLb::RowsToChoose(int backend, int choices) const {
  uint32_t count = 0;
  for (uint32_t row = 0; row < rows(); ++row) {
    const core::CandidateWord word =
        core::UnpackWord(tables_.rows()[service_.rows_base + row].candidates);
    for (int i = 0; i < choices; ++i)
      if (word[static_cast<size_t>(i)] == ids_[static_cast<size_t>(backend)])
        ++count;
  }
  return count;
}

}  // namespace fairlead::testing
