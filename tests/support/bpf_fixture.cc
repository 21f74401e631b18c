#include "tests/support/bpf_fixture.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <cstring>
#include <ctime>
#include <vector>

#include "base/check.h"

// The skeleton names its struct as we name our namespace.
#define fairlead fairlead_object
#include "fairlead.skel.h"
#undef fairlead

namespace fairlead::test {
namespace {

fl_service_key KeyOf(const base::Endpoint& vip) {
  fl_service_key key = {};
  std::memcpy(key.address, vip.address.bytes().data(), sizeof(key.address));
  key.port = htons(vip.port);
  key.proto = IPPROTO_TCP;
  return key;
}

fl_service_key AddressKeyOf(const base::Endpoint& vip) {
  fl_service_key key = KeyOf(vip);
  key.port = 0;
  key.proto = 0;
  return key;
}

// The sum over all CPUs of a value that consists of counters.
template <typename T>
T SumOf(const bpf_map* map, uint32_t key) {
  static_assert(sizeof(T) % sizeof(uint64_t) == 0);
  constexpr size_t kWords = sizeof(T) / sizeof(uint64_t);
  const auto cpus = static_cast<size_t>(libbpf_num_possible_cpus());
  std::vector<uint64_t> values(cpus * kWords);
  FL_CHECK(bpf_map_lookup_elem(bpf_map__fd(map), &key, values.data()) == 0);
  std::array<uint64_t, kWords> sum = {};
  for (size_t i = 0; i < values.size(); i++) sum[i % kWords] += values[i];
  T result;
  std::memcpy(&result, sum.data(), sizeof(result));
  return result;
}

fl_config ConfigOf(const LbSizes& sizes) {
  fl_config config = {};
  std::memcpy(config.hash_key, kHashKey.data(), sizeof(config.hash_key));
  std::memcpy(config.node_address, kNode4.bytes().data(), 16);
  std::memcpy(config.node_address6, kNode6.bytes().data(), 16);
  config.flow_bucket_mask = sizes.flow_buckets - 1;
  config.lb_id = kLbId;
  config.gue_port = htons(6080);
  config.timeouts = kTimeouts;
  config.services = sizes.services;
  config.backends = sizes.backends;
  config.rows = sizes.rows;
  config.rate_set_mask = sizes.rate_sets - 1;
  config.conn_set_mask = sizes.conn_sets - 1;
  return config;
}

uint64_t CoarseNanoseconds() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 +
         static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace

struct LbProgram::Skeleton {
  fairlead_object* object = nullptr;

  ~Skeleton() { fairlead_object::destroy(object); }
};

LbProgram::LbProgram(const LbSizes& sizes)
    : sizes_(sizes), skeleton_(std::make_unique<Skeleton>()) {
  skeleton_->object = fairlead_object::open();
  fairlead_object* object = skeleton_->object;
  FL_CHECK(object != nullptr);
  object->rodata->fl_config = ConfigOf(sizes);
  const auto resize = [](bpf_map* map, uint32_t entries) {
    FL_CHECK(bpf_map__set_max_entries(map, entries) == 0);
  };
  resize(object->maps.fl_services, 4 * sizes.services);
  resize(object->maps.fl_prefixes, sizes.prefixes);
  resize(object->maps.fl_limits, sizes.services);
  resize(object->maps.fl_rates, sizes.rate_sets);
  const uint32_t charges = sizes.conn_sets > 1 ? sizes.flow_buckets : 1;
  resize(object->maps.fl_source_conns, sizes.conn_sets);
  resize(object->maps.fl_flow_sources, charges);
  resize(object->maps.fl_src_stats, sizes.services);
  resize(object->maps.fl_rows, sizes.rows);
  resize(object->maps.fl_backends, sizes.backends);
  resize(object->maps.fl_load, sizes.backends);
  resize(object->maps.fl_flows, sizes.flow_buckets);
  resize(object->maps.fl_svc_stats, sizes.services);
  resize(object->maps.fl_leases, sizes.services);
  resize(object->maps.fl_syn_windows, sizes.services);
  resize(object->maps.fl_syn_batches, sizes.services);
  resize(object->maps.fl_answered, sizes.services * FL_ANSWER_KINDS);
  resize(object->maps.fl_bkd_stats, sizes.backends);
  FL_CHECK(fairlead_object::load(object) == 0);

  const auto share = [](const bpf_map* map, size_t bytes) {
    return SharedMemory(bpf_map__fd(map), bytes);
  };
  rows_ = share(object->maps.fl_rows, sizes.rows * sizeof(fl_row));
  backends_ =
      share(object->maps.fl_backends, sizes.backends * sizeof(fl_backend));
  load_ = share(object->maps.fl_load, sizes.backends * sizeof(fl_load));
  flows_ = share(object->maps.fl_flows, sizes.flow_buckets * sizeof(fl_bucket));
  limits_ = share(object->maps.fl_limits, sizes.services * sizeof(uint64_t));
  rates_ = share(object->maps.fl_rates, sizes.rate_sets * sizeof(fl_rate_set));
  conns_ = share(object->maps.fl_source_conns,
                 sizes.conn_sets * sizeof(fl_conn_set));
  charges_ =
      share(object->maps.fl_flow_sources, charges * sizeof(fl_flow_charges));
  leases_ = share(object->maps.fl_leases, sizes.services * sizeof(uint64_t));
  syn_windows_ = share(object->maps.fl_syn_windows,
                       sizes.services * sizeof(fl_syn_window));
  // Under which numbers is up to who fills it; a test run sends nothing.
  for (const uint32_t egress : kOtherEgress)
    FL_CHECK(bpf_map_update_elem(bpf_map__fd(object->maps.fl_egress), &egress,
                                 &kIngress, BPF_ANY) == 0);
}

LbProgram::~LbProgram() = default;

LbResult LbProgram::Run(const Packet& packet, const TestRunOptions& options) {
  return Run(packet.Wire(), options);
}

LbResult LbProgram::Run(std::span<const uint8_t> frame,
                        const TestRunOptions& options) {
  const LbVerdicts before = verdicts();
  TestRunResult run = TestRun(program_fd(), frame, options);
  FL_CHECK(run.error == 0);
  const LbVerdicts after = verdicts();

  uint64_t total = 0;
  int counted = -1;
  for (int i = 0; i < FL_LB_VERDICT_COUNT; i++) {
    const auto at = static_cast<size_t>(i);
    total += after[at] - before[at];
    if (after[at] != before[at]) counted = i;
  }
  FL_CHECK(total == 1);
  return {static_cast<fl_lb_verdict>(counted), run.action,
          std::move(run.frame)};
}

void LbProgram::SetService(const base::Endpoint& vip,
                           const fl_service& service) {
  const int fd = bpf_map__fd(skeleton_->object->maps.fl_services);
  fl_service address = {};
  address.id = service.id;
  address.flags = static_cast<__u8>(FL_SERVICE_ADDRESS |
                                    (service.flags & FL_SERVICE_TOMBSTONE));
  const fl_service_key keys[] = {KeyOf(vip), AddressKeyOf(vip)};
  FL_CHECK(bpf_map_update_elem(fd, &keys[0], &service, BPF_ANY) == 0);
  FL_CHECK(bpf_map_update_elem(fd, &keys[1], &address, BPF_ANY) == 0);
}

void LbProgram::RemoveService(const base::Endpoint& vip) {
  const int fd = bpf_map__fd(skeleton_->object->maps.fl_services);
  const fl_service_key keys[] = {KeyOf(vip), AddressKeyOf(vip)};
  FL_CHECK(bpf_map_delete_elem(fd, &keys[0]) == 0);
  FL_CHECK(bpf_map_delete_elem(fd, &keys[1]) == 0);
}

void LbProgram::SetPrefix(const fl_service& service,
                          const base::IpPrefix& prefix,
                          std::optional<fl_prefix> rule) {
  const int fd = bpf_map__fd(skeleton_->object->maps.fl_prefixes);
  fl_prefix_key key = {};
  key.bits = FL_PREFIX_SERVICE_BITS + static_cast<uint32_t>(prefix.bits);
  key.service = service.id;
  key.list = service.list;
  std::memcpy(key.address, prefix.address.bytes().data(), sizeof(key.address));
  if (!rule.has_value()) {
    FL_CHECK(bpf_map_delete_elem(fd, &key) == 0);
    return;
  }
  const uint32_t value = *rule;
  FL_CHECK(bpf_map_update_elem(fd, &key, &value, BPF_ANY) == 0);
}

LbVerdicts LbProgram::verdicts() const {
  const bpf_map* map = skeleton_->object->maps.fl_verdicts;
  LbVerdicts sums = {};
  for (uint32_t i = 0; i < sums.size(); i++) sums[i] = SumOf<uint64_t>(map, i);
  return sums;
}

fl_service_stats LbProgram::service_stats(uint16_t id) const {
  return SumOf<fl_service_stats>(skeleton_->object->maps.fl_svc_stats, id);
}

fl_source_stats LbProgram::source_stats(uint16_t id) const {
  return SumOf<fl_source_stats>(skeleton_->object->maps.fl_src_stats, id);
}

fl_backend_stats LbProgram::backend_stats(uint16_t id) const {
  return SumOf<fl_backend_stats>(skeleton_->object->maps.fl_bkd_stats, id);
}

fl_slot* LbProgram::FindSlot(const Flow& flow) const {
  const uint64_t hash = ReferenceFlowHash(kHashKey, flow);
  for (const uint32_t bucket : {fl_bucket_first(hash, bucket_mask()),
                                fl_bucket_second(hash, bucket_mask())}) {
    for (fl_slot& slot : flows()[bucket].slots) {
      if (slot.word0 != 0 && fl_slot_tag(slot.word0) == fl_slot_tag(hash))
        return &slot;
    }
  }
  return nullptr;
}

int LbProgram::program_fd() const {
  return bpf_program__fd(skeleton_->object->progs.fl_lb);
}

int LbProgram::backends_map() const {
  return bpf_map__fd(skeleton_->object->maps.fl_backends);
}

int LbProgram::services_map() const {
  return bpf_map__fd(skeleton_->object->maps.fl_services);
}

int LbProgram::verdicts_map() const {
  return bpf_map__fd(skeleton_->object->maps.fl_verdicts);
}

int LbProgram::service_stats_map() const {
  return bpf_map__fd(skeleton_->object->maps.fl_svc_stats);
}

int LbProgram::source_stats_map() const {
  return bpf_map__fd(skeleton_->object->maps.fl_src_stats);
}

int LbProgram::backend_stats_map() const {
  return bpf_map__fd(skeleton_->object->maps.fl_bkd_stats);
}

int LbProgram::answered_map() const {
  return bpf_map__fd(skeleton_->object->maps.fl_answered);
}

int LbProgram::trace_map() const {
  return bpf_map__fd(skeleton_->object->maps.fl_trace);
}

int LbProgram::traced_map() const {
  return bpf_map__fd(skeleton_->object->maps.fl_traced);
}

std::string VerdictName(fl_lb_verdict verdict) {
#define FL_NAME(name, action, help) #name,
  static constexpr const char* kNames[] = {FL_LB_VERDICTS(FL_NAME)};
#undef FL_NAME
  return verdict >= 0 && verdict < FL_LB_VERDICT_COUNT ? kNames[verdict] : "?";
}

uint32_t VerdictAction(fl_lb_verdict verdict) {
#define FL_ACTION(name, action, help) XDP_##action,
  static constexpr uint32_t kActions[] = {FL_LB_VERDICTS(FL_ACTION)};
#undef FL_ACTION
  return kActions[verdict];
}

uint32_t NowTick() {
  return static_cast<uint32_t>(CoarseNanoseconds() >> FL_TICK_SHIFT) &
         FL_TICK_MASK;
}

void InOneTick(absl::FunctionRef<void()> body) {
  for (;;) {
    const uint32_t tick = NowTick();
    body();
    if (NowTick() == tick) return;
  }
}

}  // namespace fairlead::test
