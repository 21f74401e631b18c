#include "config/agent_config.h"

#include <catch2/catch.hpp>
#include <string>

namespace fairlead::config {
namespace {

TEST_CASE("an agent config needs five keys, the rest has defaults",
          "[config]") {
  const absl::StatusOr<AgentConfig> config = ParseAgentConfig(R"([agent]
interface = "eth0"
address6 = "2001:db8::11"
listen = ["[2001:db8::11]:6082", "192.0.2.11:6082"]
lbs = ["192.0.2.1", "2001:db8::1"]
key_file = "/etc/fairlead/tier.key"
)",
                                                              "agent.toml");
  REQUIRE(config.ok());
  CHECK(config->interface == "eth0");
  CHECK_FALSE(config->addresses.ipv4.has_value());
  CHECK(config->addresses.ipv6->ToString() == "2001:db8::11");
  REQUIRE(config->listen.size() == 2);
  CHECK(config->listen[0].ToString() == "[2001:db8::11]:6082");
  REQUIRE(config->lbs.size() == 2);
  CHECK(config->lbs[1].ToString() == "2001:db8::1");
  CHECK(config->key_file == "/etc/fairlead/tier.key");
  CHECK(config->xdp_mode == XdpMode::kNative);
  CHECK(config->pin_path == "/sys/fs/bpf/fairlead-agent");
  CHECK(config->state_dir == "/var/lib/fairlead-agent");
  CHECK(config->gue_port == 6080);
}

TEST_CASE("an agent config is refused with every problem and its place",
          "[config]") {
  const absl::StatusOr<AgentConfig> config = ParseAgentConfig(R"([agent]
interface = "eth0"
listen = ["192.0.2.11"]
lbs = []
xdpmode = "native"
)",
                                                              "agent.toml");
  REQUIRE(config.status().code() == absl::StatusCode::kInvalidArgument);
  CHECK(config.status().message() ==
        "agent.toml:1:1: [agent] needs address (IPv4) or address6 (IPv6), or "
        "both\n"
        "agent.toml:1:1: [agent] needs the key key_file\n"
        "agent.toml:3:11: [agent] listen: \"192.0.2.11\" is not ADDRESS:PORT; "
        "write 192.0.2.1:443 or [2001:db8::1]:443\n"
        "agent.toml:4:7: [agent] lbs: must have 1 to 256 elements, has 0\n"
        "agent.toml:5:1: [agent] has no key \"xdpmode\" (did you mean "
        "\"xdp_mode\"?)");
}

TEST_CASE("a node config is not taken for an agent config", "[config]") {
  const absl::StatusOr<AgentConfig> config =
      ParseAgentConfig("[node]\nid = 1\n", "node.toml");
  CHECK_THAT(std::string(config.status().message()),
             Catch::Contains("there is no section [node] (have: agent)"));
}

}  // namespace
}  // namespace fairlead::config
