#include <catch2/catch.hpp>
#include <string>

#include "event/scope.h"
#include "tests/unit/control/fixture.h"

namespace fairlead::control {
namespace {

using Catch::Matchers::Contains;

std::string Seqs(const Json& answer) {
  std::string text;
  for (const Json& event : answer["events"])
    absl::StrAppend(&text, event["seq"].get<int>(), " ");
  return text;
}

std::vector<core::Event> Five() {
  return std::vector<core::Event>(5, {.type = "backend.state"});
}

// Keeps what is written, and fails when told so: the client is gone.
class Recorder : public http::BodyWriter {
 public:
  Task<absl::Status> Write(absl::string_view data) override {
    if (gone) co_return absl::UnavailableError("client is gone");
    text.append(data.data(), data.size());
    co_return absl::OkStatus();
  }

  std::string text;
  bool gone = false;
};

TEST_CASE("events are the newest, or those after a number", "[control][api]") {
  ApiFixture fixture;
  fixture.Run([&]() -> Task<void> {
    const Json none = co_await fixture.Good("GET", "/v1/events");
    CHECK(none.dump() == R"({"generation":0,"events":[]})");
    event::ExpectOk(co_await fixture.log().Append(
        Five(), 1000, absl::FromUnixMillis(1'795'176'000'123)));
    const Json all = co_await fixture.Good("GET", "/v1/events");
    CHECK(Seqs(all) == "1 2 3 4 5 ");
    CHECK(all["events"][0].dump() ==
          R"({"seq":1,"time":"2026-11-20T12:00:00.123Z","uid":1000,)"
          R"("type":"backend.state","service":"","backend":"","before":"",)"
          R"("after":"","reason":"","lasted_ms":null})");
    const Json newest = co_await fixture.Good("GET", "/v1/events?limit=2");
    CHECK(Seqs(newest) == "4 5 ");
    const Json after =
        co_await fixture.Good("GET", "/v1/events?since=1&limit=2");
    CHECK(Seqs(after) == "2 3 ");
    const Json last = co_await fixture.Good("GET", "/v1/events?since=5");
    CHECK(Seqs(last).empty());
  });
}

TEST_CASE("a question about events that makes no sense is refused",
          "[control][api]") {
  ApiFixture fixture;
  fixture.Run([&]() -> Task<void> {
    for (const char* query :
         {"since=x", "since=-1", "since=1", "limit=0", "limit=10001",
          "limit=", "follow=maybe", "follow", "fllow=true"}) {
      INFO(query);
      const std::string message = co_await fixture.Refused(
          400, "invalid_argument", "GET", absl::StrCat("/v1/events?", query));
      CHECK_THAT(message, Contains(std::string(query).substr(0, 5)));
    }
  });
}

TEST_CASE("a follower gets what was and then what comes", "[control][api]") {
  ApiFixture fixture;
  fixture.Run([&]() -> Task<void> {
    event::ExpectOk(
        co_await fixture.log().Append(Five(), 1000, absl::UnixEpoch()));
    http::Response response =
        co_await fixture.Call("GET", "/v1/events?follow=true&limit=1");
    REQUIRE(response.stream != nullptr);
    CHECK(response.status == 200);
    Recorder recorder;
    absl::Status ended;
    event::Scope client(co_await event::CurrentScope());
    const auto follow = [&]() -> Task<void> {
      ended = co_await response.stream(recorder);
    };
    client.Spawn(follow());
    co_await fixture.loop().Yield();
    CHECK_THAT(recorder.text, Catch::Matchers::StartsWith("{\"seq\":5,"));

    recorder.text.clear();
    co_await fixture.AddService();
    co_await fixture.loop().Yield();
    CHECK_THAT(recorder.text, Catch::Matchers::StartsWith("{\"seq\":6,") &&
                                  Contains("service.add") &&
                                  Catch::Matchers::EndsWith("}\n"));
    client.Cancel();
    co_await client.Join();
    CHECK(absl::IsCancelled(ended));
  });
}

TEST_CASE("a follower that is behind misses nothing", "[control][api]") {
  ApiFixture fixture;
  fixture.Run([&]() -> Task<void> {
    event::ExpectOk(
        co_await fixture.log().Append(Five(), 1000, absl::UnixEpoch()));
    http::Response response =
        co_await fixture.Call("GET", "/v1/events?follow=true&since=1&limit=2");
    REQUIRE(response.stream != nullptr);
    Recorder recorder;
    event::Scope client(co_await event::CurrentScope());
    const auto follow = [&]() -> Task<void> {
      (void)co_await response.stream(recorder);  // ends by being cancelled
    };
    client.Spawn(follow());
    co_await fixture.loop().Yield();
    for (const char* seq : {"2", "3", "4", "5"})
      CHECK_THAT(recorder.text, Contains(absl::StrCat("{\"seq\":", seq, ",")));
    client.Cancel();
    co_await client.Join();
  });
}

TEST_CASE("following ends when the client is gone", "[control][api]") {
  ApiFixture fixture;
  fixture.Run([&]() -> Task<void> {
    http::Response response =
        co_await fixture.Call("GET", "/v1/events?follow=true");
    REQUIRE(response.stream != nullptr);
    Recorder recorder;
    recorder.gone = true;
    absl::Status ended;
    event::Scope client(co_await event::CurrentScope());
    const auto follow = [&]() -> Task<void> {
      ended = co_await response.stream(recorder);
    };
    client.Spawn(follow());
    event::ExpectOk(
        co_await fixture.log().Append(Five(), 1000, absl::UnixEpoch()));
    co_await client.Join();
    CHECK(absl::IsUnavailable(ended));
  });
}

}  // namespace
}  // namespace fairlead::control
