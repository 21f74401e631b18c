// Nanoseconds per packet of a loaded XDP program, by BPF_PROG_TEST_RUN behind a
// trampoline that restores the packet (trampoline.bpf.c), and of the floor: the
// same trampoline before a program that only says XDP_TX.
//
// For one thread; one run at a time.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "tests/bench/report.h"
#include "tests/bench/trampoline.h"
#include "tests/support/bpf_run.h"

struct trampoline;

namespace fairlead::test {

// Which flows the packets of a run are of.
struct FlowOrder {
  fl_bench_order order = FL_BENCH_FIXED;
  uint32_t flows = 1;
  uint32_t services = 1;  // a power of two; at consecutive ports
  uint16_t first_port = 0;
};

// What a trampoline restores.
enum class Restores {
  kFlow,  // Ethernet, and the flow is another one each time
  kHead,  // the first FL_BENCH_HEAD bytes
};

// A cost in rounds: of the program and its trampoline, of the floor in the same
// rounds, and of the unit: the floor of kFlow, in which targets are told.
struct PacketCost {
  Series gross, floor, unit;
};

class Trampoline {
 public:
  Trampoline();
  Trampoline(const Trampoline&) = delete;
  Trampoline& operator=(const Trampoline&) = delete;
  ~Trampoline();

  // One round: runs `repeat` packets through nothing, and through the program.
  // Requires: with kHead, the frame has FL_BENCH_HEAD bytes.
  void Round(int program_fd, Restores restores, std::span<const uint8_t> frame,
             const FlowOrder& order, uint32_t repeat, PacketCost& cost);

  // For live frames.
  void Prepare(std::span<const uint8_t> frame, const FlowOrder& order);
  int source_fd() const;
  int sink_fd() const;
  int floor_fd() const;
  // What the sink has seen since Prepare().
  fl_bench_sink sunk() const { return sunk_.as<fl_bench_sink>()[0]; }

 private:
  void Aim(int program_fd);
  double Run(Restores restores, std::span<const uint8_t> frame,
             const FlowOrder& order, uint32_t repeat);

  trampoline* object_;
  SharedMemory state_, sunk_;
};

// Gross, floor and net of a case, net in units, and its target if there is one.
// A target is told for a machine whose unit is 7.5 ns.
void ReportCost(JsonLine& line, const PacketCost& cost, int target_ns);

// Ends the program if BPF programs cannot be loaded here.
void RequireBpf(const char* program);

}  // namespace fairlead::test
