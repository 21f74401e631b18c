// Who may open connections, over the API.
#include <catch2/catch.hpp>
#include <string>

#include "core/sources.h"
#include "tests/unit/control/fixture.h"

namespace fairlead::control {
namespace {

using Catch::Matchers::Contains;

constexpr char kSources[] = "/v1/services/ws/sources";
constexpr char kDeny[] = "/v1/services/ws/sources/deny";
constexpr char kAllow[] = "/v1/services/ws/sources/allow";
constexpr char kUnlist[] = "/v1/services/ws/sources/unlist";

TEST_CASE("lists are durable, in the tables and told", "[control][api]") {
  ApiFixture fixture;
  fixture.Run([&]() -> Task<void> {
    co_await fixture.AddService();
    const Json none = co_await fixture.Good("GET", kSources);
    CHECK(none.dump() ==
          R"({"generation":1,"service":"ws","sources":{"allow":[],"deny":[],)"
          R"("others":"allow","denied":0,"over_rate":0,)"
          R"("over_source_conns":0,"uncounted":0}})");
    co_await fixture.Good("POST", kDeny,
                          R"({"prefixes": ["203.0.113.0/24", "192.0.2.7"]})");
    const Json allowed = co_await fixture.Good(
        "POST", kAllow, R"({"prefixes": ["203.0.113.64/26"]})");
    CHECK(allowed["generation"] == 3);
    const Json lists = co_await fixture.Good("GET", kSources);
    CHECK(lists["sources"].dump() ==
          R"({"allow":["203.0.113.64/26"],"deny":["192.0.2.7/32",)"
          R"("203.0.113.0/24"],"others":"deny","denied":0,)"
          R"("over_rate":0,"over_source_conns":0,"uncounted":0})");
    const Json shown = co_await fixture.Good("GET", "/v1/services/ws");
    CHECK(shown["service"]["sources"].dump() == R"({"allow":1,"deny":2})");
    CHECK(fixture.Durable() == fixture.desired());
    const core::SourceList& desired =
        fixture.desired().services.at("ws").sources;
    CHECK(desired.size() == 3);
    CHECK(fixture.tables().services().begin()->second.sources == desired);

    co_await fixture.Good("POST", kUnlist,
                          R"({"prefixes": ["203.0.113.64/26"]})");
    co_await fixture.Good("POST", kUnlist, R"({"all": true})");
    CHECK(fixture.desired().services.at("ws").sources.empty());
    CHECK(fixture.Durable() == fixture.desired());
  });
}

TEST_CASE("a list that makes no sense changes nothing", "[control][api]") {
  ApiFixture fixture;
  fixture.Run([&]() -> Task<void> {
    co_await fixture.AddService();
    const std::string bits = co_await fixture.Refused(
        400, "invalid_argument", "POST", kDeny,
        R"({"prefixes": ["192.0.2.0/24", "203.0.113.7/24"]})");
    CHECK_THAT(bits, Contains("\"prefixes[1]\"") &&
                         Contains("write 203.0.113.0/24, or 203.0.113.7"));
    const std::string family =
        co_await fixture.Refused(400, "invalid_argument", "POST", kDeny,
                                 R"({"prefixes": ["2001:db8::/32"]})");
    CHECK_THAT(family, Contains("whose clients have IPv4 addresses"));
    const std::string type = co_await fixture.Refused(
        400, "invalid_argument", "POST", kDeny, R"({"prefixes": [7]})");
    CHECK_THAT(type, Contains("prefixes[0]"));
    const std::string nothing =
        co_await fixture.Refused(400, "invalid_argument", "POST", kDeny, "{}");
    CHECK_THAT(nothing, Contains("no prefix is given"));
    const std::string absent = co_await fixture.Refused(
        404, "not_found", "POST", kUnlist, R"({"prefixes": ["192.0.2.0/24"]})");
    CHECK_THAT(absent, Contains("on no list"));
    const std::string service = co_await fixture.Refused(
        404, "not_found", "GET", "/v1/services/wz/sources");
    CHECK_THAT(service, Contains("ws"));
    CHECK(fixture.desired().generation == 1);
  });
}

TEST_CASE("operators change lists, viewers read them", "[control][api]") {
  ApiFixture fixture;
  fixture.Run([&]() -> Task<void> {
    co_await fixture.AddService();
    const event::PeerCredentials viewer = {
        .pid = 1, .uid = 7, .gid = kViewers, .groups = {}};
    const event::PeerCredentials operator_ = {
        .pid = 1, .uid = 7, .gid = kOperators, .groups = {}};
    const std::string body = R"({"prefixes": ["192.0.2.0/24"]})";
    co_await fixture.Refused(403, "permission_denied", "POST", kDeny, body,
                             viewer);
    const http::Response read =
        co_await fixture.Call("GET", kSources, "", viewer);
    CHECK(read.status == 200);
    const http::Response done =
        co_await fixture.Call("POST", kDeny, body, operator_);
    CHECK(done.status == 200);
  });
}

}  // namespace
}  // namespace fairlead::control
