// The routes of the control API, by noun: which method and path, who may, and
// what answers. A read is a function of what is known; a change is read from
// its request and carried out by Api.
#pragma once

#include <initializer_list>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "control/access.h"
#include "control/bodies.h"
#include "control/codec.h"
#include "control/event_log.h"
#include "control/host.h"
#include "control/json.h"
#include "core/controller.h"
#include "http/message.h"

namespace fairlead::control {

// A request, as its route sees it.
struct Call {
  const http::Request& request;
  // What stands in the places of "{}", in their order.
  std::vector<std::string> args;
};

struct ReadContext {
  const core::Controller& controller;
  const ControlHost& host;
  const EventLog& events;
  AnswerTime now;
};

using ReadHandler = absl::StatusOr<Json> (*)(const ReadContext&, const Call&);
using ChangeHandler = absl::StatusOr<ChangeRequest> (*)(const Call&);
// What Api does itself, because it takes time.
enum class OwnHandler { kEvents, kDetach, kExplain, kTrace, kCheck };

struct Route {
  absl::string_view method;
  absl::string_view pattern;
  Role role;
  std::variant<ReadHandler, ChangeHandler, OwnHandler> handler;
};

std::span<const Route> ServiceRoutes();
std::span<const Route> BackendRoutes();
std::span<const Route> CheckRoutes();
std::span<const Route> FlowRoutes();
std::span<const Route> NodeRoutes();

struct Match {
  const Route* route = nullptr;
  std::vector<std::string> args;
  // Valid if there is no route: the methods that this path has, if any.
  std::vector<std::string> allowed;
};
// HEAD is answered as GET is.
Match FindRoute(absl::string_view method, absl::string_view path);
// For a path that has no route: `no path "/v1/service" (did you mean ...)`.
absl::Status UnknownPath(absl::string_view path);

// Starts an answer: every read says which generation it is of.
Json AnswerOf(const core::Controller& controller);

// INVALID_ARGUMENT if there is a query parameter of another name.
absl::Status CheckQuery(const http::Request& request,
                        const std::vector<std::string>& known);

// What is to be asked before ExplainFlow().
absl::StatusOr<SocketQuestion> AskAboutFlow(const ReadContext& context,
                                            const Call& call);
// The checks that a call asks for, one at least; FAILED_PRECONDITION: the
// service has none.
absl::StatusOr<std::vector<core::ProbeRequest>> ReadCheckRun(
    const ReadContext& context, const Call& call);
absl::StatusOr<Json> ExplainFlow(const ReadContext& context, const Call& call,
                                 const SocketAnswers& sockets);

// NOT_FOUND: no such service or verdict.
absl::StatusOr<TraceQuery> ReadTraceQuery(const ReadContext& context,
                                          const http::Request& request);
std::string EncodeMissed(uint64_t missed);
// A line if more were missed than the `missed` that were told of before, and
// one for each packet.
std::string EncodeTraceLines(const core::DesiredState& state,
                             const TraceBatch& batch, uint64_t missed);

// What `events` asks for.
struct EventQuery {
  std::optional<uint64_t> since;
  size_t limit = 0;
  bool follow = false;
};
absl::StatusOr<EventQuery> ReadEventQuery(const http::Request& request);

}  // namespace fairlead::control
