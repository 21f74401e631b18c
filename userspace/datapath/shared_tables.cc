#include "datapath/shared_tables.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <netinet/in.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/container/btree_set.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "core/sources.h"
#include "datapath/map_shape.h"
#include "lib/flow_slot.h"

namespace fairlead::datapath {
namespace {

// The words of a backend line that hold more than one field.
static_assert(offsetof(fl_backend, egress) % 8 == 0 &&
              offsetof(fl_backend, weight) ==
                  offsetof(fl_backend, egress) + 4 &&
              offsetof(fl_backend, service) ==
                  offsetof(fl_backend, egress) + 6);

__u64* EgressWord(fl_backend& line) {
  return reinterpret_cast<__u64*>(&line.egress);
}

uint64_t MakeEgressWord(uint32_t egress, uint16_t weight, uint16_t service) {
  return uint64_t{egress} | uint64_t{weight} << 32 | uint64_t{service} << 48;
}

uint64_t PackMac(const uint8_t (&mac)[6], uint16_t upper) {
  uint64_t word = 0;
  std::memcpy(&word, mac, sizeof(mac));
  return word | uint64_t{upper} << 48;
}

uint16_t VlanOf(const core::NextHop& hop) {
  return hop.vlan ? static_cast<uint16_t>(FL_VLAN | hop.vlan->id) : 0;
}

base::IpAddress AddressOf(const __u32 (&words)[4]) {
  std::array<uint8_t, 16> bytes;
  std::memcpy(bytes.data(), words, sizeof(bytes));
  return base::IpAddress(bytes);
}

fl_service_key KeyOf(const base::Endpoint& vip) {
  fl_service_key key = {};
  std::memcpy(key.address, vip.address.bytes().data(), sizeof(key.address));
  key.port = htons(vip.port);
  key.proto = IPPROTO_TCP;
  return key;
}

fl_service_key AddressKeyOf(const base::IpAddress& address) {
  fl_service_key key = {};
  std::memcpy(key.address, address.bytes().data(), sizeof(key.address));
  return key;
}

uint8_t PolicyOf(core::Policy policy) {
  switch (policy) {
    case core::Policy::kHash:
      return FL_POLICY_HASH;
    case core::Policy::kSource:
      return FL_POLICY_SOURCE;
    case core::Policy::kLeastConn:
      return FL_POLICY_LEAST_CONN;
  }
  return FL_POLICY_HASH;
}

uint8_t EncapOf(const core::ServiceEntry& entry) {
  switch (entry.encap) {
    case core::Encap::kGue:
      return entry.hop_lists ? FL_ENCAP_GUE : FL_ENCAP_GUE_PLAIN;
    case core::Encap::kIpip:
      return FL_ENCAP_IPIP;
    case core::Encap::kL2:
      return FL_ENCAP_L2;
  }
  return FL_ENCAP_GUE_PLAIN;
}

uint8_t FlagsOf(const core::ServiceEntry& entry) {
  if (entry.tombstone) return FL_SERVICE_TOMBSTONE;
  uint8_t flags = 0;
  if (entry.source_rate.rate != 0) flags |= FL_SERVICE_LIMITED;
  if (entry.source_rate.most != 0) flags |= FL_SERVICE_CONNS;
  if (!entry.sources.empty()) flags |= FL_SERVICE_LISTED;
  if (core::CountSources(entry.sources).allowed != 0)
    flags |= FL_SERVICE_ALLOW_ONLY;
  if (entry.shed == core::Shed::kReset) flags |= FL_SERVICE_SHED_RESET;
  return flags;
}

constexpr int kIpv4First = 96;  // of the sixteen bytes' bits

uint64_t LimitOf(const core::SourceRate& source) {
  if (source.rate == 0) return 0;
  constexpr uint32_t kSecond = 1'000'000'000u >> FL_RATE_SHIFT;
  return fl_limit_word(kSecond / source.rate,
                       source.burst == 0 ? source.rate : source.burst,
                       static_cast<uint8_t>(kIpv4First + source.length4),
                       static_cast<uint8_t>(source.length6));
}

fl_service ValueOf(const core::ServiceEntry& entry, uint8_t list) {
  fl_service value = {};
  value.id = entry.id;
  value.flags = FlagsOf(entry);
  value.list = list;
  value.policy = PolicyOf(entry.policy);
  value.choices = static_cast<uint8_t>(entry.choices);
  value.encap = EncapOf(entry);
  value.rows_base = entry.rows_base;
  value.row_mask = entry.rows == 0 ? 0 : entry.rows - 1;
  value.syn_fair = entry.syn_fair;
  value.syn_limit = entry.syn_limit;
  if (entry.source_rate.most != 0) {
    value.source_bits6 = static_cast<uint8_t>(entry.source_rate.length6);
    value.source_conns = fl_service_conns_word(
        static_cast<uint8_t>(kIpv4First + entry.source_rate.length4),
        entry.source_rate.most);
  }
  return value;
}

// A counter that a daemon killed inside a transition left one too low reads as
// empty, not as 2^64 - 1.
uint64_t CountOf(const __u64* counter) {
  const uint64_t value = fl_load64(counter);
  return static_cast<int64_t>(value) < 0 ? 0 : value;
}

}  // namespace

absl::StatusOr<std::unique_ptr<SharedTables>> SharedTables::Open(
    const MapFds& maps, const core::TableSizes& sizes) {
  FL_ASSIGN_OR_RETURN(
      auto rows, MappedArray<fl_row>::Map(maps.rows, sizes.rows, "fl_rows"));
  FL_ASSIGN_OR_RETURN(
      auto backends, MappedArray<fl_backend>::Map(maps.backends, sizes.backends,
                                                  "fl_backends"));
  FL_ASSIGN_OR_RETURN(auto load, MappedArray<fl_load>::Map(
                                     maps.load, sizes.backends, "fl_load"));
  FL_ASSIGN_OR_RETURN(
      auto flows,
      MappedArray<fl_bucket>::Map(maps.flows, sizes.flow_buckets, "fl_flows"));
  FL_ASSIGN_OR_RETURN(
      auto leases,
      MappedArray<uint64_t>::Map(maps.leases, sizes.services, "fl_leases"));
  FL_ASSIGN_OR_RETURN(
      auto limits,
      MappedArray<uint64_t>::Map(maps.limits, sizes.services, "fl_limits"));
  FL_ASSIGN_OR_RETURN(
      auto flow_sources,
      MappedArray<fl_flow_charges>::Map(
          maps.flow_sources, SizeOf("fl_flow_sources", sizes).entries,
          "fl_flow_sources"));
  FL_ASSIGN_OR_RETURN(
      auto conns, MappedArray<fl_conn_set>::Map(
                      maps.source_conns, sizes.conn_sets, "fl_source_conns"));
  FL_ASSIGN_OR_RETURN(GracePeriod grace, GracePeriod::Create());
  std::unique_ptr<SharedTables> tables(new SharedTables(
      maps, sizes, std::move(rows), std::move(backends), std::move(load),
      std::move(flows), std::move(leases), std::move(limits),
      std::move(flow_sources), std::move(conns), std::move(grace)));
  FL_RETURN_IF_ERROR(tables->AdoptServices());
  tables->AdoptNextHops();
  return tables;
}

SharedTables::SharedTables(
    const MapFds& maps, const core::TableSizes& sizes, MappedArray<fl_row> rows,
    MappedArray<fl_backend> backends, MappedArray<fl_load> load,
    MappedArray<fl_bucket> flows, MappedArray<uint64_t> leases,
    MappedArray<uint64_t> limits, MappedArray<fl_flow_charges> flow_sources,
    MappedArray<fl_conn_set> conns, GracePeriod grace)
    : maps_(maps),
      sizes_(sizes),
      rows_(std::move(rows)),
      backends_(std::move(backends)),
      load_(std::move(load)),
      flows_(std::move(flows)),
      leases_(std::move(leases)),
      limits_(std::move(limits)),
      flow_sources_(std::move(flow_sources)),
      conns_(std::move(conns)),
      grace_(std::move(grace)),
      prefixes_(maps.prefixes),
      egress_(maps.egress) {}

absl::Status SharedTables::AdoptServices() {
  std::vector<base::IpAddress> addresses;
  absl::btree_map<core::ServiceId, uint8_t> lists;
  fl_service_key key = {};
  fl_service value = {};
  int result = bpf_map_get_next_key(maps_.services, nullptr, &key);
  for (; result == 0;
       result = bpf_map_get_next_key(maps_.services, &key, &key)) {
    if (bpf_map_lookup_elem(maps_.services, &key, &value) != 0) continue;
    if (value.flags & FL_SERVICE_ADDRESS) {
      addresses.push_back(AddressOf(key.address));
    } else {
      vips_[base::Endpoint{AddressOf(key.address), ntohs(key.port)}] = {
          .id = value.id,
          .tombstone = (value.flags & FL_SERVICE_TOMBSTONE) != 0};
      if (value.list != 0) lists[value.id] = value.list;
    }
  }
  if (result != -ENOENT) return base::BpfError(result, "list fl_services");
  FL_RETURN_IF_ERROR(prefixes_.Adopt(lists));
  FL_RETURN_IF_ERROR(RemoveUnusedAddresses(addresses));
  for (const auto& [vip, entry] : vips_)
    FL_RETURN_IF_ERROR(PutAddress(vip.address));
  return absl::OkStatus();
}

absl::Status SharedTables::RemoveUnusedAddresses(
    std::span<const base::IpAddress> addresses) {
  for (const base::IpAddress& address : addresses) {
    if (HasVipOn(address)) continue;
    const fl_service_key key = AddressKeyOf(address);
    const int result = bpf_map_delete_elem(maps_.services, &key);
    if (result != 0) {
      return base::BpfError(result, absl::StrCat("remove ", address.ToString(),
                                                 " from fl_services"));
    }
  }
  return absl::OkStatus();
}

// Neither the interface's name nor whose MAC it is are in the line; netlink
// tells them with the first answer. Until then it is taken for a gateway's.
void SharedTables::AdoptNextHops() {
  for (const fl_backend& line : backends_.elements()) {
    const uint64_t wanted = FL_BACKEND_USED | FL_BACKEND_NEXT_HOP;
    if ((fl_load64(&line.state) & wanted) != wanted) continue;
    core::NextHop hop;
    hop.interface = line.egress;
    std::memcpy(hop.destination_mac, &line.next_hop, 6);
    std::memcpy(hop.source_mac, &line.source, 6);
    if (const uint64_t vlan = line.source >> 48; vlan != 0)
      hop.vlan = core::Vlan{.id = static_cast<uint16_t>(vlan & FL_VLAN_MASK)};
    hop.path_mtu = static_cast<uint16_t>(line.next_hop >> 48);
    hop.gateway = base::IpAddress();
    next_hops_[AddressOf(line.address)] = hop;
  }
}

absl::Status SharedTables::Update(const fl_service_key& key,
                                  const fl_service& value,
                                  absl::string_view what) {
  fl_service before;
  const bool replaces = bpf_map_lookup_elem(maps_.services, &key, &before) == 0;
  if (replaces && std::memcmp(&before, &value, sizeof(value)) == 0)
    return absl::OkStatus();
  WaitForReaders();
  const int result = bpf_map_update_elem(maps_.services, &key, &value, BPF_ANY);
  if (result != 0) {
    return base::BpfError(result,
                          absl::StrCat("put ", what, " into fl_services (of ",
                                       sizes_.services, " services)"));
  }
  may_have_readers_ = replaces;
  return absl::OkStatus();
}

void SharedTables::Remove(const fl_service_key& key) {
  bpf_map_delete_elem(maps_.services, &key);
  may_have_readers_ = true;
}

void SharedTables::WaitForReaders() {
  if (may_have_readers_) grace_.Wait();
  may_have_readers_ = false;
}

bool SharedTables::HasVipOn(const base::IpAddress& address) const {
  const auto first = vips_.lower_bound(base::Endpoint{address, 0});
  return first != vips_.end() && first->first.address == address;
}

// A tombstone, if every VIP on the address is one: nothing answers there. Its
// answers are counted by the first one's id, which no other address has.
absl::Status SharedTables::PutAddress(const base::IpAddress& address) {
  fl_service entry = {};
  entry.flags = FL_SERVICE_ADDRESS | FL_SERVICE_TOMBSTONE;
  for (auto vip = vips_.lower_bound(base::Endpoint{address, 0});
       vip != vips_.end() && vip->first.address == address; ++vip) {
    if (entry.id == 0) entry.id = vip->second.id;
    if (!vip->second.tombstone) entry.flags = FL_SERVICE_ADDRESS;
  }
  return Update(AddressKeyOf(address), entry, address.ToString());
}

// The address entry comes first and goes last, so that no packet meets a
// service whose odd packets (fragments, broken headers) would pass.
absl::Status SharedTables::PutService(const base::Endpoint& vip,
                                      const core::ServiceEntry& entry) {
  FL_CHECK(entry.id < sizes_.services);
  FL_CHECK(uint64_t{entry.rows_base} + entry.rows <= sizes_.rows);
  FL_ASSIGN_OR_RETURN(const uint8_t list,
                      prefixes_.Stage(entry.id, entry.sources));
  const bool is_new_address = !HasVipOn(vip.address);
  // The limit is there before packets ask for it, and goes when none does.
  const uint64_t limit = LimitOf(entry.source_rate);
  const uint64_t old_limit = limits_.elements()[entry.id];
  if (limit != 0) StoreLimit(entry.id, limit);
  absl::Status status;
  if (is_new_address) status = PutAddress(vip.address);
  if (status.ok())
    status = Update(KeyOf(vip), ValueOf(entry, list), vip.ToString());
  if (!status.ok()) {
    StoreLimit(entry.id, old_limit);
    prefixes_.TakeBack(entry.id, list, entry.sources);
    const fl_service_key address_key = AddressKeyOf(vip.address);
    if (is_new_address) Remove(address_key);
    return status;
  }
  WaitForReaders();
  StoreLimit(entry.id, limit);
  prefixes_.Commit(entry.id, list, entry.sources);
  vips_[vip] = {.id = entry.id, .tombstone = entry.tombstone};
  return PutAddress(vip.address);
}

void SharedTables::StoreLimit(core::ServiceId service, uint64_t limit) {
  fl_store64(reinterpret_cast<__u64*>(&limits_.elements()[service]), limit);
}

void SharedTables::RemoveService(const base::Endpoint& vip) {
  if (vips_.erase(vip) == 0) return;
  Remove(KeyOf(vip));
  if (HasVipOn(vip.address)) {
    // It only changes what is there, for which no memory is needed.
    PutAddress(vip.address).IgnoreError();
    return;
  }
  Remove(AddressKeyOf(vip.address));
}

std::vector<base::Endpoint> SharedTables::Vips() const {
  std::vector<base::Endpoint> vips;
  for (const auto& [vip, entry] : vips_) vips.push_back(vip);
  return vips;
}

fl_backend& SharedTables::LineOf(core::BackendId id) const {
  FL_CHECK(id != FL_NO_BACKEND && id < backends_.elements().size());
  return backends_.elements()[id];
}

// A line that keeps its address keeps its next hop, and packets go on through
// it all the while. Otherwise the line is void until its last store.
void SharedTables::PutBackend(core::BackendId id,
                              const core::BackendEntry& entry) {
  fl_backend& line = LineOf(id);
  const bool same_address = (fl_load64(&line.state) & FL_BACKEND_USED) != 0 &&
                            AddressOf(line.address) == entry.address;
  if (!same_address) {
    fl_store64(&line.state, 0);
    uint64_t words[2];
    std::memcpy(words, entry.address.bytes().data(), sizeof(words));
    __u64* address = reinterpret_cast<__u64*>(&line.address);
    fl_store64(&address[0], words[0]);
    fl_store64(&address[1], words[1]);
  }
  fl_store64(EgressWord(line),
             MakeEgressWord(line.egress, static_cast<uint16_t>(entry.weight),
                            entry.service));
  if (!same_address) StoreNextHop(line, NextHopOf(entry.address));
  SetBackendState(id, entry.state);
}

// This thread is the only writer of the state, so reading it first is safe.
void SharedTables::SetBackendState(core::BackendId id, uint64_t state) {
  fl_backend& line = LineOf(id);
  const uint64_t before = fl_load64(&line.state);
  uint64_t next_hop = before & FL_BACKEND_NEXT_HOP;
  const bool needs_link = (state & ~before & FL_BACKEND_ON_LINK) != 0;
  if (needs_link && !MayUse(state, NextHopOf(AddressOf(line.address))))
    next_hop = 0;
  fl_store64(&line.state, (state & ~FL_BACKEND_NEXT_HOP) | next_hop);
  if ((before & ~state & FL_BACKEND_ON_LINK) != 0)
    StoreNextHop(line, NextHopOf(AddressOf(line.address)));
}

void SharedTables::SetBackendWeight(core::BackendId id, int weight) {
  fl_backend& line = LineOf(id);
  fl_store64(
      EgressWord(line),
      MakeEgressWord(line.egress, static_cast<uint16_t>(weight), line.service));
}

void SharedTables::RemoveBackend(core::BackendId id) {
  fl_backend& line = LineOf(id);
  __u64* words = reinterpret_cast<__u64*>(&line);
  // The state is the first word: nothing of the line is used from then on.
  for (size_t i = 0; i < sizeof(line) / sizeof(*words); ++i) {
    fl_store64(&words[i], 0);
  }
  SetElsewhere(id, 0);
}

uint64_t SharedTables::BackendState(core::BackendId id) const {
  return fl_load64(&LineOf(id).state) & ~FL_BACKEND_NEXT_HOP;
}

base::IpAddress SharedTables::BackendAddress(core::BackendId id) const {
  return AddressOf(LineOf(id).address);
}

core::ServiceId SharedTables::BackendService(core::BackendId id) const {
  return LineOf(id).service;
}

void SharedTables::SetLease(core::ServiceId service,
                            std::optional<base::MonoTime> end) {
  FL_CHECK(service < leases_.elements().size());
  auto* const lease = reinterpret_cast<__u64*>(&leases_.elements()[service]);
  fl_store64(lease, end ? static_cast<__u64>(end->nanoseconds()) : __u64{0});
}

bool SharedTables::HasNextHop(core::BackendId id) const {
  return (fl_load64(&LineOf(id).state) & FL_BACKEND_NEXT_HOP) != 0;
}

fl_row& SharedTables::RowAt(uint32_t row) const {
  FL_CHECK(row < rows_.elements().size());
  return rows_.elements()[row];
}

int SharedTables::BackendWeight(core::BackendId id) const {
  return LineOf(id).weight;
}

core::RowWords SharedTables::ReadRow(uint32_t row) const {
  const fl_row& shared = RowAt(row);
  return {.candidates = fl_load64(&shared.candidates),
          .owners = fl_load64(&shared.owners)};
}

void SharedTables::StoreCandidates(uint32_t row, uint64_t word) {
  fl_store64(&RowAt(row).candidates, word);
}

void SharedTables::StoreOwners(uint32_t row, uint64_t word) {
  fl_store64(&RowAt(row).owners, word);
}

core::LoadReport SharedTables::Load(core::BackendId id) const {
  FL_CHECK(id < load_.elements().size());
  const fl_load& load = load_.elements()[id];
  return {.live = CountOf(&load.live),
          .pending = CountOf(&load.pending),
          .elsewhere = static_cast<int64_t>(
              fl_load64(reinterpret_cast<const __u64*>(&load.elsewhere))),
          .begun = fl_load64(&load.begun),
          .bound = fl_load64(&load.bound),
          .accept_due = base::MonoTime::FromNanoseconds(static_cast<int64_t>(
              fl_load64(&load.accept_due) << FL_ACCEPT_SHIFT))};
}

// A packet between the two stores goes by the new bound for as long as the old
// one was to last.
void SharedTables::SetBound(core::BackendId id, uint64_t begun,
                            base::MonoTime until) {
  FL_CHECK(id < load_.elements().size());
  fl_load& load = load_.elements()[id];
  fl_store64(&load.bound, begun);
  fl_store64(&load.bound_until, static_cast<uint64_t>(until.nanoseconds()));
}

// A packet between the two stores goes by the new pace at the old time.
void SharedTables::SetAcceptPace(core::BackendId id,
                                 const core::AcceptPace& pace) {
  fl_backend& line = LineOf(id);
  fl_store64(&line.accept, fl_accept_word(pace.during, pace.after));
  fl_store64(&line.accept_until,
             static_cast<uint64_t>(pace.until.nanoseconds()));
}

void SharedTables::SetElsewhere(core::BackendId id, int64_t connections) {
  FL_CHECK(id < load_.elements().size());
  fl_store64(reinterpret_cast<__u64*>(&load_.elements()[id].elsewhere),
             static_cast<uint64_t>(connections));
}

absl::Status SharedTables::SetNextHop(
    const base::IpAddress& address,
    const std::optional<core::NextHop>& next_hop) {
  absl::Status status;
  if (next_hop) status = egress_.Add(next_hop->interface);
  if (next_hop && status.ok()) {
    next_hops_[address] = *next_hop;
  } else {
    next_hops_.erase(address);
  }
  for (fl_backend& line : backends_.elements()) {
    if ((fl_load64(&line.state) & FL_BACKEND_USED) == 0) continue;
    if (AddressOf(line.address) == address)
      StoreNextHop(line, NextHopOf(address));
  }
  return status;
}

void SharedTables::TidyEgress() {
  std::set<uint32_t> interfaces;
  for (const auto& [address, hop] : next_hops_)
    interfaces.insert(hop.interface);
  egress_.KeepOnly(interfaces);
}

std::optional<core::NextHop> SharedTables::NextHopOf(
    const base::IpAddress& address) const {
  const auto found = next_hops_.find(address);
  if (found == next_hops_.end()) return std::nullopt;
  return found->second;
}

// A gateway would send a packet whose destination is still the VIP back here.
bool SharedTables::MayUse(uint64_t state,
                          const std::optional<core::NextHop>& next_hop) {
  if (!next_hop) return false;
  return (state & FL_BACKEND_ON_LINK) == 0 || !next_hop->gateway;
}

// On the same interface the words are stored in place: a packet that meets old
// and new MACs mixed is sent all the same. Towards another interface or VLAN it
// would leave by the wrong one, so the line has no next hop meanwhile and
// packets are dropped by name.
void SharedTables::StoreNextHop(fl_backend& line,
                                const std::optional<core::NextHop>& next_hop) {
  const uint64_t state = fl_load64(&line.state);
  if (!MayUse(state, next_hop)) {
    fl_store64(&line.state, state & ~FL_BACKEND_NEXT_HOP);
    return;
  }
  const uint64_t source = PackMac(next_hop->source_mac, VlanOf(*next_hop));
  if (line.egress != next_hop->interface ||
      line.source >> 48 != VlanOf(*next_hop)) {
    fl_store64(&line.state, state & ~FL_BACKEND_NEXT_HOP);
  }
  fl_store64(&line.next_hop,
             PackMac(next_hop->destination_mac, next_hop->path_mtu));
  fl_store64(&line.source, source);
  fl_store64(EgressWord(line),
             MakeEgressWord(next_hop->interface, line.weight, line.service));
  fl_store64(&line.state, state | FL_BACKEND_NEXT_HOP);
}

}  // namespace fairlead::datapath
