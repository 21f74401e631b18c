// The API on a real loop and a real folder, with the real controller over
// tables that are plain memory, and a host that tells what the test says.
#pragma once

#include <catch2/catch.hpp>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_split.h"
#include "control/api.h"
#include "control/state_codec.h"
#include "tests/support/fake_datapath.h"
#include "tests/unit/event/run_on_loop.h"
#include "tests/unit/event/temp_folder.h"

namespace fairlead::control {

using event::Task;

// gid of the group with each role.
inline constexpr gid_t kViewers = 1001;
inline constexpr gid_t kOperators = 1002;

class FakeHost : public ControlHost {
 public:
  NodeStatus Status() const override { return status; }
  std::vector<std::string> Alarms() const override { return alarms; }
  std::string WhyUnsettled(const core::Service&) const override {
    return unsettled;
  }
  std::vector<uint64_t> VerdictCounts() const override { return verdicts; }
  std::vector<uint64_t> CheckVerdictCounts() const override {
    return check_verdicts;
  }
  ServiceCounters CountersOf(core::ServiceId service) const override {
    return {.packets = service};
  }
  BackendCounters CountersOfBackend(core::BackendId backend) const override {
    return {.packets = backend};
  }
  BackendLine LineOf(core::BackendId backend) const override {
    const auto line = lines.find(backend);
    return line == lines.end() ? BackendLine() : line->second;
  }
  FlowFacts LookUp(const core::Service&, const Flow& flow) const override {
    last_flow = flow;
    return facts;
  }
  Task<SocketAnswers> AskSockets(SocketQuestion question) override {
    asked = std::move(question);
    co_return sockets;
  }
  Task<core::ProbeResult> RunCheck(core::ProbeRequest probe) override {
    checked = std::move(probe);
    co_return check_result;
  }
  absl::StatusOr<std::unique_ptr<Trace>> StartTrace(
      const TraceQuery& query) override {
    traced = query;
    if (trace == nullptr) return absl::FailedPreconditionError("busy");
    return std::move(trace);
  }
  Task<absl::Status> Detach(bool force) override {
    detaches.push_back(force);
    co_return detached;
  }

  NodeStatus status;
  std::vector<std::string> alarms;
  std::string unsettled;
  TraceQuery traced;
  std::unique_ptr<Trace> trace;
  std::optional<core::ProbeRequest> checked;
  core::ProbeResult check_result;
  SocketQuestion asked;
  SocketAnswers sockets;
  std::vector<uint64_t> verdicts;
  std::vector<uint64_t> check_verdicts;
  absl::btree_map<core::BackendId, BackendLine> lines;
  FlowFacts facts;
  mutable std::optional<Flow> last_flow;
  std::vector<bool> detaches;
  absl::Status detached;
};

class ApiFixture {
 public:
  ApiFixture()
      : loop_(event::MakeLoop()),
        tables_(kSizes),
        controller_(kSizes, tables_, [] { return 0.5; }),
        store_(*loop_, folder_.path()),
        log_(*loop_, folder_.path()),
        access_(event::ValueOf(Access::Resolve(
            990, {.viewer_group = std::to_string(kViewers),
                  .operator_group = std::to_string(kOperators)}))),
        changes_(*loop_),
        api_({.loop = *loop_,
              .changes = changes_,
              .controller = controller_,
              .host = host_,
              .store = store_,
              .events = log_,
              .access = access_,
              .on_changed = [this] { ++changed_; }}) {}

  // Runs `body`, a coroutine, on the API as it is after a start.
  template <typename Body>
  void Run(const Body& body) {
    event::RunOn(*loop_, [&]() -> Task<void> {
      event::ExpectOk(co_await log_.Open());
      event::ExpectOk(controller_.Adopt(event::ValueOf(co_await store_.Load()),
                                        loop_->Now()));
      co_await body();
    });
  }

  // As root, unless told otherwise.
  Task<http::Response> Call(std::string method, std::string target,
                            std::string body = "",
                            event::PeerCredentials who = {}) {
    http::Request request = {.method = std::move(method),
                             .body = std::move(body),
                             .peer_credentials = std::move(who)};
    const std::vector<std::string> parts = absl::StrSplit(target, '?');
    request.path = parts[0];
    if (parts.size() > 1) {
      for (const auto& pair :
           absl::StrSplit(parts[1], '&', absl::SkipEmpty())) {
        const std::pair<std::string, std::string> field =
            absl::StrSplit(pair, absl::MaxSplits('=', 1));
        request.query.insert(field);
      }
    }
    co_return co_await api_.Handle(std::move(request));
  }

  // The document of an answer that must be 200.
  Task<Json> Good(std::string method, std::string target,
                  std::string body = "") {
    const http::Response response =
        co_await Call(std::move(method), std::move(target), std::move(body));
    INFO(response.body);
    CHECK(response.status == 200);
    co_return event::ValueOf(ParseJson(response.body));
  }

  // The message of an answer that must be an error of this kind.
  Task<std::string> Refused(int status, std::string code, std::string method,
                            std::string target, std::string body = "",
                            event::PeerCredentials who = {}) {
    const http::Response response = co_await Call(
        std::move(method), std::move(target), std::move(body), std::move(who));
    INFO(response.body);
    CHECK(response.status == status);
    Json json = event::ValueOf(ParseJson(response.body));
    const Json error = json["error"];
    if (!error.is_object()) co_return "not refused";
    CHECK(error.value("code", "") == code);
    co_return error.value("message", "");
  }

  // A service "ws" whose backends take new flows at once.
  Task<void> AddService() {
    co_await Good("POST", "/v1/services",
                  R"({"name": "ws", "vip": "198.51.100.10:443", "rows": 256,
                      "agent_port": 0, "check": {"type": "none"}})");
  }
  Task<void> AddBackend(std::string name, std::string address) {
    co_await Good("POST", "/v1/services/ws/backends",
                  absl::StrCat(R"({"name": ")", name, R"(", "address": ")",
                               address, R"("})"));
  }

  // The desired state that a restart would find.
  core::DesiredState Durable() const {
    std::ifstream file(store_.path());
    const std::string content(std::istreambuf_iterator<char>(file), {});
    if (content.empty()) return {};
    return event::ValueOf(DecodeState(content));
  }
  const core::DesiredState& desired() const { return controller_.desired(); }

  event::Loop& loop() { return *loop_; }
  const event::TempFolder& folder() const { return folder_; }
  fairlead::testing::FakeDatapath& tables() { return tables_; }
  core::Controller& controller() { return controller_; }
  FakeHost& host() { return host_; }
  EventLog& log() { return log_; }
  event::Scope& changes() { return changes_; }
  Api& api() { return api_; }
  int changed() const { return changed_; }

 private:
  static constexpr core::TableSizes kSizes = {
      .services = 4, .backends = 16, .rows = 1024, .flow_buckets = 16};

  event::TempFolder folder_;
  std::unique_ptr<event::Loop> loop_;
  fairlead::testing::FakeDatapath tables_;
  core::Controller controller_;
  FakeHost host_;
  Store store_;
  EventLog log_;
  Access access_;
  event::Scope changes_;
  int changed_ = 0;
  Api api_;
};

}  // namespace fairlead::control
