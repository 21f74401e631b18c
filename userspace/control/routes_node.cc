// The node as a whole: status, verdicts, events, detach.
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

absl::StatusOr<Json> ListVerdicts(const ReadContext& context,
                                  const Call& call) {
  FL_RETURN_IF_ERROR(CheckQuery(call.request, {}));
  const std::vector<uint64_t> counts = context.host.VerdictCounts();
  uint64_t packets = 0;
  Json verdicts = Json::array();
  for (size_t i = 0; i < LbVerdicts().size(); ++i) {
    const VerdictInfo& info = LbVerdicts()[i];
    const uint64_t count = i < counts.size() ? counts[i] : 0;
    packets += count;
    Json json;
    json["name"] = std::string(info.name);
    json["action"] = std::string(info.action);
    json["count"] = count;
    json["help"] = std::string(info.help);
    verdicts.push_back(std::move(json));
  }
  Json answer = AnswerOf(context.controller);
  answer["verdicts"] = std::move(verdicts);
  answer["packets"] = packets;
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
