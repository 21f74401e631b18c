// The desired state as a document, and the file that it is kept in.
#include "control/store.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "control/state_codec.h"
#include "tests/unit/event/run_on_loop.h"
#include "tests/unit/event/temp_folder.h"

namespace fairlead::control {
namespace {

using Catch::Matchers::Contains;
using event::ExpectOk;
using event::Task;
using event::ValueOf;

core::DesiredState SomeState() {
  core::DesiredState state = {.generation = 7};
  core::Service ws = {.id = 1,
                      .name = "ws",
                      .vip = base::Endpoint::Parse("198.51.100.10:443").value(),
                      .policy = core::Policy::kLeastConn,
                      .choices = 2,
                      .need = 1,
                      .syn_budget = {.per_second = 20000},
                      .rows = 512,
                      .rows_base = 512,
                      .agent_port = 6082,
                      .guarantee = core::Guarantee::kSockets,
                      .slow_start = absl::Seconds(90),
                      .panic_percent = 50,
                      .assume_up = true,
                      .flap_damping = false};
  ws.check = {.kind = core::CheckKind::kHttp,
              .port = 8080,
              .path = "/live",
              .host = "ws",
              .status = *core::StatusMap::Parse("200-204"),
              .interval = absl::Milliseconds(1500),
              .timeout = absl::Seconds(1),
              .rise = 1,
              .fall = 5};
  ws.backends["web1"] = {
      .id = 3,
      .name = "web1",
      .address = base::IpAddress::Parse("192.0.2.11").value(),
      .weight = 7,
      .admin = core::Admin::kDrain,
      .drain = core::DrainRecord{
          .since = absl::FromUnixNanos(1'795'176'000'123'456'789),
          .connections_at_start = 1200}};
  ws.backends["web2"] = {
      .id = 1,
      .name = "web2",
      .address = base::IpAddress::Parse("2001:db8::12").value()};
  state.services["ws"] = ws;
  state.tombstones[base::Endpoint::Parse("198.51.100.9:80").value()] = {
      .id = 2, .name = "old", .since = absl::FromUnixSeconds(1'795'000'000)};
  state.quarantine[2] = absl::FromUnixSeconds(1'795'000'001);
  return state;
}

constexpr absl::string_view kSomeDocument = R"({
  "format": 1,
  "generation": 7,
  "services": [
    {
      "id": 1,
      "name": "ws",
      "vip": "198.51.100.10:443",
      "policy": "least-conn",
      "choices": 2,
      "encap": "gue",
      "need": 1,
      "syn_budget": "20000/s",
      "rows": 512,
      "rows_base": 512,
      "agent_port": 6082,
      "guarantee": "sockets",
      "check": {
        "type": "http",
        "via": "direct",
        "port": 8080,
        "path": "/live",
        "host": "ws",
        "status": "200-204",
        "interval": "1.5s",
        "timeout": "1s",
        "rise": 1,
        "fall": 5
      },
      "slow_start": "1m30s",
      "panic": "50%",
      "assume_up": true,
      "flap_damping": false,
      "backends": [
        {
          "id": 3,
          "name": "web1",
          "address": "192.0.2.11",
          "weight": 7,
          "admin": "drain",
          "drain": {
            "since": "2026-11-20T12:00:00.123456789Z",
            "connections_at_start": 1200
          }
        },
        {
          "id": 1,
          "name": "web2",
          "address": "2001:db8::12",
          "weight": 100,
          "admin": "ready"
        }
      ]
    }
  ],
  "tombstones": [
    {
      "vip": "198.51.100.9:80",
      "id": 2,
      "name": "old",
      "since": "2026-11-18T11:06:40Z"
    }
  ],
  "quarantine": [
    {
      "id": 2,
      "since": "2026-11-18T11:06:41Z"
    }
  ]
}
)";

TEST_CASE("all that a check may ask for is kept", "[control][store]") {
  core::DesiredState state = SomeState();
  core::CheckConfig& check = state.services["ws"].check;
  check.kind = core::CheckKind::kWss;
  check.headers = {{"x-probe", "yes"}};
  check.method = "POST";
  check.status = *core::StatusMap::Parse("200-204,500=drain");
  check.body = "fine";
  check.subprotocol = "chat";
  check.verify = false;
  check.server_name = "ws.example";
  check.ca_file = "/etc/ca.pem";
  const core::DesiredState again = ValueOf(DecodeState(EncodeState(state)));
  CHECK(again.services.at("ws").check == check);
}

TEST_CASE("a state has one document, and the document that state",
          "[control][store]") {
  const core::DesiredState state = SomeState();
  CHECK(EncodeState(state) == kSomeDocument);
  CHECK(ValueOf(DecodeState(kSomeDocument)) == state);
  CHECK(ValueOf(DecodeState(EncodeState({}))) == core::DesiredState());
}

TEST_CASE("a max-conn outlives a restart", "[control][store]") {
  core::DesiredState state = SomeState();
  state.services["ws"].backends["web2"].max_conn = 10'000;
  CHECK_THAT(EncodeState(state), Contains("\"max_conn\": 10000"));
  CHECK(ValueOf(DecodeState(EncodeState(state))) == state);
  state.services["ws"].backends["web2"].max_conn = 100'000'001;
  CHECK_THAT(std::string(DecodeState(EncodeState(state)).status().message()),
             Contains("max-conn 100000001: must be 1 to 100000000, or off"));
}

TEST_CASE("what is told to clients without room outlives a restart",
          "[control][store]") {
  core::DesiredState state = SomeState();
  CHECK_THAT(EncodeState(state), !Contains("\"shed\""));
  state.services["ws"].shed = core::Shed::kReset;
  CHECK_THAT(EncodeState(state), Contains("\"shed\": \"reset\""));
  CHECK(ValueOf(DecodeState(EncodeState(state))) == state);
}

TEST_CASE("an accept-rate outlives a restart", "[control][store]") {
  core::DesiredState state = SomeState();
  state.services["ws"].backends["web2"].accept_rate = 200;
  CHECK_THAT(EncodeState(state), Contains("\"accept_rate\": 200"));
  CHECK(ValueOf(DecodeState(EncodeState(state))) == state);
  state.services["ws"].backends["web2"].accept_rate = 1'000'001;
  CHECK_THAT(std::string(DecodeState(EncodeState(state)).status().message()),
             Contains("accept-rate 1000001: must be 1 to 1000000 a second, "
                      "or off"));
}

TEST_CASE("a document that is not understood in full is refused",
          "[control][store]") {
  struct Case {
    const char* from;
    const char* to;
    const char* problem;
  };
  const Case cases[] = {
      {"\"format\": 1,\n", "", "\"format\" is missing"},
      {"\"format\": 1", "\"format\": 2", "format 2 is not known"},
      {"\"format\": 1", "\"format\": \"1\"", "not known"},
      {"\"generation\": 7,\n", "", "\"generation\" is missing"},
      {"\"tombstones\": [", "\"tombs\": [", "unknown field \"tombs\""},
      {"\"need\": 1", "\"need\": 0", "need 0"},
      {"\"slow_start\": \"1m30s\"", "\"slow_start\": \"2h\"",
       "slow-start 2h: must be 1s to 1h, or off"},
      {"\"rows\": 512", "\"rows\": 500", "rows 500"},
      {"\"weight\": 7", "\"weight\": 0",
       "\"services[0].backends[0].weight\": 0"},
      {"\"weight\": 7", "\"wait\": 7", "\"services[0].backends[0].wait\""},
      {"\"admin\": \"drain\"", "\"admin\": \"down\"", "down"},
      {"\"name\": \"web2\"", "\"name\": \"web1\"", "\"web1\" is there twice"},
      {"2001:db8::12", "192.0.2.11", "another backend has it"},
      {"\"id\": 3", "\"id\": 1",
       "id 1 of backend \"web2\" of ws is there twice"},
      {"\"id\": 3", "\"id\": 2", "id 2 of the quarantine is there twice"},
      {"\"vip\": \"198.51.100.9:80\"", "\"vip\": \"198.51.100.10:443\"",
       "VIP 198.51.100.10:443"},
      {"\"id\": 2,\n      \"name\": \"old\"",
       "\"id\": 1,\n      \"name\": \"old\"",
       "id 1 of tombstone 198.51.100.9:80 is there twice"},
      {"\"interval\": \"1.5s\"", "\"interval\": 2",
       "\"services[0].check.interval\""},
      {"\"fall\": 5", "\"fall\": 5, \"fall\": 5", "twice"},
      {"12:00:00.123456789Z", "noon", "is not a time"},
      {"\"check\": {", "\"check\": {{", "line 18"},
  };
  for (const Case& broken : cases) {
    const std::string text =
        absl::StrReplaceAll(kSomeDocument, {{broken.from, broken.to}});
    INFO(broken.from << " -> " << broken.to);
    REQUIRE(text != kSomeDocument);
    const auto state = DecodeState(text);
    REQUIRE_FALSE(state.ok());
    CHECK_THAT(std::string(state.status().message()), Contains(broken.problem));
  }
}

TEST_CASE("checks that were added come back, and are left out without any",
          "[control][store]") {
  core::DesiredState state = *DecodeState(kSomeDocument);
  CHECK_THAT(EncodeState(state), !Contains("more_checks"));
  core::Service& service = state.services.begin()->second;
  service.more_checks["live"] = {.kind = core::CheckKind::kWs,
                                 .path = "/live",
                                 .interval = absl::Seconds(7)};
  service.more_checks["db"] = {.kind = core::CheckKind::kTcp, .port = 5432};
  const std::string text = EncodeState(state);
  const auto again = DecodeState(text);
  REQUIRE(again.ok());
  CHECK(*again == state);
  const auto twice =
      DecodeState(absl::StrReplaceAll(text, {{"\"db\"", "\"live\""}}));
  REQUIRE_FALSE(twice.ok());
  CHECK_THAT(std::string(twice.status().message()),
             Contains("\"live\" is there twice"));
  const auto main =
      DecodeState(absl::StrReplaceAll(text, {{"\"db\"", "\"main\""}}));
  REQUIRE_FALSE(main.ok());
  CHECK_THAT(std::string(main.status().message()),
             Contains("is the first check's"));
}

TEST_CASE("no part of a document passes for the whole", "[control][store]") {
  const std::string document(kSomeDocument);
  for (size_t length = 0; length + 2 < document.size(); ++length) {
    if (!DecodeState(document.substr(0, length)).ok()) continue;
    FAIL("the first " << length << " bytes were accepted");
  }
}

std::string ContentOf(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST_CASE("the state is empty before the first save, and as saved after it",
          "[control][store]") {
  const event::TempFolder folder;
  auto loop = event::MakeLoop();
  event::RunOn(*loop, [&]() -> Task<void> {
    Store store(*loop, folder.path());
    const core::DesiredState empty = ValueOf(co_await store.Load());
    CHECK(empty == core::DesiredState());
    ExpectOk(co_await store.Save(SomeState()));
    Store next(*loop, folder.path());
    const core::DesiredState loaded = ValueOf(co_await next.Load());
    CHECK(loaded == SomeState());
  });
  CHECK(ContentOf(folder.File("desired.json")) == kSomeDocument);
  struct stat info = {};
  REQUIRE(stat(folder.File("desired.json").c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
}

TEST_CASE("a corrupt state file is an error that names file, place and remedy",
          "[control][store]") {
  const event::TempFolder folder;
  std::ofstream(folder.File("desired.json")) << kSomeDocument.substr(0, 100);
  auto loop = event::MakeLoop();
  event::RunOn(*loop, [&]() -> Task<void> {
    Store store(*loop, folder.path());
    const auto loaded = co_await store.Load();
    REQUIRE(absl::IsDataLoss(loaded.status()));
    CHECK_THAT(std::string(loaded.status().message()),
               Contains(folder.File("desired.json")) && Contains("line 8") &&
                   Contains("move it away"));
  });
}

TEST_CASE("an empty state file is not an empty state", "[control][store]") {
  const event::TempFolder folder;
  std::ofstream(folder.File("desired.json")).flush();
  auto loop = event::MakeLoop();
  event::RunOn(*loop, [&]() -> Task<void> {
    Store store(*loop, folder.path());
    const auto loaded = co_await store.Load();
    CHECK(absl::IsDataLoss(loaded.status()));
  });
}

TEST_CASE("a state that cannot be read is an error", "[control][store]") {
  const event::TempFolder folder;
  std::filesystem::create_directory(folder.File("desired.json"));
  auto loop = event::MakeLoop();
  event::RunOn(*loop, [&]() -> Task<void> {
    Store store(*loop, folder.path());
    const auto loaded = co_await store.Load();
    REQUIRE_FALSE(loaded.ok());
    CHECK_THAT(std::string(loaded.status().message()),
               Contains("desired.json"));
    Store nowhere(*loop, folder.File("absent"));
    const auto missing = co_await nowhere.Load();
    REQUIRE_FALSE(missing.ok());
    CHECK_THAT(std::string(missing.status().message()),
               Contains("absent") && Contains("mkdir -m 700"));
  });
}

// Makes files larger than `bytes` impossible while it lives: a full disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes)
      : old_handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    REQUIRE(getrlimit(RLIMIT_FSIZE, &old_) == 0);
    const rlimit limit = {.rlim_cur = bytes, .rlim_max = old_.rlim_max};
    REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &old_);
    std::signal(SIGXFSZ, old_handler_);
  }

 private:
  rlimit old_ = {};
  void (*old_handler_)(int);
};

TEST_CASE("a save that fails leaves the old state whole", "[control][store]") {
  const event::TempFolder folder;
  auto loop = event::MakeLoop();
  event::RunOn(*loop, [&]() -> Task<void> {
    Store store(*loop, folder.path());
    const core::DesiredState small = {.generation = 1};
    ExpectOk(co_await store.Save(small));
    {
      const FileSizeLimit limit(400);
      const absl::Status saved = co_await store.Save(SomeState());
      REQUIRE(absl::IsInternal(saved));
      CHECK_THAT(std::string(saved.message()), Contains("desired.json"));
      CHECK_THAT(std::string(saved.message()), !Contains("put back"));
    }
    const core::DesiredState loaded = ValueOf(co_await store.Load());
    CHECK(loaded == small);
    ExpectOk(co_await store.Save(SomeState()));
  });
  CHECK(ContentOf(folder.File("desired.json")) == kSomeDocument);
  CHECK_FALSE(std::filesystem::exists(folder.File("desired.json.tmp")));
}

// What a failure after the rename leaves behind is another content than the one
// that was saved last.
TEST_CASE("a save that fails puts back what it has replaced",
          "[control][store]") {
  const event::TempFolder folder;
  const std::string path = folder.File("desired.json");
  auto loop = event::MakeLoop();
  event::RunOn(*loop, [&]() -> Task<void> {
    Store store(*loop, folder.path());
    const core::DesiredState small = {.generation = 1};
    ExpectOk(co_await store.Save(small));
    std::ofstream(path) << "{}";
    {
      const FileSizeLimit limit(400);
      const absl::Status saved = co_await store.Save(SomeState());
      CHECK(absl::IsInternal(saved));
    }
    CHECK(ContentOf(path) == EncodeState(small));

    // Nothing works any more: then it says so.
    std::ofstream(path) << "{}";
    std::filesystem::create_directory(path + ".tmp");
    const absl::Status saved = co_await store.Save(SomeState());
    CHECK_THAT(std::string(saved.message()), Contains("could not be put back"));
  });
}

TEST_CASE("a first save that fails leaves no file", "[control][store]") {
  const event::TempFolder folder;
  auto loop = event::MakeLoop();
  event::RunOn(*loop, [&]() -> Task<void> {
    Store store(*loop, folder.path());
    const FileSizeLimit limit(400);
    const absl::Status saved = co_await store.Save(SomeState());
    CHECK(absl::IsInternal(saved));
  });
  CHECK(std::filesystem::is_empty(folder.path()));
}

}  // namespace
}  // namespace fairlead::control
