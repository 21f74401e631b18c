// The backends of a service, and an operator's intents for them.
#include <algorithm>

#include "base/status_macros.h"
#include "control/routes.h"
#include "core/registry.h"

namespace fairlead::control {
namespace {

Json Encode(const ReadContext& context, const core::BackendView& view) {
  return EncodeBackend(view, context.host.CountersOfBackend(view.backend.id),
                       context.now);
}

absl::StatusOr<Json> ListBackends(const ReadContext& context,
                                  const Call& call) {
  FL_RETURN_IF_ERROR(CheckQuery(call.request, {}));
  FL_ASSIGN_OR_RETURN(const core::ServiceView view,
                      context.controller.View(call.args[0]));
  Json answer = AnswerOf(context.controller);
  answer["service"] = view.service.name;
  answer["backends"] = Json::array();
  for (const core::BackendView& backend : view.backends)
    answer["backends"].push_back(Encode(context, backend));
  return answer;
}

absl::StatusOr<Json> ShowBackend(const ReadContext& context, const Call& call) {
  FL_RETURN_IF_ERROR(CheckQuery(call.request, {}));
  FL_ASSIGN_OR_RETURN(const core::ServiceView view,
                      context.controller.View(call.args[0]));
  FL_ASSIGN_OR_RETURN(const core::Backend* backend,
                      core::FindBackend(view.service, call.args[1]));
  const auto found = std::find_if(view.backends.begin(), view.backends.end(),
                                  [&](const core::BackendView& candidate) {
                                    return candidate.backend.id == backend->id;
                                  });
  if (found == view.backends.end())
    return absl::InternalError("a backend without a view: a defect");
  Json answer = AnswerOf(context.controller);
  answer["backend"] = Encode(context, *found);
  answer["checks"] = EncodeHistory(*found, context.now);
  return answer;
}

BackendPath PathOf(const Call& call) {
  return {.service = call.args[0], .backend = call.args[1]};
}

absl::StatusOr<ChangeRequest> AddBackend(const Call& call) {
  return ReadAddBackend(call.args[0], call.request.body);
}

absl::StatusOr<ChangeRequest> SetBackend(const Call& call) {
  return ReadSetBackend(PathOf(call), call.request.body);
}

absl::StatusOr<ChangeRequest> DeleteBackend(const Call& call) {
  return ReadDeleteBackend(PathOf(call), call.request.body);
}

template <core::Admin kAdmin>
absl::StatusOr<ChangeRequest> SetAdmin(const Call& call) {
  return ReadSetAdmin(PathOf(call), kAdmin, call.request.body);
}

constexpr Route kRoutes[] = {
    {"GET", "/v1/services/{}/backends", Role::kViewer, ListBackends},
    {"POST", "/v1/services/{}/backends", Role::kAdmin, AddBackend},
    {"GET", "/v1/services/{}/backends/{}", Role::kViewer, ShowBackend},
    {"PATCH", "/v1/services/{}/backends/{}", Role::kAdmin, SetBackend},
    {"DELETE", "/v1/services/{}/backends/{}", Role::kAdmin, DeleteBackend},
    {"POST", "/v1/services/{}/backends/{}/drain", Role::kOperator,
     SetAdmin<core::Admin::kDrain>},
    {"POST", "/v1/services/{}/backends/{}/ready", Role::kOperator,
     SetAdmin<core::Admin::kReady>},
    {"POST", "/v1/services/{}/backends/{}/maint", Role::kOperator,
     SetAdmin<core::Admin::kMaint>},
};

}  // namespace

std::span<const Route> BackendRoutes() { return kRoutes; }

}  // namespace fairlead::control
