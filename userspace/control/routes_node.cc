// The node as a whole: status, verdicts, events, detach.
#include <numeric>
#include <span>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "base/text.h"
#include "control/routes.h"
#include "control/verdicts.h"

namespace fairlead::control {
namespace {

constexpr size_t kDefaultEvents = 1000;

absl::StatusOr<Json> ShowStatus(const ReadContext& context, const Call& call) {
  FL_RETURN_IF_ERROR(CheckQuery(call.request, {}));
  const NodeStatus status = context.host.Status();
  Json answer = AnswerOf(context.controller);
  answer["version"] = status.version;
  answer["node"] = EncodeNode(status);
  answer["interfaces"] = EncodeInterfaces(status);
  answer["tables"] = EncodeTables(status);
  answer["peers"] = EncodePeers(status);
  answer["services"] = Json::array();
  for (const core::ServiceView& view : context.controller.ViewAll()) {
    Json summary = EncodeServiceSummary(view);
    summary["unsettled"] = EncodeUnsettled(context.host, view.service);
    answer["services"].push_back(std::move(summary));
  }
  answer["alarms"] = context.controller.Alarms();
  for (std::string& alarm : context.host.Alarms())
    answer["alarms"].push_back(std::move(alarm));
  return answer;
}

Json EncodeVerdicts(std::span<const VerdictInfo> infos,
                    const std::vector<uint64_t>& counts) {
  Json verdicts = Json::array();
  for (size_t i = 0; i < infos.size(); ++i) {
    Json json;
    json["name"] = std::string(infos[i].name);
    json["action"] = std::string(infos[i].action);
    json["count"] = i < counts.size() ? counts[i] : 0;
    json["help"] = std::string(infos[i].help);
    verdicts.push_back(std::move(json));
  }
  return verdicts;
}

absl::StatusOr<Json> ListVerdicts(const ReadContext& context,
                                  const Call& call) {
  FL_RETURN_IF_ERROR(CheckQuery(call.request, {}));
  const std::vector<uint64_t> counts = context.host.VerdictCounts();
  Json answer = AnswerOf(context.controller);
  answer["verdicts"] = EncodeVerdicts(LbVerdicts(), counts);
  answer["packets"] =
      std::accumulate(counts.begin(), counts.end(), uint64_t{0});
  answer["checks"] =
      EncodeVerdicts(CheckVerdicts(), context.host.CheckVerdictCounts());
  return answer;
}

absl::Status BadParameter(absl::string_view name, absl::string_view text,
                          absl::string_view wanted) {
  return absl::InvalidArgumentError(absl::StrCat("query parameter \"", name,
                                                 "\": ", base::Quoted(text),
                                                 " is not ", wanted));
}

constexpr Route kRoutes[] = {
    {"GET", "/v1/status", Role::kViewer, ShowStatus},
    {"GET", "/v1/verdicts", Role::kViewer, ListVerdicts},
    {"GET", "/v1/events", Role::kViewer, OwnHandler::kEvents},
    {"GET", "/v1/trace", Role::kOperator, OwnHandler::kTrace},
    {"POST", "/v1/node/detach", Role::kAdmin, OwnHandler::kDetach},
};

}  // namespace

std::span<const Route> NodeRoutes() { return kRoutes; }

absl::StatusOr<EventQuery> ReadEventQuery(const http::Request& request) {
  FL_RETURN_IF_ERROR(CheckQuery(request, {"since", "limit", "follow"}));
  EventQuery query = {.limit = kDefaultEvents};
  for (const auto& [name, text] : request.query) {
    if (name == "since") {
      uint64_t since = 0;
      if (!absl::SimpleAtoi(text, &since))
        return BadParameter(name, text, "the number of an event");
      query.since = since;
    } else if (name == "limit") {
      if (!absl::SimpleAtoi(text, &query.limit) || query.limit < 1 ||
          query.limit > kEventsInMemory) {
        return BadParameter(name, text,
                            absl::StrCat("in 1..", kEventsInMemory));
      }
    } else if (text == "true" || text == "false") {
      query.follow = text == "true";
    } else {
      return BadParameter(name, text, "true or false");
    }
  }
  return query;
}

}  // namespace fairlead::control
