// Both configuration files: whatever they hold, the reader answers with values
// or with what is wrong and where.
#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "base/check.h"
#include "config/agent_config.h"
#include "config/node_config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const auto node = fairlead::config::ParseNodeConfig(text, "node.toml", "lb1");
  FL_CHECK(node.ok() || !node.status().message().empty());
  const auto agent = fairlead::config::ParseAgentConfig(text, "agent.toml");
  FL_CHECK(agent.ok() || !agent.status().message().empty());
  return 0;
}
