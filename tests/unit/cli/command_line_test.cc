#include <catch2/catch.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "cli/table.h"
#include "tests/unit/cli/fake_api.h"

namespace fairlead::cli {
namespace {

TEST_CASE("every error of the daemon has its exit code", "[cli]") {
  const auto [http_status, code, exit_code] =
      GENERATE(table<int, std::string, int>({
          {400, "invalid_argument", 1},
          {403, "permission_denied", 77},
          {404, "not_found", 4},
          {409, "already_exists", 1},
          {412, "precondition", 5},
          {507, "resource_exhausted", 1},
          {503, "unavailable", 1},
          {500, "internal", 1},
      }));
  CAPTURE(code);
  FakeApi api;
  api.OnError("GET /v1/services/web", http_status, code, "said so");
  CHECK(api.Run("service show web") == exit_code);
  CHECK(api.out().empty());
  CHECK_THAT(api.err(), Catch::StartsWith("fairlead: service show: said so"));
}

TEST_CASE("an error names the command, the object and what there is", "[cli]") {
  FakeApi api;
  api.OnError("POST /v1/services/web/backends/a/drain", 404, "not_found",
              "no service \"web\" (have: api, mail)");
  CHECK(api.Run("backend drain web a") == 4);
  CHECK(api.err() ==
        "fairlead: backend drain: no service \"web\" (have: api, mail)\n");
}

TEST_CASE("a daemon that cannot be asked has exit code 3, a closed door 77",
          "[cli]") {
  const auto [failure, exit_code] = GENERATE(table<absl::Status, int>({
      {absl::UnavailableError("x"), 3},
      {absl::DeadlineExceededError("x"), 3},
      {absl::PermissionDeniedError("x"), 77},
      {absl::DataLossError("x"), 1},
      {absl::InternalError("x"), 1},
  }));
  FakeApi api;
  api.OnFailure("GET /v1/status", failure);
  CHECK(api.Run("status") == exit_code);
  CHECK(api.err() == "fairlead: status: x\n");
}

TEST_CASE("an answer that is no JSON is a failure, not a crash", "[cli]") {
  const std::string body = GENERATE("", "{", "<html>", "{\"a\": }");
  FakeApi api;
  api.On("GET /v1/status", body);
  CHECK(api.Run("status") == 1);
  FakeApi refusing;
  refusing.On("GET /v1/status", body, 500);
  CHECK(refusing.Run("status") == 1);
  CHECK_THAT(refusing.err(), Catch::Contains("the daemon answered 500"));
}

TEST_CASE("an answer of unexpected shape is printed as far as it goes",
          "[cli]") {
  const std::string body =
      GENERATE("null", "[]", "7", "\"x\"", R"({"services": 3})",
               R"({"services": [1, null, {"name": 7, "backends": "x"}]})",
               R"({"service": {"backends": [[], {"check": 3, "agent": 1}]}})",
               R"({"verdicts": {}, "events": [null], "node": []})");
  CAPTURE(body);
  const std::string command =
      GENERATE("status", "service list", "service show a", "backend list",
               "backend list a", "backend show a b", "verdicts", "events",
               "service tombstone list",
               "flows lookup --src 192.0.2.1:1 --dst "
               "192.0.2.2:2",
               "flows explain --src 192.0.2.1:1 --dst 192.0.2.2:2");
  CAPTURE(command);
  FakeApi api;
  for (const std::string path :
       {"status", "services", "services/a", "services/a/backends/b", "verdicts",
        "events", "tombstones", "flows/lookup", "flows/explain"})
    api.On("GET /v1/" + path, body);
  CHECK(api.Run(command) == 0);
}

TEST_CASE("a mistyped word is answered with what was meant", "[cli]") {
  const auto [command, message] = GENERATE(table<std::string, std::string>({
      {"backnd list",
       "fairlead: there is no command \"backnd\"; did you mean "
       "\"backend\"?\nTry: fairlead --help\n"},
      {"servr list", "did you mean \"server\"?"},
      {"backend drian web a",
       "fairlead: backend: there is no command \"drian\"; did you mean "
       "\"drain\"?\nTry: fairlead backend --help\n"},
      {"backend frobnicate",
       "there is no command \"frobnicate\"; there are: list, show, add, set, "
       "delete, drain, ready, maint"},
      {"backend drain web a --forse",
       "fairlead: backend drain: there is no option \"--forse\"; did you mean "
       "--force?"},
      {"backend drain web a --waiit=1", "did you mean --wait?"},
      {"status -o jsn",
       "--output: \"jsn\" is none of table, json; did you "
       "mean json?"},
      {"service add w 192.0.2.1:1 --policy leastconn",
       "--policy: \"leastconn\" is none of hash, source, least-conn; did you "
       "mean least-conn?"},
      {"service add w 192.0.2.1:1 --check icmp",
       "--check: \"icmp\" is none of tcp, http, https, ws, wss, none"},
      {"service add w 192.0.2.1:1 --check exec",
       "nothing is run on an LB host"},
      {"backend", "fairlead: backend: which command? There are: list, show"},
      {"status more", "unexpected argument \"more\""},
      {"backend drain", "SERVICE is required"},
      {"backend drain web", "BACKEND is required"},
      {"backend set web a", "nothing to set: give --weight, --max-conn or"},
      {"backend set web a --weight 0",
       "--weight: \"0\" is not a whole number from 1 to 256"},
      {"backend set web a --weight 0x10", "is not a whole number"},
      {"backend set web a --weight 1 --if-generation -3",
       "--if-generation: \"-3\" is not a whole number"},
      {"service add w 192.0.2.1:1 --check-interval 2",
       "--check-interval: \"2\" is not a duration; write 500ms, 2s or 1h30m"},
      {"flows lookup --src 192.0.2.1 --dst 192.0.2.1:1",
       "--src: \"192.0.2.1\" is not ADDRESS:PORT"},
      {"flows lookup --src 192.0.2.1:1", "--dst is required"},
      {"backend list a/b", "fairlead: backend list: \"a/b\" can be no name"},
      {"service show ..", "\"..\" can be no name"},
  }));
  CAPTURE(command);
  FakeApi api;
  CHECK(api.Run(command) == 2);
  CHECK(api.out().empty());
  CHECK(api.sent().empty());
  CHECK_THAT(api.err(), Catch::Contains(message));
}

TEST_CASE("a service may have the name of a command", "[cli]") {
  FakeApi api;
  api.On("GET /v1/services/status", "{}");
  api.On("GET /v1/services/list", "{}");
  CHECK(api.Run("service show status") == 0);
  CHECK(api.Run("backend list list") == 0);
}

TEST_CASE("the socket is --socket, else FAIRLEAD_SOCKET, else the default",
          "[cli]") {
  FakeApi api;
  api.On("GET /v1/status", "{}");
  REQUIRE(api.Run("status") == 0);
  CHECK(api.socket() == "/run/fairlead/fairleadd.sock");
  api.SetEnv("FAIRLEAD_SOCKET", "/tmp/e.sock");
  REQUIRE(api.Run("status") == 0);
  CHECK(api.socket() == "/tmp/e.sock");
  REQUIRE(api.Run("status --socket /tmp/o.sock") == 0);
  CHECK(api.socket() == "/tmp/o.sock");
  REQUIRE(api.Run("--socket /tmp/p.sock status") == 0);
  CHECK(api.socket() == "/tmp/p.sock");
}

TEST_CASE("what all commands share may stand at any level", "[cli]") {
  FakeApi api;
  api.On("GET /v1/services", R"({"services":[]})");
  const std::string command = GENERATE(
      "-o json --timeout 2s service list", "service -o json --timeout 2s list",
      "service list -o json --timeout 2s",
      "service list --output=json --timeout=2s");
  CAPTURE(command);
  REQUIRE(api.Run(command) == 0);
  CHECK(api.out() == "{\n  \"services\": []\n}\n");
  CHECK(api.timeout() == absl::Seconds(2));
}

TEST_CASE("a timeout of nothing is not one without end", "[cli]") {
  FakeApi api;
  api.On("GET /v1/status", "{}");
  REQUIRE(api.Run("status --timeout 0s") == 0);
  CHECK(api.timeout() == absl::Milliseconds(1));
}

TEST_CASE("--version prints the version", "[cli]") {
  FakeApi api;
  CHECK(api.Run("--version") == 0);
  CHECK_THAT(api.out(), Catch::StartsWith("fairlead 0."));
  CHECK(api.err().empty());
}

TEST_CASE("without a command it says how to use it, on stderr", "[cli]") {
  FakeApi api;
  CHECK(api.Run("") == 2);
  CHECK(api.out().empty());
  CHECK_THAT(api.err(), Catch::Contains("From nothing to a balanced service"));
}

TEST_CASE("help has examples at every level, within 80 columns", "[cli]") {
  const std::string command = GENERATE(
      "", "service", "service add", "service list", "service show",
      "service set", "service delete", "service tombstone",
      "service tombstone list", "service tombstone clear", "backend",
      "backend add", "backend list", "backend show", "backend set",
      "backend delete", "backend drain", "backend ready", "backend maint",
      "flows", "flows lookup", "flows explain", "status", "verdicts", "events",
      "config", "config check", "node", "node detach");
  CAPTURE(command);
  FakeApi api;
  REQUIRE(api.Run(command + " --help") == 0);
  const std::string help = api.out();
  CHECK(api.err().empty());
  CHECK_THAT(help, Catch::Contains("\n  fairlead "));
  CHECK_THAT(help, Catch::Contains("Usage: fairlead"));
  std::istringstream lines(help);
  for (std::string line; std::getline(lines, line);) {
    // An example may be longer: a command in two lines is hard to copy.
    if (line.rfind("  fairlead ", 0) == 0) continue;
    CAPTURE(line);
    CHECK(line.size() <= 80);
    CHECK((line.empty() || line.back() != ' '));
  }
  REQUIRE(api.Run("help " + command) == 0);
  CHECK(api.out() == help);
}

TEST_CASE("the help of backend drain", "[cli]") {
  FakeApi api;
  REQUIRE(api.Run("backend drain --help") == 0);
  CHECK(api.out() == R"(No new connections; those it has live on

Usage: fairlead backend drain [OPTIONS] SERVICE BACKEND...

Arguments:
  SERVICE                       The service's name
  BACKEND                       The backend's name or address

Options:
  -h,--help                     Say how to use it, with examples
  --dry-run                     Print what would be done, change nothing
  --if-generation N             Refuse if something has changed since generation
                                N
  --force                       Do it although it is refused
  --wait                        Return when all are drained; exit code 6 if that
                                takes too long or cannot be known
  --timeout DURATION            With --wait: how long to wait (default: no
                                limit)

Common options:
  -o,--output FORMAT            table (default) or json
  --socket PATH                 The daemon's control socket, else
                                $FAIRLEAD_SOCKET, else
                                /run/fairlead/fairleadd.sock

Examples:
  fairlead backend drain web web1
  fairlead backend drain web web1 web2 --wait --timeout 2h
  fairlead backend drain web web1 --dry-run

  Nothing is closed, and there is no deadline; `backend ready` undoes it.
)");
}

TEST_CASE("an answer that cannot be written is a failure", "[cli]") {
  FakeApi api;
  api.On("GET /v1/status", "{}");
  api.out_stream().setstate(std::ios::badbit);
  CHECK(api.Run("status") == 1);
  CHECK(api.err() == "fairlead: cannot write the answer\n");
}

TEST_CASE("numbers have thousands separators", "[cli]") {
  CHECK(Thousands(0) == "0");
  CHECK(Thousands(999) == "999");
  CHECK(Thousands(1000) == "1,000");
  CHECK(Thousands(-1234567) == "-1,234,567");
  CHECK(Thousands(-100) == "-100");
}

}  // namespace
}  // namespace fairlead::cli
