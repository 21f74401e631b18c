#include "datapath/stats.h"

#include <catch2/catch.hpp>
#include <set>
#include <string>

#include "fairlead/abi/verdict.h"

namespace fairlead::datapath {

TEST_CASE("every verdict has a name, an action and a help text",
          "[datapath][stats]") {
  CHECK(LbVerdicts().size() == FL_LB_VERDICT_COUNT);
  CHECK(AgentVerdicts().size() == FL_AGENT_VERDICT_COUNT);
  CHECK(LbVerdicts()[FL_LB_TX_HIT].name == "TX_HIT");
  CHECK(LbVerdicts()[FL_LB_TX_HIT].action == "TX");
  CHECK(AgentVerdicts()[FL_AGENT_DROP_NOBODY].name == "DROP_NOBODY");
  for (const auto& table : {LbVerdicts(), AgentVerdicts()}) {
    std::set<std::string> names;
    for (const VerdictInfo& verdict : table) {
      names.insert(std::string(verdict.name));
      CHECK(verdict.help.size() > 10);
      // The action stands in front of the name, too.
      CHECK(verdict.name.substr(0, verdict.action.size()) == verdict.action);
    }
    CHECK(names.size() == table.size());
  }
}

}  // namespace fairlead::datapath
