// The words of the control plane: what an operator wants (services, backends,
// intents), what the world reports (probe results, agents, next hops), and what
// follows from both (effective states). Passive data; no behaviour beyond
// comparison.
//
// Units: durations are absl::Duration, weights are 1..256, ports host order.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/ip_address.h"
#include "base/ip_prefix.h"
#include "base/mono_time.h"
#include "core/check_status.h"
#include "core/row_set.h"

namespace fairlead::core {

using ServiceId = uint16_t;  // 1..; names a service in the maps of this host
using BackendId = uint16_t;  // 1..; names one backend of one service

enum class Policy : uint8_t { kHash, kSource, kLeastConn };
// How packets get to a backend: in UDP, to an agent or a kernel; in IP alone,
// to a kernel; as they came, to the backend's MAC.
enum class Encap : uint8_t { kGue, kIpip, kL2 };
// What a client that finds no room is told: nothing, so that its next SYN may
// find some; or that it is refused.
enum class Shed : uint8_t { kDrop, kReset };
// What keeps an established connection with its backend: this host's flow table
// alone, or the backends' sockets, found by hop lists that agents honour.
enum class Guarantee : uint8_t { kFlowTable, kSockets };

// An operator's intent; nothing else ever changes it.
enum class Admin : uint8_t { kReady, kDrain, kMaint };

enum class CheckKind : uint8_t { kNone, kTcp, kHttp, kHttps, kWs, kWss };

inline bool IsHttp(CheckKind kind) {
  return kind == CheckKind::kHttp || kind == CheckKind::kHttps;
}
inline bool IsWebSocket(CheckKind kind) {
  return kind == CheckKind::kWs || kind == CheckKind::kWss;
}
inline bool IsTls(CheckKind kind) {
  return kind == CheckKind::kHttps || kind == CheckKind::kWss;
}

// What a check connects to: the VIP, by the road of clients' packets to that
// backend; or the backend's own address.
enum class CheckVia : uint8_t { kVip, kDirect };

struct CheckConfig {
  CheckKind kind = CheckKind::kTcp;
  CheckVia via = CheckVia::kDirect;
  uint16_t port = 0;  // 0: the service's port; with kVip no other
  std::string path = "/";
  std::string host;  // of the Host header; empty: the backend's address
  absl::btree_map<std::string, std::string> headers;  // lower-case names
  // Of http and https.
  std::string method = "GET";
  StatusMap status;
  std::string body;  // must be in the answer's; empty: whatever it says
  // Of ws and wss.
  std::string subprotocol;  // asked for, and to be agreed to; empty: none
  // Of https and wss.
  bool verify = true;       // the certificate
  std::string server_name;  // that it is for; empty: `host`, or the address
  std::string ca_file;      // who may have signed it; empty: the system's
  absl::Duration interval = absl::Seconds(2);
  absl::Duration timeout = absl::Seconds(1);
  int rise = 2;
  int fall = 3;

  friend bool operator==(const CheckConfig&, const CheckConfig&) = default;
};

// Every service has a check of this name; of kind kNone it checks nothing.
inline constexpr char kMainCheck[] = "main";

// Set while admin is not ready; survives restarts.
struct DrainRecord {
  absl::Time since;
  uint64_t connections_at_start = 0;

  friend bool operator==(const DrainRecord&, const DrainRecord&) = default;
};

struct Backend {
  BackendId id = 0;
  std::string name;
  base::IpAddress address;
  int weight = 100;
  uint32_t max_conn = 0;  // connections, of all LB hosts; 0: any number
  // New ones a second, likewise.
  uint32_t accept_rate = 0;
  Admin admin = Admin::kReady;
  std::optional<DrainRecord> drain;
  // Deleted, but not before its last connection has ended: no candidate any
  // more, an owner still. Then `admin` is kDrain.
  bool leaving = false;

  friend bool operator==(const Backend&, const Backend&) = default;
};

// New flows that a service may record. Nothing: by the flow table's size; 0:
// any number.
struct SynBudget {
  std::optional<uint32_t> per_second;

  friend bool operator==(const SynBudget&, const SynBudget&) = default;
};
// Who may open connections to a service: the longest prefix that matches
// decides; who is in none may, unless some are allowed.
enum class SourceRule : uint8_t { kAllow, kDeny };
using SourceList = absl::btree_map<base::IpPrefix, SourceRule>;

// How many connections each source may open in a second, and have. A source is
// a prefix.
struct SourceRate {
  uint32_t rate = 0;   // 0: any number
  uint32_t burst = 0;  // at once; 0: as `rate`
  uint32_t most = 0;   // that it has; 0: any number
  int length4 = 32;
  int length6 = 64;

  friend bool operator==(const SourceRate&, const SourceRate&) = default;
};

struct Service {
  ServiceId id = 0;
  std::string name;
  base::Endpoint vip;
  Policy policy = Policy::kHash;
  int choices = 1;  // candidates that a new flow chooses from
  Encap encap = Encap::kGue;
  Shed shed = Shed::kDrop;
  int need = 1;  // backends below which the service raises an alarm
  SynBudget syn_budget;
  uint32_t rows = 0;
  uint32_t rows_base = 0;
  uint16_t agent_port = 0;  // where agents report; 0: no agents are asked
  Guarantee guarantee = Guarantee::kFlowTable;
  CheckConfig check;  // the one named kMainCheck
  absl::btree_map<std::string, CheckConfig> more_checks;  // by name
  SourceList sources;
  SourceRate source_rate;
  // From a backend's first new connection to its whole share; 0: at once.
  absl::Duration slow_start;
  // Below so many percent of its backends, those that fail are used too; 0:
  // only where a row has no other.
  int panic_percent = 0;
  bool assume_up = false;    // what is added takes flows before its first check
  bool flap_damping = true;  // see core/flap.h
  absl::btree_map<std::string, Backend> backends;  // by name

  friend bool operator==(const Service&, const Service&) = default;
};

// A deleted service's VIP: dropped and counted until cleared.
struct Tombstone {
  ServiceId id = 0;  // keeps the counters of what it drops
  std::string name;
  absl::Time since;

  friend bool operator==(const Tombstone&, const Tombstone&) = default;
};

// What the daemon owns, makes durable and applies. `generation` grows by one
// with every change.
struct DesiredState {
  uint64_t generation = 0;
  absl::btree_map<std::string, Service> services;  // by name
  absl::btree_map<base::Endpoint, Tombstone> tombstones;
  // Ids of deleted backends; not reused before a full scan of the flow table
  // found no slot and no row with them.
  absl::btree_map<BackendId, absl::Time> quarantine;

  friend bool operator==(const DesiredState&, const DesiredState&) = default;
};

// But for what is in quarantine.
inline bool SameIntent(const DesiredState& a, const DesiredState& b) {
  return a.generation == b.generation && a.services == b.services &&
         a.tombstones == b.tombstones;
}

// Sizes of the tables of this host, from the node config.
struct TableSizes {
  uint32_t services = 512;
  uint32_t backends = 4096;
  uint32_t rows = 1u << 20;
  uint32_t flow_buckets = 1u << 18;
  uint32_t prefixes = 4096;
  uint32_t rate_sets = 1u << 14;  // of sources whose rate is known
  // Of sources whose connections are counted; 1: none are.
  uint32_t conn_sets = 1;

  friend bool operator==(const TableSizes&, const TableSizes&) = default;
};

// --- reports from the world ---

// A probe that the controller wants to be made.
struct ProbeRequest {
  uint64_t number = 0;  // no other probe of this controller has it
  std::string service;
  std::string backend;
  base::IpAddress address;
  uint16_t port = 0;
  std::string check_name;
  CheckConfig check;
  base::MonoTime due = {};  // when it should begin
  // Of a check by way of the VIP.
  struct ByVip {
    base::Endpoint vip;
    BackendId id = 0;
    // Nothing is known of it, and its agent may not have been told the service
    // yet.
    bool too_early = false;
  };
  std::optional<ByVip> by_vip;
};

enum class ProbeOutcome : uint8_t {
  kSuccess,
  kRefused,         // check.tcp-refused
  kTimeout,         // check.timeout
  kUnreachable,     // check.unreachable
  kVipRefused,      // check.vip-refused: not so at the backend's own address
  kVipTimeout,      // check.vip-timeout: likewise
  kStatusMismatch,  // check.status-mismatch(500)
  kDrainStatus,     // signal.http-503
  kHoldStatus,      // signal.http-429
  kProtocol,        // check.protocol
  kClosed,          // check.closed(tls): by the backend, in that step
  kBodyMismatch,    // check.body-mismatch
  kTls,             // check.tls(not-tls)
  kCertificate,     // check.certificate(expired)
  kWsHandshake,     // check.ws-handshake(503)
  kWsAccept,        // check.ws-accept
  kWsPong,          // check.ws-pong
  kLate,            // started or finished late by our own fault: no result
};

// What a probe does, in this order; which of it depends on the kind.
enum class ProbeStep : uint8_t {
  kConnect,
  kTls,
  kResponse,  // request sent, answer received
  kUpgrade,   // the same of a WebSocket's handshake
  kPong,      // ping sent, pong received
  kClose,
};

// What is wrong with TLS or a certificate.
enum class ProbeCause : uint8_t {
  kNone,
  // Of kTls.
  kNotTls,
  kAlert,  // the backend refuses
  kHandshake,
  // Of kCertificate.
  kExpired,
  kNotYetValid,
  kSelfSigned,
  kUntrusted,
  kWrongName,
  kInvalid,
  kCaFile,  // of this host: cannot be read
};

struct ProbeStepTime {
  ProbeStep step = ProbeStep::kConnect;
  absl::Duration duration;
};

struct ProbeResult {
  ProbeOutcome outcome = ProbeOutcome::kSuccess;
  ProbeCause cause = ProbeCause::kNone;
  ProbeStep step = ProbeStep::kConnect;  // the last one that was begun
  int http_status = 0;
  absl::Duration duration;
  std::string detail;  // for people
  std::vector<ProbeStepTime> steps;
  std::optional<int> certificate_days;  // until it expires
  CheckVia via = CheckVia::kDirect;
  // Why, if the check was to go by way of the VIP and did not; for people.
  std::string why_direct = {};
};

// What an agent said about one service on its host.
struct AgentReport {
  enum class Presence : uint8_t {
    kUnknown,  // not asked yet
    kAbsent,   // nobody answers
    kPresent,  // answers, and holds this host's current peer map
    kStale,    // answers, but its peer map is not ours yet
    kLost,     // answered once, is silent now; its XDP program goes on
  };
  Presence presence = Presence::kUnknown;
  uint64_t live_sockets = 0;
  // Of them, those whose client has not answered the SYN+ACK: a SYN from
  // anybody makes one.
  uint64_t handshakes = 0;
  // Flows of the backend that this host had recorded when it asked.
  uint64_t recorded = 0;
  uint64_t scan = 0;  // number of the scan that counted them
  std::string boot_id;
  base::MonoTime begun;  // a time before the scan began, on this host's clock
  // Rows with a socket in this scan or the one before. Nothing: the agent has
  // not counted by the rows of this host yet.
  std::optional<RowSet> owned;
  // A time before the older of the two began; nothing: there is one scan only.
  std::optional<base::MonoTime> owned_begun;
  // When the host last answered a SYN with a cookie; nothing: not lately.
  std::optional<base::MonoTime> last_syn_cookie;
  bool draining = false;  // somebody there wants no new connections
  bool hot = false;       // a listener's queue overflowed just now
};

struct Vlan {
  uint16_t id = 0;
  std::string on;  // the interface that frames with its tag leave by

  friend bool operator==(const Vlan&, const Vlan&) = default;
};

struct NextHop {
  uint32_t interface = 0;      // that packets leave by
  std::string interface_name;  // the route's, which may be a VLAN's
  std::optional<Vlan> vlan;
  uint8_t destination_mac[6] = {};
  uint8_t source_mac[6] = {};
  uint16_t path_mtu = 0;
  // Whose MAC it is, if not the backend's.
  std::optional<base::IpAddress> gateway;

  friend bool operator==(const NextHop&, const NextHop&) = default;
};

// What was said last of how an address is reached; nothing of both if nothing
// was yet.
struct ToldNextHop {
  std::optional<NextHop> next_hop;
  std::string reason;  // why there is none, for people
};

// What the packet path counted for one backend.
struct LoadReport {
  uint64_t live = 0;
  uint64_t pending = 0;
  // What the agent counted more than was recorded here, at its last report.
  int64_t elsewhere = 0;
  // Flows of all time whose client sent a segment after its SYN, and with how
  // many of them the backend is full.
  uint64_t begun = 0;
  uint64_t bound = 0;
  // Until when what it was given takes up its accept-rate.
  base::MonoTime accept_due;

  uint64_t recorded() const { return live + pending; }
  // Of the packet path's choice.
  uint64_t sum() const {
    const int64_t sum = static_cast<int64_t>(recorded()) + elsewhere;
    return sum > 0 ? static_cast<uint64_t>(sum) : 0;
  }
};

// What a walk over the flow table found of one backend: flows that their client
// has not ended.
struct FlowCounts {
  uint64_t begun = 0;        // LoadReport::begun when the walk began
  uint64_t confirmed = 0;    // with segments of the client more than 10 s apart
  uint64_t fresh = 0;        // too young for that
  uint64_t unconfirmed = 0;  // not too young
  uint64_t settled = 0;      // of all these, those a few seconds old
};

// --- what follows ---

enum class Health : uint8_t { kInit, kUp, kRising, kFalling, kDown };
// What the backend says of itself: no new flows; or no more than it has.
enum class Signal : uint8_t { kNone, kHold, kDrain };

enum class EffectiveState : uint8_t {
  kInit,  // takes no new flows before its first successful check
  kUp,
  kDraining,  // no new flows; old ones live
  kDrained,   // no new flows; no old ones either
  kDown,
  kMaint,
};

absl::string_view ToString(Policy value);
absl::string_view ToString(Encap value);
absl::string_view ToString(Shed value);
absl::string_view ToString(Guarantee value);
absl::string_view ToString(Admin value);
absl::string_view ToString(CheckKind value);
absl::string_view ToString(CheckVia value);
absl::string_view ToString(Health value);
absl::string_view ToString(Signal value);
absl::string_view ToString(EffectiveState value);
absl::string_view ToString(ProbeOutcome value);
absl::string_view ToString(ProbeStep value);
absl::string_view ToString(ProbeCause value);
absl::string_view ToString(AgentReport::Presence value);

std::optional<Policy> ParsePolicy(absl::string_view text);
std::optional<Encap> ParseEncap(absl::string_view text);
std::optional<Shed> ParseShed(absl::string_view text);
std::optional<Guarantee> ParseGuarantee(absl::string_view text);
std::optional<CheckKind> ParseCheckKind(absl::string_view text);
std::optional<CheckVia> ParseCheckVia(absl::string_view text);

}  // namespace fairlead::core
