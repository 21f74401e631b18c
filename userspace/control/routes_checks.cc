// The checks of a service, and those that are made by hand.
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "base/text.h"
#include "control/routes.h"
#include "core/check_list.h"
#include "core/registry.h"
#include "core/runtimes.h"

namespace fairlead::control {
namespace {

absl::StatusOr<Json> ListChecks(const ReadContext& context, const Call& call) {
  FL_RETURN_IF_ERROR(CheckQuery(call.request, {}));
  FL_ASSIGN_OR_RETURN(
      const core::Service* service,
      core::FindService(context.controller.desired(), call.args[0]));
  Json answer = AnswerOf(context.controller);
  answer["service"] = service->name;
  answer["checks"] = EncodeChecks(*service);
  return answer;
}

absl::StatusOr<ChangeRequest> AddCheck(const Call& call) {
  return ReadAddCheck(call.args[0], call.request.body);
}

CheckPath PathOf(const Call& call) {
  return {.service = call.args[0], .check = call.args[1]};
}

absl::StatusOr<ChangeRequest> SetCheck(const Call& call) {
  return ReadSetCheck(PathOf(call), call.request.body);
}

absl::StatusOr<ChangeRequest> DeleteCheck(const Call& call) {
  return ReadDeleteCheck(PathOf(call), call.request.body);
}

constexpr Route kRoutes[] = {
    {"GET", "/v1/services/{}/checks", Role::kViewer, ListChecks},
    {"POST", "/v1/services/{}/checks", Role::kAdmin, AddCheck},
    {"PATCH", "/v1/services/{}/checks/{}", Role::kAdmin, SetCheck},
    {"DELETE", "/v1/services/{}/checks/{}", Role::kAdmin, DeleteCheck},
    {"POST", "/v1/services/{}/backends/{}/check", Role::kOperator,
     OwnHandler::kCheck},
};

}  // namespace

absl::StatusOr<std::vector<core::ProbeRequest>> ReadCheckRun(
    const ReadContext& context, const Call& call) {
  FL_RETURN_IF_ERROR(CheckQuery(call.request, {}));
  FL_ASSIGN_OR_RETURN(const std::optional<std::string> wanted,
                      ReadCheckRunBody(call.request.body));
  FL_ASSIGN_OR_RETURN(
      const core::Service* service,
      core::FindService(context.controller.desired(), call.args[0]));
  FL_ASSIGN_OR_RETURN(const core::Backend* backend,
                      core::FindBackend(*service, call.args[1]));
  std::vector<core::CheckRef> checks = core::ChecksOf(*service);
  if (wanted.has_value()) {
    FL_ASSIGN_OR_RETURN(const core::CheckRef check,
                        core::FindCheck(*service, *wanted));
    checks = {check};
  }
  if (checks.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("service ", base::Quoted(service->name),
                     " has no check; give it one with service set --check"));
  }
  std::vector<core::ProbeRequest> probes;
  probes.reserve(checks.size());
  for (const core::CheckRef& check : checks)
    probes.push_back(core::MakeProbe(*service, *backend, check));
  return probes;
}

std::span<const Route> CheckRoutes() { return kRoutes; }

}  // namespace fairlead::control
