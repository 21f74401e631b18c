// Controller: the decisions of one LB host. Events and `now` go in; writes to
// the Datapath port, events for the audit log and the probes to start come out.
// It knows no clock, does no I/O and can be run for simulated days.
//
// Order of a change: Prepare (refuses or answers a Change, changes nothing) ->
// the caller makes Change::next durable -> Commit (writes the shared tables,
// make-before-break; the next SYN obeys) -> the caller acknowledges. One change
// at a time: a Change is refused by Commit if another was committed since.
//
// After a restart: Adopt() takes the desired state and the tables as they were
// left in pinned maps. A backend that was eligible there stays eligible until
// `fall` checks have failed, so that a restart is not an outage.
//
// A committed change is the truth even if a table refused it: Commit() then
// answers the error, Alarms() tells, and DueProbes() tries again every second.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "core/commands.h"
#include "core/model.h"
#include "core/ports.h"
#include "core/probe_history.h"
#include "core/syn_budget.h"

namespace fairlead::core {

// One check of a backend.
struct CheckView {
  std::string name;
  CheckKind kind = CheckKind::kNone;
  Health health = Health::kInit;
  Signal signal = Signal::kNone;
  std::optional<ProbeResult> last_failure;  // that counted
  std::optional<ProbeResult> last_result;
  std::optional<base::MonoTime> last_result_at;
  std::vector<ProbeRecord> history;  // the newest first
};

// What `backend list` and `show` tell.
struct BackendView {
  Backend backend;
  EffectiveState state = EffectiveState::kInit;
  std::string state_text;    // "draining 37%"
  std::string reason;        // "-" when there is nothing to say
  std::string reason_check;  // that it is of, if there are several
  Health health = Health::kInit;
  Signal signal = Signal::kNone;
  // Of the check that decides.
  std::string last_check;
  std::optional<ProbeResult> last_result;
  std::optional<base::MonoTime> last_result_at;
  // The main one first, then by name; empty if nothing is checked.
  std::vector<CheckView> checks;
  AgentReport agent;
  LoadReport load;
  std::optional<NextHop> next_hop;
  std::string no_next_hop;  // why there is none, if that is known
  bool eligible = false;
  bool full = false;  // it has max-conn connections
  // It takes new connections for want of others, though it is not eligible.
  bool fails_open = false;
  // Of its share of new connections; 100 but while it starts slowly.
  int slow_start_percent = 100;
  // Those confirmed, and what has begun since.
  uint64_t connections = 0;
};

struct ServiceView {
  Service service;
  std::vector<BackendView> backends;  // by name
  int available = 0;                  // backends that may take new flows
  std::string guarantee;              // "sockets (3/3 agents)"
  uint64_t rows_overflowed = 0;
  uint64_t syn_budget_per_second = 0;  // 0: off
  bool above_syn_budget = false;       // within the last second or so
  bool fail_open = false;
};

class Controller {
 public:
  // `random` answers a uniform value in [0, 1); it jitters probes.
  Controller(TableSizes sizes, Datapath& datapath,
             absl::AnyInvocable<double()> random);
  ~Controller();
  Controller(const Controller&) = delete;
  Controller& operator=(const Controller&) = delete;

  // Takes over `desired` and brings the tables to it. FAILED_PRECONDITION or
  // INVALID_ARGUMENT: `desired` is not valid or does not fit the tables, and
  // nothing was taken over. Another error: as for Commit().
  // Requires: first call.
  absl::Status Adopt(DesiredState desired, base::MonoTime now);

  // `wall` is stamped into what becomes durable.
  absl::StatusOr<Change> Prepare(const Command& command, absl::Time wall) const;
  // `change` may also be one of the caller's own making: an earlier desired
  // state under the next generation takes a refused change back.
  // ABORTED: another change was committed since Prepare(); nothing was done.
  // Another error: committed, but a table refused a write; tried again later.
  absl::Status Commit(const Change& change, base::MonoTime now);
  // True if the desired state has changed since the last call other than by
  // Commit(), and is to be made durable when there is time.
  bool TakeDirty();

  // To be called when NextDeadline() has come: gives backends that start slowly
  // more, and answers the probes to start now, each to be answered by
  // OnProbeResult().
  std::vector<ProbeRequest> DueProbes(base::MonoTime now);
  std::optional<base::MonoTime> NextDeadline() const;

  // An answer that is not waited for any more is ignored.
  void OnProbeResult(const ProbeRequest& probe, const ProbeResult& result,
                     base::MonoTime now);
  // Presence kUnknown says nothing and is ignored. kAbsent from an agent that
  // was there means kLost. Ignored if the backend is not there any more or its
  // service asks no agents.
  void OnAgentReport(const std::string& service, const std::string& backend,
                     const AgentReport& report, base::MonoTime now);
  // Flows of the backend that this host has recorded now: for the report of an
  // agent that is about to be asked. 0 if there is no such backend.
  uint64_t Recorded(const std::string& service,
                    const std::string& backend) const;
  // What the packet path has counted of the service, once a second or so: tells
  // by an event and an alarm whether it is above its SYN budget.
  void OnNewFlows(const std::string& service, const NewFlows& counted,
                  base::MonoTime now);
  // nullopt: the address has no next hop now; `reason` says why, for people.
  void OnNextHop(const base::IpAddress& address,
                 const std::optional<NextHop>& next_hop,
                 absl::string_view reason = {});
  // What a scan of the flow table counted, by backend id; before OnFlowScan().
  void OnFlowCounts(std::span<const FlowCounts> counts, base::MonoTime now);
  // A scan of the flow table that began at `begun`, after the call before, is
  // over: contracts rows, frees the id of a deleted backend if it is the second
  // scan or a later one since and found no flow of it, and lets those go that
  // are leaving and drained.
  void OnFlowScan(const std::vector<BackendId>& seen, absl::Time begun,
                  base::MonoTime now);

  // So many LB hosts of the tier are alive, this one among them: what operators
  // say for the tier is divided among them.
  void OnTier(size_t lb_hosts, base::MonoTime now);
  size_t lb_hosts() const;
  // Until now, another LB host may have offered flows of the service by another
  // table: only younger scans prove that a backend has none.
  void OnOtherTable(const Service& service, base::MonoTime now);
  // Until now, another LB host may have offered these backends flows that the
  // table does not say: it had no other place for them.
  void OnStuckElsewhere(const Service& service,
                        const absl::btree_set<base::IpAddress>& addresses,
                        base::MonoTime now);

  // Deleted backends that are known to have no connection: what the flow table
  // has of them is over.
  const absl::btree_set<BackendId>& Empty() const;

  // Changes of effective states since the last call, in order. The events of
  // commands are in their Change.
  std::vector<Event> TakeEvents();

  // What an operator should look at, a line each, in a fixed order.
  std::vector<std::string> Alarms() const;

  // Those whom rows of this host list so.
  absl::btree_set<base::IpAddress> Stuck(const Service& service) const;

  // Why this host is not sure to list every owner of the service's flows; empty
  // when it is, as far as it can know alone.
  std::string WhyUnsettled(const Service& service) const;

  const DesiredState& desired() const;
  // Every backend that a packet may be sent to, deleted ones too while rows or
  // flows may name them.
  absl::btree_map<BackendId, base::IpAddress> Peers() const;
  absl::StatusOr<ServiceView> View(const std::string& service) const;
  std::vector<ServiceView> ViewAll() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fairlead::core
