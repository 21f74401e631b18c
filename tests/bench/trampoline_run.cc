#include "tests/bench/trampoline_run.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "base/check.h"
#include "trampoline.skel.h"

namespace fairlead::test {
namespace {

constexpr double kTargetUnitNs = 7.5;

}  // namespace

Trampoline::Trampoline() : object_(trampoline::open_and_load()) {
  FL_CHECK(object_ != nullptr);
  state_ = SharedMemory(bpf_map__fd(object_->maps.fl_bench), sizeof(fl_bench));
  sunk_ =
      SharedMemory(bpf_map__fd(object_->maps.fl_sunk), sizeof(fl_bench_sink));
}

Trampoline::~Trampoline() { trampoline::destroy(object_); }

int Trampoline::source_fd() const {
  return bpf_program__fd(object_->progs.fl_source);
}
int Trampoline::sink_fd() const {
  return bpf_program__fd(object_->progs.fl_sink);
}
int Trampoline::floor_fd() const {
  return bpf_program__fd(object_->progs.fl_floor);
}

void Trampoline::Aim(int program_fd) {
  const uint32_t key = 0;
  FL_CHECK(bpf_map_update_elem(bpf_map__fd(object_->maps.fl_targets), &key,
                               &program_fd, BPF_ANY) == 0);
}

void Trampoline::Prepare(std::span<const uint8_t> frame,
                         const FlowOrder& order) {
  constexpr uint8_t kIpv6Type[2] = {0x86, 0xdd};
  fl_bench& state = state_.as<fl_bench>()[0];
  state.length = static_cast<uint32_t>(frame.size());
  state.is_ipv6 = std::equal(kIpv6Type, kIpv6Type + 2, frame.data() + 12);
  state.order = order.order;
  state.first = 0;
  state.flows = order.flows;
  state.service_mask = order.services - 1;
  state.first_port = order.first_port;
  state.packets = 0;
  std::copy_n(frame.begin(), std::min<size_t>(frame.size(), FL_BENCH_HEAD),
              state.head);
  sunk_.as<fl_bench_sink>()[0] = {};
}

double Trampoline::Run(Restores restores, std::span<const uint8_t> frame,
                       const FlowOrder& order, uint32_t repeat) {
  Prepare(frame, order);
  const bpf_program* const entry = restores == Restores::kFlow
                                       ? object_->progs.fl_trampoline
                                       : object_->progs.fl_restore;
  const TestRunResult result =
      TestRun(bpf_program__fd(entry), frame, {.repeat = repeat});
  FL_CHECK(result.error == 0);
  FL_CHECK(result.action != XDP_ABORTED);
  return result.nanoseconds;
}

void Trampoline::Round(int program_fd, Restores restores,
                       std::span<const uint8_t> frame, const FlowOrder& order,
                       uint32_t repeat, PacketCost& cost) {
  Aim(floor_fd());
  cost.unit.Add(Run(Restores::kFlow, frame, order, repeat));
  cost.floor.Add(Run(restores, frame, order, repeat));
  Aim(program_fd);
  cost.gross.Add(Run(restores, frame, order, repeat));
}

void ReportCost(JsonLine& line, const PacketCost& cost, int target_ns) {
  const double net = cost.gross.Min() - cost.floor.Min();
  line.Number("net_min_ns", net)
      .Number("net_median_ns", cost.gross.Median() - cost.floor.Median())
      .Number("net_min_units", net / cost.unit.Min())
      .Times("gross", "ns", cost.gross)
      .Times("floor", "ns", cost.floor)
      .Times("unit", "ns", cost.unit);
  if (target_ns > 0)
    line.Count("target_ns", static_cast<uint64_t>(target_ns))
        .Number("target_units", target_ns / kTargetUnitNs);
}

void RequireBpf(const char* program) {
  const std::string why = WhyNoBpf();
  if (why.empty()) return;
  std::fprintf(stderr, "%s: %s\n", program, why.c_str());
  std::exit(1);
}

}  // namespace fairlead::test
