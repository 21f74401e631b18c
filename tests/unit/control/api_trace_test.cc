#include <deque>

#include "absl/strings/str_cat.h"
#include "tests/unit/control/fixture.h"

namespace fairlead::control {
namespace {

using Catch::Contains;

class FakeTrace : public Trace {
 public:
  explicit FakeTrace(std::deque<TraceBatch> batches, bool* ended = nullptr)
      : batches_(std::move(batches)), ended_(ended) {}
  FakeTrace(const FakeTrace&) = delete;
  FakeTrace& operator=(const FakeTrace&) = delete;
  ~FakeTrace() override {
    if (ended_ != nullptr) *ended_ = true;
  }

  Task<absl::StatusOr<TraceBatch>> Next() override {
    if (batches_.empty()) co_return absl::CancelledError("no more");
    TraceBatch batch = std::move(batches_.front());
    batches_.pop_front();
    co_return batch;
  }

 private:
  std::deque<TraceBatch> batches_;
  bool* ended_;
};

class Recorder : public http::BodyWriter {
 public:
  Task<absl::Status> Write(absl::string_view data) override {
    absl::StrAppend(&text, data);
    co_return absl::OkStatus();
  }
  std::string text;
};

TracedPacket PacketFor(core::ServiceId service) {
  return {.time = absl::FromUnixNanos(1'500'000'000),
          .verdict = FL_LB_TX_HIT,
          .service = service,
          .in = {"eth0", 60, "\x01\x02\x03", "in"},
          .out = TracedFrame{"eth1", 132, "\x04", "out"}};
}

TEST_CASE("traced packets are told line by line, so many as were asked for",
          "[control][api][trace]") {
  ApiFixture fixture;
  fixture.Run([&]() -> Task<void> {
    co_await fixture.AddService();
    const core::ServiceId id = fixture.desired().services.at("ws").id;
    TracedPacket passed = PacketFor(0);
    passed.verdict = FL_LB_PASS_NOT_IP;
    passed.out.reset();
    bool ended = false;
    fixture.host().trace = std::make_unique<FakeTrace>(
        std::deque<TraceBatch>{{.packets = {PacketFor(id)}, .missed = 0},
                               {.packets = {}, .missed = 7},
                               {.packets = {passed}, .missed = 7}},
        &ended);
    http::Response response = co_await fixture.Call(
        "GET",
        "/v1/trace?src=203.0.113.0/24&dst=198.51.100.10:443&service=ws&"
        "verdict=TX_HIT&count=2");
    REQUIRE(response.status == 200);
    REQUIRE(response.stream != nullptr);
    Recorder recorder;
    event::ExpectOk(co_await response.stream(recorder));
    CHECK(recorder.text ==
          "{\"missed\":0}\n"
          R"({"time":"1970-01-01T00:00:01.5Z","verdict":"TX_HIT",)"
          R"("service":"ws","in":{"interface":"eth0","length":60,)"
          R"("text":"in","bytes":"AQID"},"out":{"interface":"eth1",)"
          R"("length":132,"text":"out","bytes":"BA=="}})"
          "\n{\"missed\":7}\n"
          R"({"time":"1970-01-01T00:00:01.5Z","verdict":"PASS_NOT_IP",)"
          R"("service":null,"in":{"interface":"eth0","length":60,)"
          R"("text":"in","bytes":"AQID"},"out":null})"
          "\n");
    const TraceQuery& query = fixture.host().traced;
    CHECK(query.client.prefix.address.ToString() == "203.0.113.0");
    CHECK(query.client.prefix.bits == 96 + 24);
    CHECK(query.client.port == 0);
    CHECK(query.vip.prefix.address.ToString() == "198.51.100.10");
    CHECK(query.vip.prefix.bits == 128);
    CHECK(query.vip.port == 443);
    CHECK(query.service == id);
    CHECK(query.verdict == uint16_t{FL_LB_TX_HIT});
    CHECK(query.count == 2);
    response.stream = nullptr;
    CHECK(ended);
  });
}

TEST_CASE("a trace of everything asks for everything",
          "[control][api][trace]") {
  ApiFixture fixture;
  fixture.Run([&]() -> Task<void> {
    fixture.host().trace =
        std::make_unique<FakeTrace>(std::deque<TraceBatch>{});
    const http::Response response = co_await fixture.Call("GET", "/v1/trace");
    REQUIRE(response.status == 200);
    CHECK(fixture.host().traced.client.prefix.bits == 0);
    CHECK(fixture.host().traced.vip.prefix.bits == 0);
    CHECK(!fixture.host().traced.service.has_value());
    CHECK(!fixture.host().traced.verdict.has_value());
  });
}

TEST_CASE("a trace that cannot be is refused", "[control][api][trace]") {
  ApiFixture fixture;
  fixture.Run([&]() -> Task<void> {
    for (const char* query :
         {"src=web", "src=203.0.113.7/33", "src=203.0.113.7/24",
          "src=203.0.113.7/", "src=2001:db8::/129", "dst=198.51.100.10:0",
          "dst=", "count=0", "count=x", "cuont=1"}) {
      INFO(query);
      const std::string message = co_await fixture.Refused(
          400, "invalid_argument", "GET", absl::StrCat("/v1/trace?", query));
      CHECK_THAT(message, Contains(std::string(query).substr(0, 3)));
    }
    const std::string service = co_await fixture.Refused(
        404, "not_found", "GET", "/v1/trace?service=wss");
    CHECK_THAT(service, Contains("no service \"wss\""));
    const std::string verdict = co_await fixture.Refused(
        404, "not_found", "GET", "/v1/trace?verdict=TX_HITT");
    CHECK_THAT(verdict, Contains("TX_HIT"));
    const std::string busy =
        co_await fixture.Refused(412, "precondition", "GET", "/v1/trace");
    CHECK_THAT(busy, Contains("busy"));
  });
}

}  // namespace
}  // namespace fairlead::control
