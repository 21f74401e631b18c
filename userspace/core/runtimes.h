// Runtimes: what is known of the configured backends beyond what an operator
// wants. It runs their checks, listens to their agents, watches their drains
// and keeps the effective state that follows; it writes nothing.
//
// The desired state is the caller's, and passed to each call: the backends in
// it are those of the last Adopt() or TakeOver().
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "base/mono_time.h"
#include "core/agent_view.h"
#include "core/check_list.h"
#include "core/check_set.h"
#include "core/commands.h"
#include "core/drain.h"
#include "core/effective.h"
#include "core/fail_open.h"
#include "core/flap.h"
#include "core/model.h"
#include "core/probe_groups.h"
#include "core/slow_start.h"

namespace fairlead::core {

struct BackendRuntime {
  BackendId id = 0;
  std::string service;
  std::string backend;
  CheckSet check;
  AgentView agent;
  DrainWatch drain;
  SlowStart slow_start;
  FlapDamping flap;
  Effective effective;
  // Since when its state is what it is; nullopt: since before this process.
  std::optional<base::MonoTime> state_since;
  // Where it stands in the indices of deadlines and of steps.
  std::optional<base::MonoTime> deadline;
  std::optional<base::MonoTime> step;
};

// What a check of the service asks of the backend; without a number.
ProbeRequest MakeProbe(const Service& service, const Backend& backend,
                       const CheckRef& check);

class Runtimes {
 public:
  // `random` answers in [0, 1).
  explicit Runtimes(absl::AnyInvocable<double()> random)
      : random_(std::move(random)) {}
  Runtimes(const Runtimes&) = delete;
  Runtimes& operator=(const Runtimes&) = delete;

  // `table_state` answers a line's FL_BACKEND_* bits as they were left: what
  // was eligible is taken for up until results say otherwise.
  void Adopt(const DesiredState& desired,
             absl::FunctionRef<uint64_t(BackendId)> table_state,
             base::MonoTime now);
  void TakeOver(const DesiredState& before, const DesiredState& after,
                base::MonoTime now);

  std::vector<ProbeRequest> DueProbes(const DesiredState& desired,
                                      base::MonoTime now);
  // Those that may take more now, as they start slowly, and those that are
  // taken out as no more backends of their service need to fail open.
  std::vector<const BackendRuntime*> DueSteps(const DesiredState& desired,
                                              base::MonoTime now);
  // Of probes and steps.
  std::optional<base::MonoTime> NextDeadline() const;

  // The backend that it was about; nullptr if it is not waited for.
  const BackendRuntime* OnProbeResult(const DesiredState& desired,
                                      const ProbeRequest& probe,
                                      const ProbeResult& result,
                                      base::MonoTime now);
  const BackendRuntime* OnAgentReport(const DesiredState& desired,
                                      const std::string& service,
                                      const std::string& backend,
                                      const AgentReport& report,
                                      base::MonoTime now);

  // Others whose bits have changed with those of the last backend answered,
  // since the last call.
  std::vector<BackendId> TakeReopened() { return std::exchange(reopened_, {}); }

  // nullptr: not configured.
  const BackendRuntime* Find(BackendId id) const;
  // Requires: configured.
  const BackendRuntime& At(BackendId id) const;
  // Changes of effective states since the last call, in order.
  std::vector<Event> TakeEvents() { return std::exchange(events_, {}); }

 private:
  struct Named {
    const Service* service;
    const Backend* backend;
    BackendRuntime* runtime;
  };
  std::optional<Named> FindNamed(const DesiredState& desired,
                                 const std::string& service,
                                 const std::string& backend);

  BackendRuntime Make(const Service& service, const Backend& backend,
                      base::MonoTime now) const;
  BackendRuntime MakeAdopted(const Service& service, const Backend& backend,
                             uint64_t table_state, base::MonoTime now);
  void ForgetDeleted(const DesiredState& after);
  void Reconfigure(const Service& before, const Service& after,
                   base::MonoTime now);
  // Derives the effective state anew.
  void Derive(const Service& service, const Backend& backend,
              BackendRuntime& runtime, base::MonoTime now);
  // RefreshOne(), and of all others of the service if they are to fail open
  // now, or no longer.
  void Refresh(const Service& service, const Backend& backend,
               BackendRuntime& runtime, base::MonoTime now);
  // Derive(), with an event if the state changes, and the index of deadlines.
  void RefreshOne(const Service& service, const Backend& backend,
                  BackendRuntime& runtime, base::MonoTime now);
  // An event if it is held down for flapping, or no longer.
  void TellFlap(BackendRuntime& runtime, base::MonoTime now);
  // Those that are held down for flapping are let go as far as the service
  // needs them.
  void PardonNeeded(const Service& service, base::MonoTime now);
  // An event if it has come to its whole share.
  void TellSlowStart(const Service& service, BackendRuntime& runtime,
                     base::MonoTime now);
  // Whether the service is to fail open, and what follows.
  void Recount(const Service& service, base::MonoTime now);
  void RecountAll(const DesiredState& desired, base::MonoTime now);
  bool IsFailOpen(const Service& service) const;
  FailOpen::Count CountOf(const Service& service) const;
  void DeriveShare(const Service& service, BackendRuntime& runtime,
                   bool took_flows, base::MonoTime now);
  void Reschedule(const Service& service, BackendRuntime& runtime,
                  base::MonoTime now);
  // Those of its checks that are due.
  void StartProbes(const Service& service, BackendRuntime& runtime,
                   base::MonoTime now, std::vector<ProbeRequest>& probes);
  // Has those take part in the probe whose own would be the same.
  void Share(const ProbeRequest& probe, BackendId id, base::MonoTime now);
  // Tells those others.
  void TellOthers(const DesiredState& desired, uint64_t number,
                  const ProbeResult& result, base::MonoTime now, double random);

  using Index = absl::btree_set<std::pair<base::MonoTime, BackendId>>;
  static void Move(Index& index, BackendId id,
                   std::optional<base::MonoTime>& from,
                   std::optional<base::MonoTime> to);

  absl::AnyInvocable<double()> random_;
  absl::btree_map<BackendId, BackendRuntime> runtimes_;
  Index deadlines_;  // of checks
  Index steps_;      // of slow starts
  uint64_t probes_ = 0;
  ProbeGroups groups_;
  // By the number of a probe that is under way: who takes part in it besides
  // the one that it was started for. What is never answered goes in time.
  struct Shared {
    base::MonoTime until;
    std::vector<ProbeGroups::Member> members;
  };
  absl::btree_map<uint64_t, Shared> shared_;
  absl::btree_map<std::string, FailOpen> fail_open_;  // by service, with panic
  std::vector<BackendId> reopened_;
  size_t damped_ = 0;  // backends that are held down for flapping
  std::vector<Event> events_;
};

}  // namespace fairlead::core
