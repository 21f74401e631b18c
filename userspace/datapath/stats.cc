#include "datapath/stats.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <array>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/errors.h"
#include "fairlead/abi/verdict.h"

namespace fairlead::datapath {
namespace {

#define FL_VERDICT_INFO(name, action, help) VerdictInfo{#name, #action, help},
constexpr std::array kLbVerdicts = {FL_LB_VERDICTS(FL_VERDICT_INFO)};
constexpr std::array kAgentVerdicts = {FL_AGENT_VERDICTS(FL_VERDICT_INFO)};
#undef FL_VERDICT_INFO
static_assert(kLbVerdicts.size() == FL_LB_VERDICT_COUNT);
static_assert(kAgentVerdicts.size() == FL_AGENT_VERDICT_COUNT);

// The sum over all CPUs of entry `key`, word by word.
absl::Status AddEntry(int map, uint32_t key, absl::string_view name,
                      std::span<uint64_t> words) {
  const int cpus = libbpf_num_possible_cpus();
  if (cpus <= 0) return base::BpfError(cpus, "count the possible CPUs");
  std::vector<uint64_t> values(static_cast<size_t>(cpus) * words.size());
  const int result = bpf_map_lookup_elem(map, &key, values.data());
  if (result != 0) {
    return base::BpfError(result, absl::StrCat("read ", name, "[", key, "]"));
  }
  for (size_t i = 0; i < values.size(); ++i)
    words[i % words.size()] += values[i];
  return absl::OkStatus();
}

// `Counters` is a struct of 64-bit counters, reserved ones included.
template <typename Counters>
absl::StatusOr<Counters> ReadCounters(int map, uint32_t key,
                                      absl::string_view name) {
  std::array<uint64_t, sizeof(Counters) / sizeof(uint64_t)> words = {};
  static_assert(sizeof(words) == sizeof(Counters));
  const absl::Status status = AddEntry(map, key, name, words);
  if (!status.ok()) return status;
  Counters counters;
  std::memcpy(&counters, words.data(), sizeof(counters));
  return counters;
}

}  // namespace

std::span<const VerdictInfo> LbVerdicts() { return kLbVerdicts; }

std::span<const VerdictInfo> AgentVerdicts() { return kAgentVerdicts; }

absl::StatusOr<std::vector<uint64_t>> SumPerCpu(int map, uint32_t count,
                                                absl::string_view name) {
  std::vector<uint64_t> sums(count, 0);
  for (uint32_t i = 0; i < count; ++i) {
    const absl::Status status =
        AddEntry(map, i, name, std::span(sums).subspan(i, 1));
    if (!status.ok()) return status;
  }
  return sums;
}

absl::StatusOr<std::vector<uint64_t>> Stats::Verdicts() const {
  return SumPerCpu(maps_.verdicts, FL_LB_VERDICT_COUNT, "fl_verdicts");
}

absl::StatusOr<fl_service_stats> Stats::Service(core::ServiceId id) const {
  return ReadCounters<fl_service_stats>(maps_.service_stats, id,
                                        "fl_svc_stats");
}

absl::StatusOr<fl_source_stats> Stats::Sources(core::ServiceId id) const {
  return ReadCounters<fl_source_stats>(maps_.source_stats, id, "fl_src_stats");
}

absl::StatusOr<fl_backend_stats> Stats::Backend(core::BackendId id) const {
  return ReadCounters<fl_backend_stats>(maps_.backend_stats, id,
                                        "fl_bkd_stats");
}

}  // namespace fairlead::datapath
