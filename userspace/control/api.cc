#include "control/api.h"

#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "control/codec.h"

namespace fairlead::control {
namespace {

// Records of one write to a follower of the events.
constexpr size_t kFollowBatch = 1000;

struct ErrorCode {
  int http_status;
  absl::string_view name;
};

ErrorCode CodeOf(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
      return {400, "invalid_argument"};
    case absl::StatusCode::kPermissionDenied:
      return {403, "permission_denied"};
    case absl::StatusCode::kNotFound:
      return {404, "not_found"};
    case absl::StatusCode::kAlreadyExists:
      return {409, "already_exists"};
    case absl::StatusCode::kFailedPrecondition:
      return {412, "precondition"};
    case absl::StatusCode::kResourceExhausted:
      return {507, "resource_exhausted"};
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kCancelled:
      return {503, "unavailable"};
    default:
      return {500, "internal"};
  }
}

http::Response MakeError(ErrorCode code, absl::string_view message) {
  Json json;
  json["error"]["code"] = std::string(code.name);
  json["error"]["message"] = std::string(message);
  http::Response response;
  response.status = code.http_status;
  response.body = DumpJson(json);
  return response;
}

http::Response MethodNotAllowed(const http::Request& request,
                                const std::vector<std::string>& allowed) {
  const std::string methods = absl::StrJoin(allowed, ", ");
  http::Response response =
      MakeError({405, "invalid_argument"},
                absl::StrCat("method ", request.method, " is not allowed for ",
                             request.path, " (allowed: ", methods, ")"));
  response.headers["allow"] = methods;
  return response;
}

http::Response ToResponse(const absl::StatusOr<Json>& answer) {
  if (!answer.ok()) return ErrorAnswer(answer.status());
  http::Response response;
  response.body = DumpJson(*answer);
  return response;
}

std::string Lines(const std::vector<EventRecord>& records) {
  std::string lines;
  for (const EventRecord& record : records) lines += EncodeEventLine(record);
  return lines;
}

// Writes `records`, and then whatever is newer, until the client is gone.
event::Task<absl::Status> Follow(const EventLog& log,
                                 std::vector<EventRecord> records, uint64_t seq,
                                 http::BodyWriter& writer) {
  while (true) {
    if (!records.empty()) {
      seq = records.back().seq;
      const std::string lines = Lines(records);
      FL_CO_RETURN_IF_ERROR(co_await writer.Write(lines));
    }
    FL_CO_RETURN_IF_ERROR(co_await log.WaitForNewer(seq));
    records = log.After(seq, kFollowBatch);
  }
}

// Writes what is traced until it is `count` packets or the client is gone; at
// once, so that the client knows that it has begun, that nothing was missed.
event::Task<absl::Status> FollowTrace(const core::Controller& controller,
                                      std::unique_ptr<control::Trace> trace,
                                      uint64_t count,
                                      http::BodyWriter& writer) {
  uint64_t missed = 0;
  FL_CO_RETURN_IF_ERROR(co_await writer.Write(EncodeMissed(missed)));
  while (count > 0) {
    FL_CO_ASSIGN_OR_RETURN(const TraceBatch batch, co_await trace->Next());
    const std::string lines =
        EncodeTraceLines(controller.desired(), batch, missed);
    count -= batch.packets.size();
    missed = batch.missed;
    FL_CO_RETURN_IF_ERROR(co_await writer.Write(lines));
  }
  co_return absl::OkStatus();
}

}  // namespace

http::Response ErrorAnswer(const absl::Status& error) {
  return MakeError(CodeOf(error.code()), error.message());
}

event::Task<http::Response> Api::Handle(http::Request request) {
  Match match = FindRoute(request.method, request.path);
  if (match.route == nullptr) {
    co_return match.allowed.empty() ? ErrorAnswer(UnknownPath(request.path))
                                    : MethodNotAllowed(request, match.allowed);
  }
  const Route& route = *match.route;
  const Call call = {.request = request, .args = std::move(match.args)};
  const absl::Status allowed =
      parts_.access.Check(request.peer_credentials, route.role);
  if (!allowed.ok()) co_return ErrorAnswer(allowed);
  if (const auto* read = std::get_if<ReadHandler>(&route.handler)) {
    co_return ToResponse((*read)(Context(), call));
  }
  const auto* own = std::get_if<OwnHandler>(&route.handler);
  if (own != nullptr &&
      (*own == OwnHandler::kEvents || *own == OwnHandler::kTrace)) {
    absl::StatusOr<http::Response> response =
        *own == OwnHandler::kEvents ? Events(call) : Trace(call);
    if (!response.ok()) co_return ErrorAnswer(response.status());
    co_return *std::move(response);
  }
  if (own != nullptr && *own == OwnHandler::kExplain) {
    const absl::StatusOr<Json> answer = co_await Explain(call);
    co_return ToResponse(answer);
  }
  if (own != nullptr && *own == OwnHandler::kCheck) {
    const absl::StatusOr<Json> answer = co_await RunCheck(call);
    co_return ToResponse(answer);
  }
  const absl::StatusOr<Json> answer = co_await RunAlone(route, call);
  co_return ToResponse(answer);
}

ReadContext Api::Context() const {
  return {.controller = parts_.controller,
          .host = parts_.host,
          .events = parts_.events,
          .now = {.mono = parts_.loop.Now(), .wall = parts_.loop.WallNow()}};
}

// The tables are read anew when the agents have answered.
event::Task<absl::StatusOr<Json>> Api::Explain(const Call& call) {
  FL_CO_ASSIGN_OR_RETURN(SocketQuestion question,
                         AskAboutFlow(Context(), call));
  const SocketAnswers sockets =
      co_await parts_.host.AskSockets(std::move(question));
  co_return ExplainFlow(Context(), call, sockets);
}

event::Task<absl::StatusOr<Json>> Api::RunCheck(const Call& call) {
  FL_CO_ASSIGN_OR_RETURN(std::vector<core::ProbeRequest> probes,
                         ReadCheckRun(Context(), call));
  Json answer = AnswerOf(parts_.controller);
  answer["service"] = probes[0].service;
  answer["backend"] = probes[0].backend;
  Json results = Json::array();
  // One after the other: they are to be told apart by who looks on.
  for (core::ProbeRequest& probe : probes) {
    const std::string name = probe.check_name;
    const core::ProbeResult result =
        co_await parts_.host.RunCheck(std::move(probe));
    Json json = EncodeProbeResult(result);
    json["check"] = name;
    // The first that fails stands for all.
    if (!answer.contains("result") || answer["result"]["reason"] == "-")
      answer["result"] = json;
    results.push_back(std::move(json));
  }
  answer["results"] = std::move(results);
  co_return answer;
}

event::Task<absl::StatusOr<Json>> Api::RunAlone(const Route& route,
                                                const Call& call) {
  if (parts_.changes.cancelled())
    co_return absl::UnavailableError("the daemon is stopping");
  absl::StatusOr<Json> answer = absl::InternalError("no answer: a defect");
  event::Scope scope(parts_.changes);
  scope.Spawn(Run(route, call, answer));
  // Cannot be cancelled, so that the frame that the change works in stays.
  co_await scope.Join();
  co_return answer;
}

event::Task<void> Api::Run(const Route& route, const Call& call,
                           absl::StatusOr<Json>& answer) {
  const event::MutexLock lock = co_await one_.Lock();
  if (const auto* handler = std::get_if<ChangeHandler>(&route.handler)) {
    answer = co_await Change(*handler, call);
  } else {
    answer = co_await Detach(call);
  }
}

absl::Status Api::CheckOptions(const ChangeOptions& options) const {
  const uint64_t generation = parts_.controller.desired().generation;
  if (options.if_generation.value_or(generation) == generation)
    return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("if_generation ", *options.if_generation,
                   ": the state has moved on to generation ", generation,
                   "; read it again"));
}

event::Task<absl::StatusOr<Json>> Api::Change(ChangeHandler handler,
                                              const Call& call) {
  FL_CO_RETURN_IF_ERROR(CheckQuery(call.request, {}));
  FL_CO_ASSIGN_OR_RETURN(const ChangeRequest request, handler(call));
  FL_CO_RETURN_IF_ERROR(CheckOptions(request.options));
  FL_CO_ASSIGN_OR_RETURN(
      core::Change change,
      parts_.controller.Prepare(request.command, parts_.loop.WallNow()));
  Json answer = AnswerOf(parts_.controller);
  if (request.options.dry_run) {
    answer["plan"] = change.plan;
    co_return answer;
  }
  // It is so already.
  if (change.next.generation == answer["generation"]) co_return answer;

  FL_CO_RETURN_IF_ERROR(co_await Apply(change));
  if (parts_.on_changed) parts_.on_changed();
  FL_CO_RETURN_IF_ERROR(co_await Log(std::move(change.events), call));
  co_return AnswerOf(parts_.controller);
}

event::Task<absl::Status> Api::Apply(const core::Change& change) {
  core::DesiredState before = parts_.controller.desired();
  FL_CO_RETURN_IF_ERROR(co_await parts_.store.Save(change.next));
  const absl::Status committed =
      parts_.controller.Commit(change, parts_.loop.Now());
  if (committed.ok()) co_return absl::OkStatus();
  co_return co_await TakeBack(std::move(before), committed);
}

// The controller goes on to try what a table has refused; an operator who was
// told "no" would be surprised by a late yes. So the state before becomes the
// next one, under a generation of its own.
event::Task<absl::Status> Api::TakeBack(core::DesiredState before,
                                        absl::Status refused) {
  core::Change undo = {.next = std::move(before)};
  undo.next.generation = parts_.controller.desired().generation;
  if (!absl::IsAborted(refused)) ++undo.next.generation;
  const absl::Status saved = co_await parts_.store.Save(undo.next);
  if (!saved.ok()) {
    co_return base::Annotate(
        saved, "the change was refused (", refused.message(),
        ") and could not be taken back, so it stays and is tried again");
  }
  // It removes what was not there before, which no table refuses; if one does,
  // the controller keeps trying and raises an alarm.
  const absl::Status undone = parts_.controller.Commit(undo, parts_.loop.Now());
  if (parts_.on_changed) parts_.on_changed();
  if (undone.ok()) co_return refused;
  co_return base::Annotate(refused, "half done, undone when the tables allow");
}

event::Task<absl::Status> Api::Log(std::vector<core::Event> events,
                                   const Call& call) {
  std::optional<uid_t> uid;
  if (call.request.peer_credentials.has_value())
    uid = call.request.peer_credentials->uid;
  const absl::Status logged = co_await parts_.events.Append(
      std::move(events), uid, parts_.loop.WallNow());
  if (logged.ok()) co_return absl::OkStatus();
  co_return absl::InternalError(absl::StrCat(
      "generation ", parts_.controller.desired().generation,
      " is in effect, but its audit record is not on the disk yet: ",
      logged.message()));
}

event::Task<absl::StatusOr<Json>> Api::Detach(const Call& call) {
  FL_CO_RETURN_IF_ERROR(CheckQuery(call.request, {}));
  FL_CO_ASSIGN_OR_RETURN(const DetachRequest request,
                         ReadDetach(call.request.body));
  FL_CO_RETURN_IF_ERROR(CheckOptions(request.options));
  std::vector<std::string> names;
  for (const InterfaceStatus& interface : parts_.host.Status().interfaces)
    names.push_back(interface.name);
  const std::string interfaces = absl::StrJoin(names, ", ");
  Json answer = AnswerOf(parts_.controller);
  if (request.options.dry_run) {
    answer["plan"].push_back(absl::StrCat("take the program off ", interfaces));
    answer["plan"].push_back(
        "remove the pinned maps: flows are forwarded no longer");
    co_return answer;
  }
  FL_CO_RETURN_IF_ERROR(co_await parts_.host.Detach(request.force));
  std::vector<core::Event> events(1);
  events[0] = {
      .type = "node.detach", .before = interfaces, .after = "detached"};
  FL_CO_RETURN_IF_ERROR(co_await Log(std::move(events), call));
  co_return answer;
}

absl::StatusOr<http::Response> Api::Events(const Call& call) const {
  FL_ASSIGN_OR_RETURN(const EventQuery query, ReadEventQuery(call.request));
  const EventLog& log = parts_.events;
  const uint64_t last = log.last_seq();
  if (query.since.value_or(last) > last) {
    return absl::InvalidArgumentError(
        absl::StrCat("query parameter \"since\": ", *query.since,
                     " is newer than the last event, which is ", last));
  }
  std::vector<EventRecord> records = query.since.has_value()
                                         ? log.After(*query.since, query.limit)
                                         : log.Newest(query.limit);
  http::Response response;
  if (query.follow) {
    response.content_type = "application/x-ndjson";
    const uint64_t seq = query.since.value_or(last);
    response.stream = [&log, seq, records = std::move(records)](
                          http::BodyWriter& writer) mutable {
      return Follow(log, std::move(records), seq, writer);
    };
    return response;
  }
  Json answer = AnswerOf(parts_.controller);
  answer["events"] = Json::array();
  for (const EventRecord& record : records)
    answer["events"].push_back(EncodeEvent(record));
  response.body = DumpJson(answer);
  return response;
}

absl::StatusOr<http::Response> Api::Trace(const Call& call) const {
  FL_ASSIGN_OR_RETURN(const TraceQuery query,
                      ReadTraceQuery(Context(), call.request));
  FL_ASSIGN_OR_RETURN(std::unique_ptr<control::Trace> trace,
                      parts_.host.StartTrace(query));
  http::Response response;
  response.content_type = "application/x-ndjson";
  response.stream = [&controller = parts_.controller, count = query.count,
                     trace =
                         std::move(trace)](http::BodyWriter& writer) mutable {
    return FollowTrace(controller, std::move(trace), count, writer);
  };
  return response;
}

event::Task<absl::Status> Api::Persist() {
  const event::MutexLock lock = co_await one_.Lock();
  const core::DesiredState desired = parts_.controller.desired();
  co_return co_await parts_.store.Save(desired);
}

}  // namespace fairlead::control
