// Services and the tombstones that they leave.
#include "base/status_macros.h"
#include "control/routes.h"
#include "core/registry.h"

namespace fairlead::control {
namespace {

Json Encode(const ReadContext& context, const core::ServiceView& view) {
  Json json = EncodeService(
      view, context.host.CountersOf(view.service.id),
      [&](core::BackendId id) { return context.host.CountersOfBackend(id); },
      context.now);
  json["unsettled"] = EncodeUnsettled(context.host, view.service);
  return json;
}

absl::StatusOr<Json> ListServices(const ReadContext& context,
                                  const Call& call) {
  FL_RETURN_IF_ERROR(CheckQuery(call.request, {}));
  Json answer = AnswerOf(context.controller);
  answer["services"] = Json::array();
  for (const core::ServiceView& view : context.controller.ViewAll())
    answer["services"].push_back(Encode(context, view));
  return answer;
}

absl::StatusOr<Json> ShowService(const ReadContext& context, const Call& call) {
  FL_RETURN_IF_ERROR(CheckQuery(call.request, {}));
  FL_ASSIGN_OR_RETURN(const core::ServiceView view,
                      context.controller.View(call.args[0]));
  Json answer = AnswerOf(context.controller);
  answer["service"] = Encode(context, view);
  return answer;
}

absl::StatusOr<ChangeRequest> AddService(const Call& call) {
  return ReadAddService(call.request.body);
}

absl::StatusOr<ChangeRequest> SetService(const Call& call) {
  return ReadSetService(call.args[0], call.request.body);
}

absl::StatusOr<ChangeRequest> DeleteService(const Call& call) {
  return ReadDeleteService(call.args[0], call.request.body);
}

absl::StatusOr<Json> ShowSources(const ReadContext& context, const Call& call) {
  FL_RETURN_IF_ERROR(CheckQuery(call.request, {}));
  FL_ASSIGN_OR_RETURN(
      const core::Service* service,
      core::FindService(context.controller.desired(), call.args[0]));
  Json answer = AnswerOf(context.controller);
  answer["service"] = service->name;
  answer["sources"] =
      EncodeSources(service->sources, context.host.CountersOf(service->id));
  return answer;
}

absl::StatusOr<ChangeRequest> AllowSources(const Call& call) {
  return ReadListSources(call.args[0], core::SourceRule::kAllow,
                         call.request.body);
}

absl::StatusOr<ChangeRequest> DenySources(const Call& call) {
  return ReadListSources(call.args[0], core::SourceRule::kDeny,
                         call.request.body);
}

absl::StatusOr<ChangeRequest> UnlistSources(const Call& call) {
  return ReadUnlistSources(call.args[0], call.request.body);
}

absl::StatusOr<Json> ListTombstones(const ReadContext& context,
                                    const Call& call) {
  FL_RETURN_IF_ERROR(CheckQuery(call.request, {}));
  Json answer = AnswerOf(context.controller);
  answer["tombstones"] = Json::array();
  for (const auto& [vip, tombstone] : context.controller.desired().tombstones) {
    answer["tombstones"].push_back(
        EncodeTombstone(vip, tombstone, context.host.CountersOf(tombstone.id)));
  }
  return answer;
}

absl::StatusOr<ChangeRequest> ClearTombstone(const Call& call) {
  return ReadClearTombstone(call.args[0], call.request.body);
}

constexpr Route kRoutes[] = {
    {"GET", "/v1/services", Role::kViewer, ListServices},
    {"POST", "/v1/services", Role::kAdmin, AddService},
    {"GET", "/v1/services/{}", Role::kViewer, ShowService},
    {"PATCH", "/v1/services/{}", Role::kAdmin, SetService},
    {"DELETE", "/v1/services/{}", Role::kAdmin, DeleteService},
    {"GET", "/v1/services/{}/sources", Role::kViewer, ShowSources},
    {"POST", "/v1/services/{}/sources/allow", Role::kOperator, AllowSources},
    {"POST", "/v1/services/{}/sources/deny", Role::kOperator, DenySources},
    {"POST", "/v1/services/{}/sources/unlist", Role::kOperator, UnlistSources},
    {"GET", "/v1/tombstones", Role::kViewer, ListTombstones},
    {"DELETE", "/v1/tombstones/{}", Role::kAdmin, ClearTombstone},
    // The VIP as it may be written when a service is added.
    {"DELETE", "/v1/tombstones/{}/tcp", Role::kAdmin, ClearTombstone},
};

}  // namespace

std::span<const Route> ServiceRoutes() { return kRoutes; }

}  // namespace fairlead::control
