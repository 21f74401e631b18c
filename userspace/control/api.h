// Api: the control API of docs/API.md. It finds the route of a request, asks
// whether the caller may, answers reads from what is known, and carries out
// changes.
//
// One change at a time: prepare, make it durable, commit it to the packet path,
// log it, answer. A change runs in a scope of its own, so that a client that
// goes away does not leave it half-way; whoever awaits Handle() waits for its
// end. Where the packet path refuses a change, it is taken back.
//
// No time limits and no connections: those are the server's.
#pragma once

#include <optional>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "control/access.h"
#include "control/bodies.h"
#include "control/event_log.h"
#include "control/host.h"
#include "control/json.h"
#include "control/routes.h"
#include "control/store.h"
#include "core/controller.h"
#include "event/loop.h"
#include "event/scope.h"
#include "event/sync.h"
#include "event/task.h"
#include "http/message.h"

namespace fairlead::control {

// What the API works on. All of it outlives the Api.
struct ApiParts {
  event::Loop& loop;
  // Where changes run. Cancel it only after the servers that call Handle()
  // have ended; then no change is under way.
  event::Scope& changes;
  core::Controller& controller;
  ControlHost& host;
  Store& store;
  EventLog& events;
  const Access& access;
  // Called after a change is in the packet path: events and deadlines of the
  // controller may be new.
  absl::AnyInvocable<void()> on_changed = nullptr;
};

class Api {
 public:
  explicit Api(ApiParts parts) : parts_(std::move(parts)), one_(parts_.loop) {}
  Api(const Api&) = delete;
  Api& operator=(const Api&) = delete;

  event::Task<http::Response> Handle(http::Request request);

  // Makes durable what the controller has changed by itself, in its turn
  // between the changes.
  event::Task<absl::Status> Persist();

 private:
  event::Task<absl::StatusOr<Json>> RunAlone(const Route& route,
                                             const Call& call);
  event::Task<void> Run(const Route& route, const Call& call,
                        absl::StatusOr<Json>& answer);
  event::Task<absl::StatusOr<Json>> Change(ChangeHandler handler,
                                           const Call& call);
  event::Task<absl::StatusOr<Json>> Detach(const Call& call);
  event::Task<absl::Status> Apply(const core::Change& change);
  event::Task<absl::Status> TakeBack(core::DesiredState before,
                                     absl::Status refused);
  event::Task<absl::Status> Log(std::vector<core::Event> events,
                                const Call& call);
  absl::Status CheckOptions(const ChangeOptions& options) const;
  absl::StatusOr<http::Response> Events(const Call& call) const;
  absl::StatusOr<http::Response> Trace(const Call& call) const;
  event::Task<absl::StatusOr<Json>> Explain(const Call& call);
  event::Task<absl::StatusOr<Json>> RunCheck(const Call& call);
  ReadContext Context() const;

  ApiParts parts_;
  event::Mutex one_;
};

// The answer for an error, by the table of docs/API.md.
http::Response ErrorAnswer(const absl::Status& error);

}  // namespace fairlead::control
