#include "daemon/host.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/version.h"
#include "core/sources.h"
#include "datapath/table_memory.h"
#include "datapath/vlan_offload.h"
#include "fairlead/abi/maps.h"
#include "fairlead/abi/verdict.h"
#include "lib/flow_slot.h"

namespace fairlead::daemon {
namespace {

absl::Duration Ticks(uint32_t ticks) {
  return absl::Nanoseconds(static_cast<int64_t>(ticks) << FL_TICK_SHIFT);
}

}  // namespace

control::NodeStatus Host::Status() const {
  control::NodeStatus status;
  status.name = parts_.config.name;
  status.id = parts_.config.id;
  status.version = std::string(base::kVersion);
  status.uptime = parts_.loop.Now() - started_;
  status.pid = getpid();
  for (const datapath::Attachment& attachment : parts_.program.attachments()) {
    control::InterfaceStatus& interface = status.interfaces.emplace_back();
    interface.name = attachment.interface.name;
    interface.mode =
        attachment.mode == datapath::XdpMode::kNative ? "native" : "generic";
    const auto& links = parts_.routes.network().links;
    const auto link =
        links.find(static_cast<uint32_t>(attachment.interface.index));
    if (link != links.end()) interface.mtu = link->second.mtu;
  }
  const core::DesiredState& desired = parts_.controller.desired();
  uint64_t rows = 0;
  uint64_t backends = desired.quarantine.size();
  for (const auto& [name, service] : desired.services) {
    rows += service.rows;
    backends += service.backends.size();
  }
  const config::NodeTables& tables = parts_.config.tables;
  status.flows = {parts_.sweeper.used_slots(), tables.flow_slots};
  status.rows = {rows, tables.rows};
  status.services = {desired.services.size() + desired.tombstones.size(),
                     tables.services};
  status.backends = {backends, tables.backends};
  status.prefixes = {core::CountPrefixes(desired), tables.prefixes};
  status.sources = {0, tables.sources};
  status.counted_sources = {0, tables.counted_sources};
  for (const datapath::TableBytes& table :
       datapath::BytesOf(parts_.tables.sizes(), datapath::PossibleCpus())) {
    for (const auto& [setting, use] :
         {std::pair("flows", &status.flows), std::pair("rows", &status.rows),
          std::pair("services", &status.services),
          std::pair("backends", &status.backends),
          std::pair("prefixes", &status.prefixes),
          std::pair("sources", &status.sources),
          std::pair("counted_sources", &status.counted_sources)}) {
      if (table.setting == setting) use->bytes = table.bytes;
    }
  }
  status.peers = parts_.tier.Peers();
  return status;
}

std::vector<std::string> Host::Alarms() const {
  std::vector<std::string> alarms;
  if (parts_.program.attachments().empty())
    alarms.push_back(
        "detached: no packet of a service is balanced; restart fairleadd to "
        "attach again");
  if (!parts_.routes.last_pass().ok())
    alarms.push_back(absl::StrCat("next hops are not kept: ",
                                  parts_.routes.last_pass().message()));
  std::set<uint32_t> ingress;
  for (const datapath::Attachment& attachment : parts_.program.attachments())
    ingress.insert(attachment.interface.index);
  for (std::string& alarm : datapath::HiddenTagAlarms(
           parts_.routes.network(), ingress, datapath::TakesTagsOff))
    alarms.push_back(std::move(alarm));
  for (std::string& alarm : parts_.roads.Alarms())
    alarms.push_back(std::move(alarm));
  for (std::string& alarm : parts_.tier.Alarms())
    alarms.push_back(std::move(alarm));
  for (const auto& [name, service] : parts_.controller.desired().services) {
    if (parts_.routes.local_addresses().count(service.vip.address) == 0)
      continue;
    alarms.push_back(absl::StrCat(
        "service ", name, ": ", service.vip.address.ToString(),
        " is an address of this host; whatever passes the packet path is "
        "answered by its own TCP stack: remove the address"));
  }
  return alarms;
}

std::vector<uint64_t> Host::VerdictCounts() const {
  absl::StatusOr<std::vector<uint64_t>> counts = stats_.Verdicts();
  return counts.ok() ? *std::move(counts)
                     : std::vector<uint64_t>(FL_LB_VERDICT_COUNT);
}

control::ServiceCounters Host::CountersOf(core::ServiceId service) const {
  const absl::StatusOr<fl_service_stats> stats = stats_.Service(service);
  if (!stats.ok()) return {};
  const absl::StatusOr<fl_source_stats> sources = stats_.Sources(service);
  return {.packets = stats->packets,
          .bytes = stats->bytes,
          .new_flows = stats->new_flows,
          .misses = stats->misses,
          .fail_open = stats->fail_open,
          .too_big = stats->too_big,
          .over_budget = stats->over_budget,
          .denied = stats->denied,
          .over_rate = sources.ok() ? sources->over_rate : 0,
          .refused_full = sources.ok() ? sources->full : 0,
          .over_conns = sources.ok() ? sources->over_conns : 0,
          .uncounted = sources.ok() ? sources->uncounted : 0};
}

control::BackendCounters Host::CountersOfBackend(
    core::BackendId backend) const {
  const absl::StatusOr<fl_backend_stats> stats = stats_.Backend(backend);
  if (!stats.ok()) return {};
  return {stats->packets, stats->bytes, stats->new_flows, stats->syn_again};
}

control::BackendLine Host::LineOf(core::BackendId backend) const {
  const core::LoadReport load = parts_.tables.Load(backend);
  control::BackendLine line;
  line.state = parts_.tables.BackendState(backend);
  if (parts_.tables.HasNextHop(backend)) line.state |= FL_BACKEND_NEXT_HOP;
  line.live = load.live;
  line.pending = load.pending;
  line.load = load.sum();
  line.weight = parts_.tables.BackendWeight(backend);
  const bool capped = (line.state & FL_BACKEND_CAPPED) != 0;
  const bool paced = (line.state & FL_BACKEND_PACED) != 0;
  line.full = capped && load.begun >= load.bound;
  line.at_rate =
      !line.full && core::IsAtRate(paced ? 1 : 0, load, parts_.loop.Now());
  line.full = line.full || line.at_rate;
  return line;
}

bool Host::IsRecordable(uint64_t hash) const {
  const std::span<fl_bucket> flows = parts_.tables.flows();
  const uint32_t mask = static_cast<uint32_t>(flows.size()) - 1;
  const fl_buckets buckets = {&flows[fl_bucket_first(hash, mask)],
                              &flows[fl_bucket_second(hash, mask)]};
  const fl_newcomer newcomer = {.timeouts = &parts_.sweeper.scan().timeouts(),
                                .now = parts_.sweeper.NowTick(),
                                .mark = FL_SLOT_FAIR};
  return fl_slot_victim(&buckets, &newcomer) < FL_POSITIONS;
}

control::FlowFacts Host::LookUp(const core::Service& service,
                                const control::Flow& flow) const {
  const uint64_t hash =
      datapath::HashFlow(parts_.hash_key, flow.client, flow.vip);
  const uint64_t row_hash =
      service.policy == core::Policy::kSource
          ? datapath::HashSource(parts_.hash_key, flow.client.address)
          : hash;
  control::FlowFacts facts;
  facts.tag = fl_slot_tag(hash);
  facts.row = fl_row_of(row_hash, service.rows - 1);
  facts.draw = fl_draw_of(row_hash);
  facts.words = parts_.tables.ReadRow(service.rows_base + facts.row);
  facts.recordable = IsRecordable(hash);
  if (service.source_rate.most != 0) {
    facts.source_connections = parts_.tables.charges().CountOf(
        datapath::SourceKey(parts_.hash_key, service, flow.client.address));
  }
  if (const auto record = parts_.sweeper.scan().Lookup(hash)) {
    const uint32_t now = parts_.sweeper.NowTick();
    facts.slot = control::FlowSlot{
        record->state, record->backend, Ticks(fl_tick_age(now, record->born)),
        Ticks(fl_tick_age(now, record->last_seen)), record->ended};
  }
  return facts;
}

uint64_t Host::ServicePackets() const {
  uint64_t packets = 0;
  for (const auto& [name, service] : parts_.controller.desired().services)
    packets += CountersOf(service.id).packets;
  return packets;
}

event::Task<absl::Status> Host::Detach(bool force) {
  if (!force) {
    const uint64_t before = ServicePackets();
    absl::Status slept = co_await parts_.loop.SleepFor(kDetachWatch);
    if (!slept.ok()) co_return slept;
    const uint64_t arrived = ServicePackets() - before;
    if (arrived > 0)
      co_return absl::FailedPreconditionError(absl::StrCat(
          arrived, " packets for services arrived within ",
          absl::FormatDuration(kDetachWatch),
          "; withdraw the VIPs' routes first, or use --force: their "
          "connections stall"));
  }
  parts_.roads.Stop();
  co_return parts_.program.Detach();
}

}  // namespace fairlead::daemon
