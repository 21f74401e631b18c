#include <catch2/catch.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/unit/cli/fake_api.h"

namespace fairlead::cli {
namespace {

constexpr char kDrain[] = "POST /v1/services/web/backends/web1/drain";
constexpr char kGet[] = "GET /v1/services/web/backends/web1";

std::string Draining(int connections, const std::string& basis = "agent",
                     const std::string& state = "draining",
                     const std::string& presence = "present") {
  return absl::StrCat(
      R"({"backend": {"name": "web1", "admin": "drain", "state": ")", state,
      R"(", "drain": {"connections_at_start": 1200, "connections": )",
      connections, R"(, "basis": ")", basis, R"("}, "agent": {"presence": ")",
      presence, R"("}}})");
}

FakeApi& WithDrain(FakeApi& api) {
  api.On(kDrain, R"({"generation": 8})");
  return api;
}

TEST_CASE("drain --wait returns once the backend is drained", "[cli][drain]") {
  FakeApi api;
  WithDrain(api).On(kGet, Draining(752));
  for (int i = 0; i < 7; ++i) api.On(kGet, Draining(752 - 2 * i));
  api.On(kGet, Draining(0, "agent", "drained"));
  REQUIRE(api.Run("backend drain web web1 --wait") == 0);
  CHECK(api.out().empty());
  CHECK(api.err() ==
        "web1: 752 of 1,200 connections left\n"
        "web1: 746 of 1,200 connections left, 180/min, about 4m9s to go\n"
        "web1: drained\n");
  CHECK(api.waited() == absl::Seconds(4));
}

TEST_CASE("drain --wait tells no more than every two seconds", "[cli][drain]") {
  FakeApi api;
  WithDrain(api).On(kGet, Draining(752));
  REQUIRE(api.Run("backend drain web web1 --wait --timeout 10s") == 6);
  CHECK(api.waited() == absl::Seconds(10));
  CHECK(api.err() ==
        "web1: 752 of 1,200 connections left\n"
        "web1: 752 of 1,200 connections left\n"
        "web1: 752 of 1,200 connections left\n"
        "web1: 752 of 1,200 connections left\n"
        "web1: 752 of 1,200 connections left\n"
        "fairlead: backend drain: not drained after 10s: web1: 752 of 1,200 "
        "connections left; the drain goes on\n");
}

TEST_CASE("drain --wait without an agent says at zero that it cannot know",
          "[cli][drain]") {
  FakeApi api;
  WithDrain(api).On(kGet, Draining(3, "flow-table", "draining", "absent"));
  api.On(kGet, Draining(0, "flow-table", "draining", "absent"));
  REQUIRE(api.Run("backend drain web web1 --wait --timeout 1h") == 6);
  CHECK(api.waited() == absl::Milliseconds(500));
  CHECK_THAT(api.err(),
             Catch::EndsWith("fairlead: backend drain: web1: no flows seen "
                             "here; whether it is drained only an agent on the "
                             "backend can say, and none answers\n"));
}

TEST_CASE("drain --wait outlives a restart of the agent", "[cli][drain]") {
  const std::string presence = GENERATE("unknown", "stale", "lost");
  FakeApi api;
  WithDrain(api).On(kGet, Draining(0, "flow-table", "draining", presence));
  api.On(kGet, Draining(0, "flow-table", "draining", presence));
  api.On(kGet, Draining(0, "agent", "drained"));
  REQUIRE(api.Run("backend drain web web1 --wait") == 0);
}

TEST_CASE("drain --wait gives up on an agent that stays silent",
          "[cli][drain]") {
  FakeApi api;
  WithDrain(api).On(kGet, Draining(0, "flow-table", "draining", "lost"));
  REQUIRE(api.Run("backend drain web web1 --wait") == 6);
  CHECK(api.waited() == absl::Seconds(30));
  CHECK_THAT(api.err(), Catch::EndsWith("can say, and it is silent\n"));
}

TEST_CASE("a backend that was drained before its agent went is drained",
          "[cli][drain]") {
  FakeApi api;
  WithDrain(api).On(kGet, Draining(0, "flow-table", "drained", "lost"));
  CHECK(api.Run("backend drain web web1 --wait") == 0);
}

TEST_CASE("drain --wait waits for all of several backends", "[cli][drain]") {
  FakeApi api;
  WithDrain(api).On(kGet, Draining(0, "agent", "drained"));
  api.On("POST /v1/services/web/backends/web2/drain", R"({"generation": 9})");
  api.On("GET /v1/services/web/backends/web2", Draining(1));
  api.On("GET /v1/services/web/backends/web2", Draining(0, "agent", "drained"));
  REQUIRE(api.Run("backend drain web web1 web2 --wait") == 0);
  CHECK(api.err() ==
        "web1: drained\n"
        "web2: 1 of 1,200 connections left\n"
        "web2: drained\n");
}

TEST_CASE("drain --wait outlives a restart of the daemon", "[cli][drain]") {
  FakeApi api;
  WithDrain(api).On(kGet, Draining(5));
  api.OnFailure(kGet, absl::UnavailableError("connect: nobody is listening"));
  api.OnError(kGet, 503, "unavailable", "the daemon is starting");
  api.On(kGet, Draining(0, "agent", "drained"));
  REQUIRE(api.Run("backend drain web web1 --wait") == 0);
  CHECK(api.err() ==
        "web1: 5 of 1,200 connections left\n"
        "connect: nobody is listening; the drain goes on without it, trying "
        "again\n"
        "web1: drained\n");
}

TEST_CASE("drain --wait gives up on a daemon that stays away", "[cli][drain]") {
  FakeApi api;
  WithDrain(api).OnFailure(kGet, absl::UnavailableError("connect: gone"));
  REQUIRE(api.Run("backend drain web web1 --wait") == 3);
  CHECK(api.waited() == absl::Seconds(30));
}

TEST_CASE("drain --wait ends when somebody ends the drain", "[cli][drain]") {
  FakeApi api;
  WithDrain(api).On(kGet, Draining(5));
  api.On(kGet, R"({"backend": {"admin": "ready", "state": "up",
                               "drain": null}})");
  REQUIRE(api.Run("backend drain web web1 --wait") == 1);
  CHECK_THAT(api.err(), Catch::Contains("is not draining any more: somebody "
                                        "set it ready"));
}

TEST_CASE("drain --wait ends when the backend is deleted", "[cli][drain]") {
  FakeApi api;
  WithDrain(api).On(kGet, Draining(5));
  api.OnError(kGet, 404, "not_found", "no backend \"web1\" in web");
  CHECK(api.Run("backend drain web web1 --wait") == 4);
}

TEST_CASE("drain does not wait when it was refused", "[cli][drain]") {
  FakeApi api;
  api.OnError(kDrain, 403, "permission_denied", "needs the role operator");
  CHECK(api.Run("backend drain web web1 --wait") == 77);
  CHECK(api.sent().size() == 1);
}

TEST_CASE("the options of waiting are refused where they mean nothing",
          "[cli][drain]") {
  FakeApi api;
  WithDrain(api);
  CHECK(api.Run("backend drain web web1 --timeout 5s") == 2);
  CHECK(api.Run("backend drain web web1 --wait --dry-run") == 2);
  CHECK(api.Run("backend drain web web1 --wait --timeout 5") == 2);
  CHECK(api.Run("backend ready web web1 --wait") == 2);
  CHECK(api.sent().empty());
}

}  // namespace
}  // namespace fairlead::cli
