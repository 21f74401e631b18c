// The LB host's packet path as docs/WIRE.md, docs/ARCHITECTURE.md, the
// verdicts' help texts and the ABI's comments describe it: a judge for
// bpf/fairlead.bpf.c, from which it takes nothing. It is slow and plain on
// purpose, and reads top to bottom as the specification: read_frame.h is what
// comes in, lb_model.cc what is decided, flow_model.h the flow table,
// icmp_model.h what is answered, write_frame.h what goes out.
//
// One packet at a time and no clock: what two CPUs do to one slot at once is
// the business of tests/unit/bpf and of the hammer tests.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "base/ip_address.h"
#include "base/ip_prefix.h"
#include "fairlead/abi/config.h"
#include "fairlead/abi/flow_slot.h"
#include "fairlead/abi/maps.h"
#include "fairlead/abi/row.h"
#include "fairlead/abi/stats.h"
#include "fairlead/abi/verdict.h"
#include "tests/support/packet.h"
#include "tests/support/reference_siphash.h"

namespace fairlead::model {

using test::Bytes;

struct Config {
  test::SipKey hash_key = {};
  base::IpAddress node4, node6;
  uint16_t lb_id = 0;
  uint16_t gue_port = 0;
  fl_timeouts timeouts = {};
};

// What is counted, as sums over all CPUs.
struct Counters {
  std::array<uint64_t, FL_LB_VERDICT_COUNT> verdicts = {};
  std::vector<fl_service_stats> services;  // by id
  std::vector<fl_source_stats> sources;    // by service id
  std::vector<fl_backend_stats> backends;  // by id
};

// Answers by ICMP on this CPU.
struct AnswerCount {
  uint32_t tick = 0;
  uint32_t given = 0;  // within it; also those that were too many

  bool operator==(const AnswerCount&) const = default;
};
// None shall use up what another is for.
enum AnswerKind : uint8_t {
  kAnswerEcho,
  kAnswerRefusal,
  kAnswerTooBig,
  kAnswerReset,
  kAnswerKinds
};
using AnswerCounts = std::array<AnswerCount, kAnswerKinds>;

// New flows of a service in a tick. The model counts one by one, which is what
// the program does up to the first thousand.
struct SynCount {
  uint32_t tick = 0;
  uint64_t taken = 0;

  bool operator==(const SynCount&) const = default;
};

// An entry of a service's lists of who may open connections.
struct PrefixRule {
  base::IpPrefix prefix;
  fl_prefix rule = FL_PREFIX_DENY;
};

// How many connections a source may open while the tick lasts, and so at once.
struct SourceLimit {
  uint32_t burst = 1;
  int bits4 = 128, bits6 = 64;  // of sixteen bytes
};

// How many connections a source may have. The model has room for all sources.
struct SourceMost {
  uint32_t most = 1;
  int bits4 = 128, bits6 = 64;  // of sixteen bytes
};
// A source: of which service, and which addresses.
using Source = std::pair<uint16_t, base::IpPrefix>;

// Everything that an LB host knows. A packet changes flows, loads, answers and
// counters.
struct Host {
  Config config;
  // TCP services and tombstones.
  std::map<base::Endpoint, fl_service> services;
  std::map<uint16_t, std::vector<PrefixRule>> prefixes;  // by service id
  std::map<uint16_t, SourceLimit> limits;                // by service id
  // Connections that sources have opened, by service id and prefix.
  std::map<Source, uint32_t> opened;
  std::map<uint16_t, SourceMost> mosts;  // by service id
  // Whose connection the flow in a slot counts as; by number of the slot.
  std::map<size_t, Source> charges;
  std::vector<fl_row> rows;
  std::vector<fl_backend> backends;    // by id
  std::vector<uint64_t> leases;        // by service id
  std::vector<fl_load> loads;          // by backend id
  std::vector<fl_bucket> flows;        // a power of two of them, two at least
  std::vector<AnswerCounts> answered;  // by id of a service, or of an address
  std::vector<SynCount> syns;          // by service id
  std::set<uint32_t> egress;  // interfaces that packets may be redirected to
  Counters counters;
};

struct Arrival {
  Bytes frame;
  uint32_t ingress = 0;  // interface
  uint64_t now_ns = 0;   // CLOCK_MONOTONIC_COARSE
  // What the driver leaves in front of the frame.
  size_t headroom = 256;
};

struct Departure {
  fl_lb_verdict verdict = FL_LB_DROP_INTERNAL;
  uint32_t action = 0;  // XDP_*
  Bytes frame;
  bool to_backend = false;
};

Departure Leave(fl_lb_verdict verdict, Bytes frame);
// All addresses that begin with the first bits of this one.
base::IpPrefix PrefixOf(const base::IpAddress& address, int bits);
// May that much be put in front of the frame?
bool HasRoom(const Arrival& arrival, size_t bytes);

// The id that stands for an address which has a service: its first one's.
uint16_t AddressId(const Host& host, const base::IpAddress& address);
// The services of an address are all deleted; it has one at least.
bool IsTombstone(const Host& host, const base::IpAddress& address);

// The life of one packet.
// Requires: the host's tables are whole, each id in them is that of an entry.
Departure Receive(Host& host, const Arrival& arrival);

}  // namespace fairlead::model
