#include "daemon/agent_protocol.h"

#include <catch2/catch.hpp>
#include <string>

#include "agent/peer_document.h"

namespace fairlead::daemon {
namespace {

constexpr char kState[] = R"({"boot_id": "8a1c", "scan": 17,
  "scan_begun_age_ms": 12, "previous_scan_begun_age_ms": 1015,
  "syn_cookie_age_ms": 20, "draining": true, "hot": false, "tick": 42, "peer_map_digest": "9f86",
  "version": "9.9.9", "services": [{"vip": "198.51.100.10:443",
  "live_sockets": 402, "row_by": "source", "rows": 8, "owned": "0a"}],
  "learned": {"198.51.100.10:443": ["00c3000000000001"]},
  "verdicts": {"PASS_SOCKET": 120345}})";

// kState with `from` replaced.
std::string With(const std::string& from, const std::string& to) {
  std::string text = kState;
  const size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

TEST_CASE("an agent's report is read", "[daemon][agent]") {
  const auto state = DecodeAgentState(kState);
  REQUIRE(state.ok());
  CHECK(state->boot_id == "8a1c");
  CHECK(state->scan == 17);
  CHECK(state->scan_begun_age == absl::Milliseconds(12));
  CHECK(state->previous_scan_begun_age == absl::Milliseconds(1015));
  CHECK(state->syn_cookie_age == absl::Milliseconds(20));
  CHECK(state->tick == 42);
  CHECK(state->draining);
  CHECK_FALSE(state->hot);
  CHECK(state->peer_map_digest == "9f86");
  const AgentService& service = state->services.at("198.51.100.10:443");
  CHECK(service.live_sockets == 402);
  CHECK(service.by_source);
  CHECK(service.owned.Count() == 2);
  CHECK(service.owned.Contains(5));
  CHECK(service.owned.Contains(7));
  CHECK(state->learned.at("198.51.100.10:443") ==
        std::vector<uint64_t>{0x00c3000000000001});
}

TEST_CASE("what an agent has not seen yet is null", "[daemon][agent]") {
  const auto first = DecodeAgentState(With("1015", "null"));
  REQUIRE(first.ok());
  CHECK_FALSE(first->previous_scan_begun_age.has_value());
  const auto calm = DecodeAgentState(With("20,", "null,"));
  REQUIRE(calm.ok());
  CHECK_FALSE(calm->syn_cookie_age.has_value());
}

TEST_CASE("an agent that counts handshakes tells them apart",
          "[daemon][agent]") {
  const auto handshakes = [](const absl::StatusOr<AgentState>& state) {
    REQUIRE(state.ok());
    return state->services.at("198.51.100.10:443").handshakes;
  };
  CHECK(handshakes(DecodeAgentState(kState)) == 0);
  CHECK(handshakes(DecodeAgentState(
            With("\"row_by\"", "\"handshakes\": 7, \"row_by\""))) == 7);
  CHECK_FALSE(
      DecodeAgentState(With("\"row_by\"", "\"handshakes\": -7, \"row_by\""))
          .ok());
}

TEST_CASE("a report with a wrong field is refused and the field named",
          "[daemon][agent]") {
  const auto problem = [](const std::string& text) {
    return std::string(DecodeAgentState(text).status().message());
  };
  CHECK_THAT(problem("{"), Catch::Contains("not JSON"));
  CHECK_THAT(problem(With("17", "-1")), Catch::Contains("\"scan\""));
  CHECK_THAT(problem(With("1015", "\"x\"")),
             Catch::Contains("\"previous_scan_begun_age_ms\""));
  CHECK_THAT(problem(With("true", "1")), Catch::Contains("\"draining\""));
  CHECK_THAT(problem(With("402", "\"402\"")),
             Catch::Contains("\"live_sockets\""));
  CHECK_THAT(problem(With("\"rows\": 8", "\"rows\": 131072")),
             Catch::Contains("\"rows\""));
  CHECK_THAT(problem(With("\"0a\"", "\"0a0\"")), Catch::Contains("3 digits"));
  CHECK_THAT(problem(With("00c3", "zzzz")), Catch::Contains("\"learned\""));
  CHECK_THAT(problem(With("{\"198", "{\"x\": 1, \"198")),
             Catch::Contains("\"learned\""));
}

TEST_CASE("the agent reads the peer map that the daemon writes",
          "[daemon][agent]") {
  core::DesiredState desired;
  core::Service& service = desired.services["ws"];
  service.vip = *base::Endpoint::Parse("198.51.100.10:443");
  service.policy = core::Policy::kSource;
  service.rows = 1024;
  const absl::btree_map<core::BackendId, base::IpAddress> peers = {
      {7, *base::IpAddress::Parse("192.0.2.7")}};
  const PeerMap map = EncodePeerMap(desired, peers, 3);
  const auto document = agent::ParsePeerDocument(map.json);
  REQUIRE(document.ok());
  CHECK(document->lb_id == 3);
  CHECK(document->digest == map.digest);
  REQUIRE(document->vips.size() == 1);
  CHECK(document->vips[0].policy == core::Policy::kSource);
  CHECK(document->vips[0].rows == 1024);
  REQUIRE(document->peers.size() == 1);
  CHECK(document->peers[0].id == 7);
  // Whatever an agent must know changes the digest.
  service.rows = 2048;
  CHECK(EncodePeerMap(desired, peers, 3).digest != map.digest);
  service.rows = 1024;
  CHECK(EncodePeerMap(desired, {}, 3).digest != map.digest);
}

}  // namespace
}  // namespace fairlead::daemon
