// The LB host's program as shipped, loaded through its skeleton and run packet
// by packet, with its tables as memory.
//
// One object is one set of tables. Run() is for one thread at a time; the
// tables may be written by others meanwhile. Whatever the environment refuses
// ends the test program: nothing after it would mean anything.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "absl/functional/function_ref.h"
#include "base/ip_address.h"
#include "base/ip_prefix.h"
#include "fairlead/abi/config.h"
#include "fairlead/abi/flow_slot.h"
#include "fairlead/abi/maps.h"
#include "fairlead/abi/row.h"
#include "fairlead/abi/stats.h"
#include "fairlead/abi/verdict.h"
#include "fairlead/abi/wire.h"
#include "tests/support/bpf_run.h"
#include "tests/support/packet.h"
#include "tests/support/reference_siphash.h"

namespace fairlead::test {

inline constexpr SipKey kHashKey = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
inline const base::IpAddress kNode4 = Ip("192.0.2.1");
inline const base::IpAddress kNode6 = Ip("2001:db8:1::1");
inline constexpr uint16_t kLbId = 513;
// Test runs come in by the first interface, lo; packets may leave by these.
inline constexpr uint32_t kIngress = 1;
inline constexpr uint32_t kOtherEgress[] = {2, 70000};

struct LbSizes {
  uint32_t flow_buckets = 256;  // a power of two
  uint32_t rows = 1024;
  uint32_t backends = 64;
  uint32_t services = 8;
  uint32_t prefixes = 64;   // of both lists of all services
  uint32_t rate_sets = 16;  // a power of two
  uint32_t conn_sets = 1;   // a power of two; 1: sources' are not counted
};

// Ticks of silence after which a slot of each state is expired.
inline constexpr fl_timeouts kTimeouts = {{0, 30, 200, 50000, 400, 0, 0, 0}};

struct LbResult {
  fl_lb_verdict verdict;
  uint32_t action;  // XDP_*
  Bytes packet;
};

using LbVerdicts = std::array<uint64_t, FL_LB_VERDICT_COUNT>;

std::string VerdictName(fl_lb_verdict verdict);
// What the entry program must return for a packet that stays on its interface.
uint32_t VerdictAction(fl_lb_verdict verdict);

class LbProgram {
 public:
  explicit LbProgram(const LbSizes& sizes = {});
  LbProgram(const LbProgram&) = delete;
  LbProgram& operator=(const LbProgram&) = delete;
  ~LbProgram();

  // Runs the program once. Exactly one verdict must have been counted, and the
  // action must be that verdict's.
  LbResult Run(const Packet& packet, const TestRunOptions& options = {});
  LbResult Run(std::span<const uint8_t> frame,
               const TestRunOptions& options = {});

  // Writes the service's entry and that of its address.
  void SetService(const base::Endpoint& vip, const fl_service& service);
  void RemoveService(const base::Endpoint& vip);

  // Writes an entry of a list of prefixes; without a rule it removes it.
  void SetPrefix(const fl_service& service, const base::IpPrefix& prefix,
                 std::optional<fl_prefix> rule);

  std::span<fl_row> rows() const { return rows_.as<fl_row>(); }
  std::span<fl_backend> backends() const { return backends_.as<fl_backend>(); }
  std::span<fl_load> load() const { return load_.as<fl_load>(); }
  std::span<fl_bucket> flows() const { return flows_.as<fl_bucket>(); }
  std::span<uint64_t> leases() const { return leases_.as<uint64_t>(); }
  std::span<fl_syn_window> syn_windows() const {
    return syn_windows_.as<fl_syn_window>();
  }
  std::span<uint64_t> limits() const { return limits_.as<uint64_t>(); }
  std::span<fl_rate_set> rates() const { return rates_.as<fl_rate_set>(); }
  std::span<fl_conn_set> conns() const { return conns_.as<fl_conn_set>(); }
  // By bucket of flows().
  std::span<fl_flow_charges> charges() const {
    return charges_.as<fl_flow_charges>();
  }

  // Sums over all CPUs.
  LbVerdicts verdicts() const;
  fl_service_stats service_stats(uint16_t id) const;
  fl_source_stats source_stats(uint16_t id) const;
  fl_backend_stats backend_stats(uint16_t id) const;

  // The slot that holds the flow, or null.
  fl_slot* FindSlot(const Flow& flow) const;
  uint32_t bucket_mask() const { return sizes_.flow_buckets - 1; }
  int program_fd() const;
  int services_map() const;
  int backends_map() const;
  int verdicts_map() const;
  int service_stats_map() const;
  int source_stats_map() const;
  int backend_stats_map() const;
  // Of struct fl_answers in bpf/lib/icmp.h.
  int answered_map() const;
  // Of fairlead/abi/trace.h.
  int trace_map() const;
  int traced_map() const;

 private:
  struct Skeleton;

  const LbSizes sizes_;
  std::unique_ptr<Skeleton> skeleton_;
  SharedMemory rows_, backends_, load_, flows_, leases_, syn_windows_, limits_,
      rates_, conns_, charges_;
};

// The tick that the program sees.
uint32_t NowTick();
// Runs `body` so that the tick does not change in it: anew if it did.
// Requires: running `body` again does no harm; it takes far below a second.
void InOneTick(absl::FunctionRef<void()> body);

}  // namespace fairlead::test
