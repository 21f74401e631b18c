#include "agent/status.h"

#include <unistd.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "agent/agent_maps.h"
#include "agent/agent_program.h"
#include "agent/text_table.h"
#include "base/status_macros.h"
#include "base/version.h"
#include "datapath/stats.h"
#include "event/loop.h"
#include "tier/exchange.h"
#include "tier/key_file.h"
#include "tier/keys.h"
#include "tier/message_auth.h"

namespace fairlead::agent {
namespace {

using Json = nlohmann::json;

constexpr absl::Duration kAnswerTimeout = absl::Seconds(5);

absl::StatusOr<http::Response> AskOne(const base::Endpoint& endpoint,
                                      const tier::MacKey& key,
                                      const http::Request& request) {
  FL_ASSIGN_OR_RETURN(const std::unique_ptr<event::Loop> loop,
                      event::Loop::Create());
  absl::StatusOr<http::Response> answer = absl::UnavailableError("no answer");
  tier::Caller caller(key, absl::StrCat("status-", getpid()));
  const auto ask = [&]() -> event::Task<void> {
    const http::FetchOptions options = {.deadline =
                                            loop->Now() + kAnswerTimeout};
    answer = co_await tier::Exchange(*loop, endpoint, request, caller, options);
  };
  loop->root().Spawn(ask());
  loop->Run();
  return answer;
}

// The first of the agent's listeners that answers.
absl::StatusOr<std::string> Ask(const config::AgentConfig& config,
                                const http::Request& request) {
  FL_ASSIGN_OR_RETURN(const std::string secret,
                      tier::ReadKeyFile(config.key_file));
  const tier::MacKey key = tier::DeriveMacKey(secret);
  absl::Status problem = absl::UnavailableError("nothing listens");
  for (const base::Endpoint& endpoint : config.listen) {
    const absl::StatusOr<http::Response> answer =
        AskOne(endpoint, key, request);
    if (answer.ok() && answer->status == 200) return answer->body;
    problem =
        answer.ok()
            ? absl::UnavailableError(absl::StrCat(
                  endpoint.ToString(), " answers with status ", answer->status))
            : answer.status();
  }
  return absl::UnavailableError(
      absl::StrCat("no agent answers: ", problem.message()));
}

// The same shape as the running agent's answer, as far as maps tell.
absl::StatusOr<Json> FromMaps(const config::AgentConfig& config) {
  FL_ASSIGN_OR_RETURN(const AgentMapSet set,
                      AgentMapSet::OpenPinned(LayoutFolder(config.pin_path)));
  const AgentMaps maps(set.fds());
  FL_ASSIGN_OR_RETURN(const Tables tables, maps.Read());
  FL_ASSIGN_OR_RETURN(const std::vector<uint64_t> counts, maps.Verdicts());
  Json verdicts = Json::object();
  const auto names = datapath::AgentVerdicts();
  for (size_t i = 0; i < counts.size() && i < names.size(); ++i)
    verdicts[std::string(names[i].name)] = counts[i];
  Json services = Json::array();
  for (const auto& [vip, line] : tables.vips)
    services.push_back({{"vip", vip.ToString()}, {"live_sockets", nullptr}});
  return Json{{"interface", config.interface},
              {"lbs", Json::array()},
              {"vips", tables.vips.size()},
              {"peers", tables.peers.size()},
              {"services", std::move(services)},
              {"verdicts", std::move(verdicts)},
              {"version", std::string(base::kVersion)}};
}

std::string Cell(const Json& value) {
  if (value.is_null()) return "";
  return value.is_string() ? value.get<std::string>() : value.dump();
}

void PrintRows(const Json& array, const std::vector<std::string>& titles,
               const std::vector<std::string>& fields, std::ostream& out) {
  if (array.empty()) return;
  TextTable table(titles);
  for (const Json& row : array) {
    if (!row.is_object()) continue;
    std::vector<std::string> cells;
    cells.reserve(fields.size());
    for (const std::string& field : fields)
      cells.push_back(Cell(row.value(field, Json())));
    table.Add(std::move(cells));
  }
  out << "\n";
  table.Print(out);
}

void PrintVerdicts(const Json& verdicts, std::ostream& out) {
  TextTable table({"VERDICT", "PACKETS", "MEANING"});
  for (const datapath::VerdictInfo& info : datapath::AgentVerdicts()) {
    const std::string name(info.name);
    table.Add(
        {name, Cell(verdicts.value(name, Json())), std::string(info.help)});
  }
  out << "\n";
  table.Print(out);
}

}  // namespace

absl::Status RenderStatus(absl::string_view json, std::ostream& out) {
  const Json status = Json::parse(json.begin(), json.end(), nullptr,
                                  /*allow_exceptions=*/false);
  if (!status.is_object() || !status.contains("verdicts") ||
      !status["verdicts"].is_object()) {
    return absl::DataLossError("the answer is not an agent's status");
  }
  out << "fairlead-agent " << Cell(status.value("version", Json())) << " on "
      << Cell(status.value("interface", Json())) << ": "
      << Cell(status.value("vips", Json())) << " VIPs, "
      << Cell(status.value("peers", Json())) << " peers"
      << (status.value("draining", false) ? ", draining" : "")
      << (status.value("hot", false) ? ", hot" : "") << "\n";
  PrintRows(status.value("lbs", Json::array()),
            {"LB HOST", "VIPS", "PEERS", "DIGEST"},
            {"lb_id", "vips", "peers", "digest"}, out);
  PrintRows(status.value("services", Json::array()), {"VIP", "LIVE SOCKETS"},
            {"vip", "live_sockets"}, out);
  PrintVerdicts(status["verdicts"], out);
  return absl::OkStatus();
}

absl::Status SayDraining(const config::AgentConfig& config, bool draining) {
  http::Request request;
  request.method = "POST";
  request.path = draining ? "/v1/drain" : "/v1/ready";
  return Ask(config, request).status();
}

absl::Status PrintStatus(const config::AgentConfig& config, Output output,
                         std::ostream& out) {
  http::Request request;
  request.path = "/v1/status";
  const absl::StatusOr<std::string> answer = Ask(config, request);
  std::string text;
  if (answer.ok()) {
    text = *answer;
  } else {
    const absl::StatusOr<Json> status = FromMaps(config);
    if (!status.ok()) return answer.status();
    text = status->dump() + "\n";
  }
  if (output == Output::kJson) {
    out << text;
  } else {
    FL_RETURN_IF_ERROR(RenderStatus(text, out));
  }
  if (answer.ok()) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat(answer.status().message(),
                   "; this is what the pinned maps hold, the program goes on "
                   "with it"));
}

}  // namespace fairlead::agent
