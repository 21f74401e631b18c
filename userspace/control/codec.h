// What the control API answers, as JSON: docs/API.md in code. Views and
// counters go in, a document comes out; fields stand in the order of the
// documentation.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/ip_address.h"
#include "base/mono_time.h"
#include "control/explain.h"
#include "control/host.h"
#include "control/json.h"
#include "core/controller.h"

namespace fairlead::control {

// When an answer is given: ages are counted from it.
struct AnswerTime {
  base::MonoTime mono;
  absl::Time wall;
};

Json EncodeCheckConfig(const core::CheckConfig& check);
// With their names, the main one first.
Json EncodeChecks(const core::Service& service);
// With the steps and their times.
Json EncodeProbeResult(const core::ProbeResult& result);
// The last results of all checks, the newest first.
Json EncodeHistory(const core::BackendView& view, const AnswerTime& now);

Json EncodeBackend(const core::BackendView& counted,
                   const BackendCounters& counters, const AnswerTime& now);

using BackendCountersOf = absl::FunctionRef<BackendCounters(core::BackendId)>;
Json EncodeService(const core::ServiceView& view,
                   const ServiceCounters& counters,
                   BackendCountersOf backend_counters, const AnswerTime& now);
// Who may open connections, and how many SYNs were refused.
Json EncodeSources(const core::SourceList& sources,
                   const ServiceCounters& counters);
// A service as `status` lists it.
Json EncodeServiceSummary(const core::ServiceView& view);

// Why packets of the service do not say SETTLED; null if they do.
Json EncodeUnsettled(const ControlHost& host, const core::Service& service);

Json EncodeTombstone(const base::Endpoint& vip,
                     const core::Tombstone& tombstone,
                     const ServiceCounters& counters);

// "established"; states that the daemon passes through while it expires a slot
// are named by what a hit returns it to.
absl::string_view SlotStateName(unsigned int state);
using BackendNameOf = absl::FunctionRef<std::string(core::BackendId)>;
// The fields of a lookup, without the generation.
void AddFlow(const core::Service& service, const FlowFacts& facts,
             BackendNameOf name_of, Json& answer);
Json EncodeMembers(const RouteFacts& facts, const SocketAnswers& sockets);
Json EncodeRoute(const RouteAnswer& route, BackendNameOf name_of);

Json EncodeNode(const NodeStatus& status);
Json EncodeInterfaces(const NodeStatus& status);
Json EncodeTables(const NodeStatus& status);
Json EncodePeers(const NodeStatus& status);

}  // namespace fairlead::control
