#include "tests/model/lb_subject.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <numeric>
#include <span>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "tests/model/flow_model.h"
#include "tests/model/random_world.h"

namespace fairlead::model {
namespace {

// XDP_PACKET_HEADROOM, which is what a test run has.
constexpr size_t kHeadroom = 256;
// Of tests/packet/crowded.bpf.c: how much room it takes, and what it moves.
constexpr size_t kCrowdTakes = 200;
constexpr size_t kCrowdMoves = 128;

fl_service_key KeyOf(const base::Endpoint& service) {
  fl_service_key key = {};
  std::memcpy(key.address, service.address.bytes().data(), sizeof(key.address));
  key.port = htons(service.port);
  key.proto = service.port == 0 ? 0 : IPPROTO_TCP;
  return key;
}

size_t PossibleCpus() {
  static const auto cpus = static_cast<size_t>(libbpf_num_possible_cpus());
  return cpus;
}

// The sums over all CPUs of `count` entries of a per-CPU array, from `first`.
// One call of the kernel: this is done after every packet.
template <typename T>
void ReadSums(int map, uint32_t first, std::span<T> sums) {
  static_assert(sizeof(T) % sizeof(uint64_t) == 0);
  constexpr size_t kWords = sizeof(T) / sizeof(uint64_t);
  const size_t cpus = PossibleCpus();
  static std::vector<uint64_t> values;
  static std::vector<uint32_t> keys;
  values.resize(sums.size() * cpus * kWords);
  keys.resize(sums.size());
  uint32_t before = first - 1, last = 0;
  auto count = static_cast<uint32_t>(sums.size());
  FL_CHECK(bpf_map_lookup_batch(map, first == 0 ? nullptr : &before, &last,
                                keys.data(), values.data(), &count,
                                nullptr) == 0);
  FL_CHECK(count == sums.size() && keys[0] == first);
  for (size_t i = 0; i < sums.size(); i++) {
    std::array<uint64_t, kWords> sum = {};
    for (size_t word = 0; word < cpus * kWords; word++)
      sum[word % kWords] += values[i * cpus * kWords + word];
    std::memcpy(&sums[i], sum.data(), sizeof(T));
  }
}

template <typename T>
bool Same(std::span<const T> a, std::span<const T> b) {
  return std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

std::string Text(const fl_slot& slot) {
  const FlowSlot flow = Decode(slot);
  return absl::StrCat("tag ", absl::Hex(flow.tag), " state ", flow.state,
                      " backend ", flow.backend, " born ", flow.born,
                      " last seen ", flow.last_seen, " flags ", flow.flags);
}

void Differ(std::string& text, const std::string& what, uint64_t model,
            uint64_t program) {
  if (model == program) return;
  absl::StrAppend(&text, "  ", what, ": model ", model, ", program ", program,
                  "\n");
}

// As words: every value of these tables is one or more counters.
template <typename T>
void DifferWords(std::string& text, const std::string& what,
                 std::span<const T> model, std::span<const T> program) {
  constexpr size_t kWords = sizeof(T) / sizeof(uint64_t);
  for (size_t i = 0; i < model.size(); i++) {
    std::array<uint64_t, kWords> a = {}, b = {};
    std::memcpy(a.data(), &model[i], sizeof(T));
    std::memcpy(b.data(), &program[i], sizeof(T));
    for (size_t word = 0; word < kWords; word++)
      Differ(text, absl::StrCat(what, " ", i, " word ", word), a[word],
             b[word]);
  }
}

// What a backend was given takes up its rate for a minute, or not at all: the
// model's clock is not quite the kernel's.
std::vector<fl_load> Comparable(std::span<const fl_load> loads) {
  timespec now = {};
  FL_CHECK(clock_gettime(CLOCK_MONOTONIC_COARSE, &now) == 0);
  const auto soon = (static_cast<uint64_t>(now.tv_sec) + 30) * 1'000'000'000;
  std::vector<fl_load> all(loads.begin(), loads.end());
  for (fl_load& load : all)
    load.accept_due = load.accept_due > soon >> FL_ACCEPT_SHIFT ? 1 : 0;
  return all;
}

std::string DifferFlows(std::span<const fl_bucket> model,
                        std::span<const fl_bucket> program) {
  std::string text;
  for (size_t bucket = 0; bucket < model.size(); bucket++) {
    for (size_t i = 0; i < FL_BUCKET_SLOTS; i++) {
      const fl_slot& a = model[bucket].slots[i];
      const fl_slot& b = program[bucket].slots[i];
      if (a.word0 == b.word0 && a.word1 == b.word1) continue;
      absl::StrAppend(&text, "  slot ", bucket, ".", i, ": model ", Text(a),
                      "\n    program ", Text(b), "\n");
    }
  }
  return text;
}

}  // namespace

LbSubject::LbSubject(uint32_t flow_buckets)
    : flow_buckets_(flow_buckets),
      lb_(WorldSizes(flow_buckets)),
      crowd_(lb_.program_fd()) {
  counters_.services.resize(kWorldServices + 1);
  counters_.sources.resize(kWorldServices + 1);
  counters_.backends.resize(kFirstBackend + kBackendCount);
}

void LbSubject::Install(Host& host) {
  const int map = lb_.services_map();
  const auto remove = [&](const base::Endpoint& service) {
    const fl_service_key key = KeyOf(service);
    FL_CHECK(bpf_map_delete_elem(map, &key) == 0);
  };
  const auto add = [&](const base::Endpoint& at, const fl_service& service) {
    const fl_service_key key = KeyOf(at);
    FL_CHECK(bpf_map_update_elem(map, &key, &service, BPF_ANY) == 0);
    services_.insert(at);
  };
  for (const base::Endpoint& service : services_) remove(service);
  services_.clear();
  for (const auto& [at, service] : host.services) {
    add(at, service);
    fl_service address = {};
    address.id = AddressId(host, at.address);
    address.flags = FL_SERVICE_ADDRESS;
    if (IsTombstone(host, at.address)) address.flags |= FL_SERVICE_TOMBSTONE;
    add({at.address, 0}, address);
  }
  InstallPrefixes(host);
  InstallLimits(host);
  std::ranges::fill(lb_.conns(), fl_conn_set{});
  std::ranges::fill(lb_.charges(), fl_flow_charges{});
  std::ranges::copy(host.rows, lb_.rows().begin());
  InstallBackendsAndFlows(host);
  InstallAnswered(host);
  InstallSyns(host);
  ReadCounters();
  host.counters = counters_;
}

void LbSubject::InstallBackendsAndFlows(const Host& host) {
  std::copy(host.backends.begin() + kFirstBackend, host.backends.end(),
            lb_.backends().begin() + kFirstBackend);
  std::copy(host.loads.begin() + kFirstBackend, host.loads.end(),
            lb_.load().begin() + kFirstBackend);
  std::ranges::copy(host.flows, lb_.flows().begin());
  std::ranges::copy(host.leases, lb_.leases().begin());
}

Arrival LbSubject::Plain(const Bytes& frame, uint64_t now_ns) {
  return {.frame = frame,
          .ingress = test::kIngress,
          .now_ns = now_ns,
          .headroom = kHeadroom};
}

bool LbSubject::CanCrowd(const Bytes& frame) {
  return frame.size() >= kCrowdMoves;
}

Arrival LbSubject::Crowded(const Bytes& frame, uint64_t now_ns) {
  Arrival arrival = Plain(frame, now_ns);
  arrival.headroom -= kCrowdTakes;
  arrival.frame.insert(arrival.frame.begin(), kCrowdTakes, 0);
  std::copy_n(frame.begin(), kCrowdMoves, arrival.frame.begin());
  return arrival;
}

test::TestRunResult LbSubject::Run(const Bytes& frame) {
  return Run(frame, {});
}

test::TestRunResult LbSubject::RunCrowded(const Bytes& frame) {
  return Run(frame, {.through_fd = crowd_.program_fd()});
}

test::TestRunResult LbSubject::Run(const Bytes& frame,
                                   const test::TestRunOptions& options) {
  runs_++;
  test::TestRunResult result = test::TestRun(lb_.program_fd(), frame, options);
  FL_CHECK(result.error == 0);
  return result;
}

void LbSubject::ReadCounters() {
  ReadSums<uint64_t>(lb_.verdicts_map(), 0, counters_.verdicts);
  ReadSums<fl_service_stats>(lb_.service_stats_map(), 0, counters_.services);
  ReadSums<fl_source_stats>(lb_.source_stats_map(), 0, counters_.sources);
  ReadSums(lb_.backend_stats_map(), kFirstBackend,
           std::span(counters_.backends).subspan(kFirstBackend));
}

// And into the list that is not in force, the same with the opposite rules.
void LbSubject::InstallPrefixes(const Host& host) {
  for (const auto& [listed, service] : prefixes_)
    lb_.SetPrefix(service, listed.second, std::nullopt);
  prefixes_.clear();
  for (const auto& [at, service] : host.services) {
    const auto rules = host.prefixes.find(service.id);
    if (rules == host.prefixes.end()) continue;
    fl_service other = service;
    other.list = service.list == 1 ? 2 : 1;
    for (const PrefixRule& rule : rules->second) {
      const fl_prefix opposite =
          rule.rule == FL_PREFIX_DENY ? FL_PREFIX_ALLOW : FL_PREFIX_DENY;
      lb_.SetPrefix(service, rule.prefix, rule.rule);
      lb_.SetPrefix(other, rule.prefix, opposite);
      for (const fl_service& list : {service, other})
        prefixes_[{{list.id, list.list}, rule.prefix}] = list;
    }
  }
}

// With the longest interval that there is, which is a tick.
void LbSubject::InstallLimits(const Host& host) {
  constexpr uint32_t kTick = (1u << 24) - 1;
  std::ranges::fill(lb_.limits(), 0);
  std::ranges::fill(lb_.rates(), fl_rate_set{});
  for (const auto& [service, limit] : host.limits)
    lb_.limits()[service] =
        fl_limit_word(kTick, limit.burst, static_cast<uint8_t>(limit.bits4),
                      static_cast<uint8_t>(limit.bits6));
}

void LbSubject::InstallAnswered(const Host& host) {
  static_assert(sizeof(AnswerCount) == 8);
  answered_ = host.answered;
  for (uint32_t key = 0; key < answered_.size() * kAnswerKinds; key++) {
    const AnswerCount& count =
        answered_[key / kAnswerKinds][key % kAnswerKinds];
    const std::vector<AnswerCount> values(PossibleCpus(), count);
    FL_CHECK(bpf_map_update_elem(lb_.answered_map(), &key, values.data(),
                                 BPF_ANY) == 0);
  }
}

// Below a batch of more than one, the windows say all.
void LbSubject::InstallSyns(const Host& host) {
  for (size_t id = 0; id < host.syns.size(); id++) {
    const SynCount& count = host.syns[id];
    lb_.syn_windows()[id].word =
        uint64_t{count.tick} << FL_SYN_TICK_SHIFT | count.taken;
  }
}

std::string LbSubject::DifferSyns(const Host& host) const {
  std::string text;
  for (size_t id = 0; id < host.syns.size(); id++) {
    const SynCount& count = host.syns[id];
    const uint64_t word = lb_.syn_windows()[id].word;
    const std::string of = absl::StrCat("new flows of service ", id);
    Differ(text, of, count.taken, word & FL_SYN_TAKEN_MASK);
    Differ(text, of + ", tick", count.tick, word >> FL_SYN_TICK_SHIFT);
  }
  return text;
}

// The CPU that ran the packet has what the model has, the others what they had.
std::string LbSubject::DifferAnswered(const Host& host) {
  const size_t cpus = PossibleCpus();
  const size_t entries = answered_.size() * kAnswerKinds;
  std::vector<AnswerCount> values(entries * cpus);
  std::vector<uint32_t> keys(entries);
  uint32_t last = 0;
  auto count = static_cast<uint32_t>(entries);
  FL_CHECK(bpf_map_lookup_batch(lb_.answered_map(), nullptr, &last, keys.data(),
                                values.data(), &count, nullptr) == 0 &&
           count == entries);
  std::string text;
  bool changed = false;
  for (size_t key = 0; key < entries; key++) {
    const AnswerCount& before =
        answered_[key / kAnswerKinds][key % kAnswerKinds];
    const AnswerCount& model =
        host.answered[key / kAnswerKinds][key % kAnswerKinds];
    const auto of_cpus = std::span(values).subspan(key * cpus, cpus);
    const auto as_before = std::ranges::count(of_cpus, before);
    const auto as_model = std::ranges::count(of_cpus, model);
    const auto changes = model == before ? 0 : 1;
    changed = changed || changes != 0;
    if (as_before == std::ssize(of_cpus) - changes &&
        (changes == 0 || as_model == changes))
      continue;
    for (const AnswerCount& value : of_cpus) {
      absl::StrAppend(&text, "  answers of kind ", key % kAnswerKinds, " for ",
                      key / kAnswerKinds, ": model ", model.given, " in tick ",
                      model.tick, ", before ", before.given, " in tick ",
                      before.tick, ", a CPU ", value.given, " in tick ",
                      value.tick, "\n");
    }
  }
  if (changed) InstallAnswered(host);
  return text;
}

// The same flows are charged, each to an entry that counts as many as its
// source has.
std::string LbSubject::DifferCharges(const Host& host) const {
  std::map<Source, uint64_t> counts;
  for (const auto& [slot, source] : host.charges) counts[source]++;
  std::string text;
  uint64_t counted = 0;
  for (const fl_conn_set& set : lb_.conns())
    for (const uint64_t word : set.words) counted += word & FL_CONN_COUNT_MASK;
  Differ(text, "connections of sources", host.charges.size(), counted);
  for (size_t slot = 0; slot < lb_.charges().size() * FL_BUCKET_SLOTS; slot++) {
    const uint32_t charge =
        lb_.charges()[slot / FL_BUCKET_SLOTS].entries[slot % FL_BUCKET_SLOTS];
    const auto source = host.charges.find(slot);
    uint64_t of_entry = 0;
    if (charge != 0)
      of_entry = lb_.conns()[(charge - 1) / FL_CONN_SET]
                     .words[(charge - 1) % FL_CONN_SET] &
                 FL_CONN_COUNT_MASK;
    Differ(text, absl::StrCat("connections of the source of slot ", slot),
           source == host.charges.end() ? 0 : counts[source->second], of_entry);
  }
  return text;
}

std::string LbSubject::DifferenceFrom(const Host& host) {
  std::string text =
      DifferAnswered(host) + DifferSyns(host) + DifferCharges(host);
  ReadCounters();
  const Counters& counters = host.counters;
  const std::span<const fl_bucket> flows = lb_.flows();
  const std::vector<fl_load> loads = Comparable(lb_.load());
  const std::vector<fl_load> model_loads = Comparable(host.loads);
  if (text.empty() && Same<fl_bucket>(host.flows, flows) &&
      Same<fl_load>(model_loads, loads) &&
      counters.verdicts == counters_.verdicts &&
      Same<fl_service_stats>(counters.services, counters_.services) &&
      Same<fl_source_stats>(counters.sources, counters_.sources) &&
      Same<fl_backend_stats>(counters.backends, counters_.backends))
    return "";
  for (size_t i = 0; i < counters.verdicts.size(); i++)
    Differ(text, test::VerdictName(static_cast<fl_lb_verdict>(i)),
           counters.verdicts[i], counters_.verdicts[i]);
  absl::StrAppend(&text, DifferFlows(host.flows, flows));
  DifferWords<fl_load>(text, "load", model_loads, loads);
  DifferWords<fl_service_stats>(text, "service", counters.services,
                                counters_.services);
  DifferWords<fl_source_stats>(text, "source limits of service",
                               counters.sources, counters_.sources);
  DifferWords<fl_backend_stats>(text, "backend", counters.backends,
                                counters_.backends);
  return text;
}

uint64_t LbSubject::verdicts() const {
  const test::LbVerdicts counted = lb_.verdicts();
  return std::accumulate(counted.begin(), counted.end(), uint64_t{0});
}

}  // namespace fairlead::model
