// What the control API tells that only the daemon knows: the node, the kernel's
// counters and one flow's place in the tables. The daemon implements it, tests
// fake it.
//
// Everything answers at once, from memory, but for the tasks.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/ip_address.h"
#include "base/ip_prefix.h"
#include "core/model.h"
#include "core/row_plan.h"
#include "event/task.h"

namespace fairlead::control {

struct InterfaceStatus {
  std::string name;
  std::string mode;  // "native", "generic"
  uint32_t mtu = 0;
};

struct TableUse {
  uint64_t used = 0;
  uint64_t size = 0;
  uint64_t bytes = 0;  // of kernel memory, with its counters
};

// Another LB host of the tier.
struct PeerStatus {
  base::Endpoint endpoint;
  std::string node;  // empty until it has answered
  uint16_t lb_id = 0;
  // "unknown": not asked yet, "agrees", "differs", "silent", "foreign": without
  // the tier's key.
  std::string state;
  std::vector<std::string> differing;  // services with another table there
};

struct NodeStatus {
  std::string name;
  uint16_t id = 0;
  std::string version;
  absl::Duration uptime;
  pid_t pid = 0;
  std::vector<InterfaceStatus> interfaces;
  TableUse flows;
  TableUse rows;
  TableUse services;
  TableUse backends;
  TableUse prefixes;
  TableUse sources;          // whose rate is known; not how many are
  TableUse counted_sources;  // whose connections are; likewise
  std::vector<PeerStatus> peers;
};

// Sums over the CPUs, since the maps were made.
struct ServiceCounters {
  uint64_t packets = 0;
  uint64_t bytes = 0;
  uint64_t new_flows = 0;
  uint64_t misses = 0;
  uint64_t fail_open = 0;
  uint64_t too_big = 0;
  uint64_t over_budget = 0;
  uint64_t denied = 0;
  uint64_t over_rate = 0;
  uint64_t refused_full = 0;
  uint64_t over_conns = 0;
  uint64_t uncounted = 0;
};

struct BackendCounters {
  uint64_t packets = 0;
  uint64_t bytes = 0;
  uint64_t new_flows = 0;
  uint64_t syn_again = 0;
};

// A line of fl_backends and its load, as the packet path reads them.
struct BackendLine {
  uint64_t state = 0;  // FL_BACKEND_*
  uint64_t live = 0;
  uint64_t pending = 0;
  uint64_t load = 0;  // by which the packet path chooses
  int weight = 0;
  bool full = false;     // new flows pass it by
  bool at_rate = false;  // for a moment: it is full by its accept-rate
};

struct FlowSlot {
  unsigned int state = 0;  // enum fl_slot_state
  core::BackendId backend = 0;
  absl::Duration age;
  absl::Duration idle;
  bool ended = false;  // the client will send no more
};

struct FlowFacts {
  uint64_t tag = 0;
  uint32_t row = 0;   // number within the service
  uint32_t draw = 0;  // of fl_draw_of()
  core::RowWords words;
  std::optional<FlowSlot> slot;
  // A new flow would find a place: false if both its buckets are full of
  // established ones.
  bool recordable = true;
  // Connections that the client's source is charged with; nullopt: the service
  // has no limit for them.
  std::optional<uint64_t> source_connections;
};

struct Flow {
  base::Endpoint client;
  base::Endpoint vip;
};

// A flow, and the agents of those who may hold it.
struct SocketQuestion {
  Flow flow;
  uint16_t agent_port = 0;
  absl::btree_map<core::BackendId, base::IpAddress> backends;
};
// By whom was asked: the state of the flow's socket there, "established" or
// "none", or "?" and why it is not known.
using SocketAnswers = absl::btree_map<core::BackendId, std::string>;

// Addresses in a prefix, at first all, and a port; 0: any.
struct AddressMatch {
  base::IpPrefix prefix = {.address = {}, .bits = 0};
  uint16_t port = 0;
};
// Which packets are to be told of; all that match everything that is said.
struct TraceQuery {
  AddressMatch client, vip;
  std::optional<core::ServiceId> service;
  std::optional<uint16_t> verdict;  // enum fl_lb_verdict
  uint64_t count = UINT64_MAX;
};
// A frame from its Ethernet header on; of a long one, the first bytes.
struct TracedFrame {
  std::string interface;
  uint16_t length = 0;
  std::string bytes;
  std::string text;  // for people
};
struct TracedPacket {
  absl::Time time;
  uint16_t verdict = 0;
  core::ServiceId service = 0;  // 0: for none
  TracedFrame in;
  std::optional<TracedFrame> out;  // of a packet that is sent
};
struct TraceBatch {
  std::vector<TracedPacket> packets;
  uint64_t missed = 0;  // so far: matched, but came too fast to be told
};
// Tracing goes on while it lives.
class Trace {
 public:
  virtual ~Trace() = default;
  // Waits for something new.
  virtual event::Task<absl::StatusOr<TraceBatch>> Next() = 0;
};

class ControlHost {
 public:
  virtual ~ControlHost() = default;

  virtual NodeStatus Status() const = 0;
  virtual std::vector<std::string> Alarms() const = 0;
  // Why packets of the service do not say that its table is settled; empty:
  // they do.
  virtual std::string WhyUnsettled(const core::Service& service) const = 0;
  // By enum fl_lb_verdict.
  virtual std::vector<uint64_t> VerdictCounts() const = 0;
  // By enum fl_probe_verdict.
  virtual std::vector<uint64_t> CheckVerdictCounts() const = 0;
  virtual ServiceCounters CountersOf(core::ServiceId service) const = 0;
  virtual BackendCounters CountersOfBackend(core::BackendId backend) const = 0;
  virtual BackendLine LineOf(core::BackendId backend) const = 0;
  // Looks only; nothing of the flow changes.
  virtual FlowFacts LookUp(const core::Service& service,
                           const Flow& flow) const = 0;

  virtual event::Task<SocketAnswers> AskSockets(SocketQuestion question) = 0;

  // Made at once; nothing follows from it.
  virtual event::Task<core::ProbeResult> RunCheck(core::ProbeRequest probe) = 0;

  // FAILED_PRECONDITION: another trace is under way.
  virtual absl::StatusOr<std::unique_ptr<Trace>> StartTrace(
      const TraceQuery& query) = 0;

  // Takes the programs off the interfaces and removes the pins.
  // FAILED_PRECONDITION while packets for services arrive, unless `force`.
  virtual event::Task<absl::Status> Detach(bool force) = 0;
};

}  // namespace fairlead::control
