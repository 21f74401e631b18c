// An LB host's tables for a benchmark: services at consecutive ports of both
// VIPs, backends in all rows, flows recorded where the program would.
//
// For one thread.
#pragma once

#include <cstdint>

#include "tests/bench/trampoline_run.h"
#include "tests/support/bpf_fixture.h"

namespace fairlead::test {

enum class Fill { kEmpty, kFlows, kHandshakes, kEstablished };

// Of all services together: 16 bytes each, 1 MB.
inline constexpr uint32_t kBenchRows = 65536;

struct LbCase {
  uint32_t buckets = 1u << 16;
  uint32_t services = 1;  // a power of two; they share the rows
  uint16_t backends = 4;
  Fill fill = Fill::kEmpty;
  FlowOrder order = {};
  bool is_ipv6 = false;
  uint8_t encap = FL_ENCAP_GUE;
  uint32_t syn_fair = 0;
  bool over_budget = false;  // all new flows are
};

LbSizes SizesOf(const LbCase& c);

// Services, backends and rows. `egress`: interface by which backends are
// reached, 0 for that of the packet.
void SetUpTables(LbProgram& lb, const LbCase& c, uint32_t egress = 0);

// Empties the flow table and fills it; gives how many flows found no slot.
uint32_t FillFlows(LbProgram& lb, const LbCase& c);

}  // namespace fairlead::test
