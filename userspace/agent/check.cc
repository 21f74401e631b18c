#include "agent/check.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "agent/facts.h"
#include "agent/peer_store.h"
#include "agent/text_table.h"
#include "base/status_macros.h"

namespace fairlead::agent {
namespace {

using Json = nlohmann::json;

// What the LB hosts have told, and what the operator names.
std::vector<base::Endpoint> AllVips(const Documents& documents,
                                    std::vector<base::Endpoint> vips) {
  for (const auto& [lb, document] : documents)
    for (const PeerVip& vip : document.vips) vips.push_back(vip.vip);
  std::sort(vips.begin(), vips.end());
  vips.erase(std::unique(vips.begin(), vips.end()), vips.end());
  return vips;
}

void PrintJson(const std::vector<Finding>& findings, std::ostream& out) {
  Json tests = Json::array();
  for (const Finding& finding : findings) {
    tests.push_back({{"test", finding.test},
                     {"object", finding.object},
                     {"result", std::string(ToString(finding.result))},
                     {"detail", finding.detail},
                     {"fix", finding.fix}});
  }
  const Json answer = {{"ok", !AnyFailure(findings)},
                       {"tests", std::move(tests)}};
  out << answer.dump(2) << "\n";
}

void PrintTable(const std::vector<Finding>& findings, std::ostream& out) {
  TextTable table({"RESULT", "TEST", "OBJECT", "DETAIL"});
  for (const Finding& finding : findings) {
    table.Add({std::string(ToString(finding.result)), finding.test,
               finding.object, finding.detail});
    if (!finding.fix.empty())
      table.AddNote(absl::StrCat("mend: ", finding.fix));
  }
  table.Print(out);
}

}  // namespace

void PrintFindings(const std::vector<Finding>& findings, Output output,
                   std::ostream& out) {
  if (output == Output::kJson) {
    PrintJson(findings, out);
  } else {
    PrintTable(findings, out);
  }
}

absl::StatusOr<bool> CheckHost(const config::AgentConfig& config,
                               const CheckOptions& options, std::ostream& out) {
  FL_ASSIGN_OR_RETURN(const StoredDocuments stored,
                      LoadDocuments(config.state_dir));
  FL_ASSIGN_OR_RETURN(const Facts facts,
                      GatherFacts({.interface = config.interface,
                                   .pin_path = config.pin_path,
                                   .gue_port = config.gue_port}));
  const std::vector<Finding> findings =
      Judge(facts, {.vips = AllVips(stored.documents, options.vips),
                    .listen = config.listen,
                    .xdp_mode = config.xdp_mode == config::XdpMode::kNative
                                    ? datapath::XdpMode::kNative
                                    : datapath::XdpMode::kGeneric,
                    .gue_port = config.gue_port,
                    .config_path = options.config_path});
  PrintFindings(findings, options.output, out);
  return !AnyFailure(findings);
}

}  // namespace fairlead::agent
