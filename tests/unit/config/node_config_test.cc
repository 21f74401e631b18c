#include "config/node_config.h"

#include <catch2/catch.hpp>
#include <string>

#include "absl/strings/str_cat.h"

namespace fairlead::config {
namespace {

constexpr absl::string_view kSmallest = R"([node]
id = 1
interfaces = ["eth0"]
address = "192.0.2.1"
key_file = "/etc/fairlead/tier.key"
)";

absl::StatusOr<NodeConfig> Parse(absl::string_view text) {
  return ParseNodeConfig(text, "node.toml", "edge1");
}

std::string Problem(absl::string_view text) {
  const absl::StatusOr<NodeConfig> config = Parse(text);
  REQUIRE_FALSE(config.ok());
  REQUIRE(config.status().code() == absl::StatusCode::kInvalidArgument);
  return std::string(config.status().message());
}

std::string ProblemOf(absl::string_view more) {
  return Problem(absl::StrCat(kSmallest, more));
}

TEST_CASE("a node config needs four keys, the rest has defaults", "[config]") {
  const absl::StatusOr<NodeConfig> config = Parse(kSmallest);
  REQUIRE(config.ok());
  CHECK(config->name == "edge1");
  CHECK(config->id == 1);
  CHECK(config->interfaces == std::vector<std::string>{"eth0"});
  CHECK(config->xdp_mode == XdpMode::kNative);
  CHECK(config->addresses.ipv4->ToString() == "192.0.2.1");
  CHECK_FALSE(config->addresses.ipv6.has_value());
  CHECK(config->key_file == "/etc/fairlead/tier.key");
  CHECK(config->state_dir == "/var/lib/fairlead");
  CHECK(config->socket == "/run/fairlead/fairleadd.sock");
  CHECK(config->pin_path == "/sys/fs/bpf/fairlead");
  CHECK(config->gue_port == 6080);
  CHECK(config->tables.flow_slots == 1048576);
  CHECK(config->tables.flow_buckets() == 262144);
  CHECK(config->tables.rows == 1048576);
  CHECK(config->tables.backends == 4096);
  CHECK(config->tables.services == 512);
  CHECK(config->tables.prefixes == 4096);
  CHECK(config->tables.sources == 65536);
  CHECK(config->tables.counted_sources == 0);
  CHECK(config->tables.conn_sets() == 1);
  CHECK(config->access.viewer_group.empty());
  CHECK(config->timeouts.established == absl::Seconds(8000));
  CHECK(config->timeouts.closing == absl::Seconds(120));
  CHECK(config->timeouts.young == absl::Seconds(120));
  CHECK(config->timeouts.embryonic == absl::Seconds(64));
  CHECK(config->tier.peers.empty());
  CHECK(config->tier.port == 6083);
}

TEST_CASE("peers are addresses, with the port of the section or their own",
          "[config]") {
  const absl::StatusOr<NodeConfig> config =
      Parse(absl::StrCat(kSmallest,
                         "[tier]\npeers = [\"192.0.2.2\", \"2001:db8::3\", "
                         "\"[2001:db8::4]:99\"]\nport = 7000\n"));
  REQUIRE(config.ok());
  std::vector<std::string> peers;
  for (const base::Endpoint& peer : config->tier.peers)
    peers.push_back(peer.ToString());
  CHECK(peers == std::vector<std::string>{"192.0.2.2:7000",
                                          "[2001:db8::3]:7000",
                                          "[2001:db8::4]:99"});
}

TEST_CASE("every key of a node config is read", "[config]") {
  const absl::StatusOr<NodeConfig> config = Parse(R"([node]
name = "lb-7"
id = 65535
interfaces = ["eth0", "eth1"]
xdp_mode = "generic"
address = "192.0.2.1"
address6 = "2001:db8::1"
key_file = "/k"
state_dir = "/s"
socket = "/r/x.sock"
pin_path = "/p"
gue_port = 6081
[tables]
flows = 1025
rows = 4096
backends = 65535
services = 4
counted_sources = 4097
[access]
viewer_group = "v"
operator_group = "o"
admin_group = "a"
[timeouts]
established = "2h30m"
closing = "90s"
young = "1m"
embryonic = "32s"
)");
  REQUIRE(config.ok());
  CHECK(config->name == "lb-7");
  CHECK(config->interfaces.size() == 2);
  CHECK(config->xdp_mode == XdpMode::kGeneric);
  CHECK(config->addresses.ipv6->ToString() == "2001:db8::1");
  CHECK(config->socket == "/r/x.sock");
  CHECK(config->gue_port == 6081);
  CHECK(config->tables.flow_slots == 2048);
  CHECK(config->tables.flow_buckets() == 512);
  CHECK(config->tables.services == 4);
  CHECK(config->tables.counted_sources == 8192);
  CHECK(config->tables.conn_sets() == 1024);
  CHECK(config->access.operator_group == "o");
  CHECK(config->access.admin_group == "a");
  CHECK(config->timeouts.established == absl::Minutes(150));
  CHECK(config->timeouts.embryonic == absl::Seconds(32));
}

TEST_CASE("an empty node config names every key that it needs", "[config]") {
  CHECK(Problem("") ==
        "node.toml: [node] needs the key id\n"
        "node.toml: [node] needs the key interfaces\n"
        "node.toml: [node] needs address (IPv4) or address6 (IPv6), or both\n"
        "node.toml: [node] needs the key key_file");
}

TEST_CASE("an unknown key is refused with its place and the nearest name",
          "[config]") {
  CHECK(ProblemOf("interfces = [\"eth1\"]\n") ==
        "node.toml:6:1: [node] has no key \"interfces\" (did you mean "
        "\"interfaces\"?)");
  CHECK(ProblemOf("[timeouts]\nlifetime = \"4h\"\n") ==
        "node.toml:7:1: [timeouts] has no key \"lifetime\" (have: "
        "established, closing, young, embryonic)");
}

TEST_CASE("an unknown section is refused with its place", "[config]") {
  CHECK(ProblemOf("[table]\nflows = 4096\n") ==
        "node.toml:6:1: there is no section [table] (did you mean "
        "\"tables\"?)");
  CHECK(Problem(absl::StrCat("id = 3\n", kSmallest)) ==
        "node.toml:1:1: \"id\" is in no section; sections are: access, node, "
        "tables, tier, timeouts");
  CHECK(Problem(absl::StrCat("tables = 3\n", kSmallest)) ==
        "node.toml:1:1: tables is a section: write [tables] on a line of its "
        "own");
}

TEST_CASE("a number out of range is refused with the range", "[config]") {
  const auto [key, value, message] =
      GENERATE(table<std::string, std::string, std::string>({
          {"flows", "1023", "from 1024 to 268435456, is the integer 1023"},
          {"flows", "268435457", "from 1024 to 268435456"},
          {"rows", "4095", "from 4096 to 67108864"},
          {"backends", "65536", "from 16 to 65535"},
          {"services", "3", "from 4 to 65535"},
          {"services", "\"9\"",
           "must be an integer from 4 to 65535, is the "
           "string \"9\""},
          {"services", "9.5", "is the float 9.5"},
          {"services", "true", "is true"},
          {"services", "[9]", "is an array"},
      }));
  CAPTURE(key, value);
  CHECK_THAT(ProblemOf(absl::StrCat("[tables]\n", key, " = ", value, "\n")),
             Catch::StartsWith("node.toml:7:") &&
                 Catch::Contains(absl::StrCat("[tables] ", key, ": ")) &&
                 Catch::Contains(message));
}

TEST_CASE("the bounds of each table are allowed", "[config]") {
  const auto [key, value] = GENERATE(table<std::string, int>({
      {"flows", 1024},
      {"flows", 268435456},
      {"rows", 67108864},
      {"backends", 16},
      {"services", 65535},
  }));
  CAPTURE(key, value);
  CHECK(Parse(absl::StrCat(kSmallest, "[tables]\n", key, " = ", value)).ok());
}

TEST_CASE("a wrong value of the node section is refused by name", "[config]") {
  const auto [line, message] = GENERATE(table<std::string, std::string>({
      {"xdp_mode = \"nativ\"",
       "[node] xdp_mode: must be \"native\" or \"generic\", is \"nativ\" (did "
       "you mean \"native\"?)"},
      {"gue_port = 0", "[node] gue_port: must be an integer from 1 to 65535"},
      {"address6 = \"192.0.2.9\"", "address6: must be an IPv6 address"},
      {"address6 = \"::1\"", "must be an address of this host's own"},
      {"address6 = \"2001:db8::1/64\"", "leave out the prefix length"},
      {"state_dir = \"var\"",
       "state_dir: must be an absolute path, is \"var\""},
      {"name = \"a b\"", "name: \"a b\" cannot be a name"},
      {"name = 7", "name: must be a string, is the integer 7"},
  }));
  CAPTURE(line);
  CHECK_THAT(ProblemOf(line + "\n"),
             Catch::StartsWith("node.toml:6:") && Catch::Contains(message));
}

TEST_CASE("interfaces must be one to sixteen different names", "[config]") {
  const auto problem = [](const std::string& interfaces) {
    return Problem(absl::StrCat("[node]\nid = 1\ninterfaces = ", interfaces,
                                "\naddress = \"192.0.2.1\"\n"
                                "key_file = \"/k\"\n"));
  };
  CHECK(problem("[]") ==
        "node.toml:3:14: [node] interfaces: must have 1 to 16 elements, has 0");
  CHECK(problem("\"eth0\"") ==
        "node.toml:3:14: [node] interfaces: must be an array of strings, is "
        "the string \"eth0\"");
  CHECK(problem("[\"eth0\", \"eth0\"]") ==
        "node.toml:3:23: [node] interfaces: \"eth0\" comes twice");
  CHECK_THAT(problem("[\"a-name-of-16-chr\"]"),
             Catch::Contains("cannot be an interface"));
  CHECK_THAT(problem("[7]"), Catch::Contains("has the integer 7"));
}

TEST_CASE("a timeout needs a unit and a sensible length", "[config]") {
  CHECK(ProblemOf("[timeouts]\nyoung = \"120\"\n") ==
        "node.toml:7:9: [timeouts] young: \"120\" is not a duration; write "
        "500ms, 2s or 1h30m");
  CHECK(ProblemOf("[timeouts]\nyoung = \"1s\"\n") ==
        "node.toml:7:9: [timeouts] young: must be from 2s to 2160h, is 1s");
  CHECK_THAT(ProblemOf("[timeouts]\nyoung = 120\n"),
             Catch::Contains("must be a string, is the integer 120"));
}

TEST_CASE("a path too long for a Unix socket is refused", "[config]") {
  CHECK_THAT(
      ProblemOf(absl::StrCat("socket = \"/", std::string(107, 's'), "\"\n")),
      Catch::Contains("socket: must have at most 107 characters, has "
                      "108"));
}

TEST_CASE("all problems of a node config are told, in the file's order",
          "[config]") {
  const std::string problem = Problem(R"([timeouts]
young = "x"
[node]
id = 0
interfaces = ["eth0"]
address = "192.0.2.1"
key = "/k"
)");
  CHECK(problem ==
        "node.toml:2:9: [timeouts] young: \"x\" is not a duration; write "
        "500ms, 2s or 1h30m\n"
        "node.toml:3:1: [node] needs the key key_file\n"
        "node.toml:4:6: [node] id: must be an integer from 1 to 65535, is the "
        "integer 0\n"
        "node.toml:7:1: [node] has no key \"key\" (did you mean "
        "\"key_file\"?)");
}

}  // namespace
}  // namespace fairlead::config
