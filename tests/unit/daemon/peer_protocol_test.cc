#include "daemon/peer_protocol.h"

#include <catch2/catch.hpp>
#include <string>

#include "daemon/agent_protocol.h"

namespace fairlead::daemon {
namespace {

core::DesiredState SomeState() {
  core::DesiredState desired;
  core::Service& service = desired.services["ws"];
  service.vip = *base::Endpoint::Parse("198.51.100.10:443");
  service.rows = 1024;
  service.backends["b1"] = {
      .id = 7, .name = "b1", .address = *base::IpAddress::Parse("192.0.2.7")};
  return desired;
}

TEST_CASE("what an LB host tells of its tables is what the other reads",
          "[daemon][peers]") {
  PeerTables tables = TablesOf(SomeState(), "lb1", 3);
  CHECK(tables.digests.size() == 1);
  tables.stuck["198.51.100.10:443"] = {*base::IpAddress::Parse("192.0.2.7"),
                                       *base::IpAddress::Parse("2001:db8::7")};
  const absl::StatusOr<PeerTables> read = DecodeTables(EncodeTables(tables));
  REQUIRE(read.ok());
  CHECK(*read == tables);
  for (const char* const wrong :
       {"", "[]", R"({"lb_id": 1, "tables": {}})",
        R"({"node": "a", "lb_id": -1, "tables": {}})",
        R"({"node": "a", "lb_id": 65536, "tables": {}})",
        R"({"node": "a", "lb_id": 1, "tables": {"v": 1}})",
        R"({"node": "a", "lb_id": 1, "tables": {}, "stuck": []})",
        R"({"node": "a", "lb_id": 1, "tables": {}, "stuck": {"v": "::1"}})",
        R"({"node": "a", "lb_id": 1, "tables": {}, "stuck": {"v": [1]}})",
        R"({"node": "a", "lb_id": 1, "tables": {}, "stuck": {"v": ["x"]}})"}) {
    CHECK_FALSE(DecodeTables(wrong).ok());
  }
}

TEST_CASE(
    "a table's digest is of whom flows are offered to, and of nothing else",
    "[daemon][peers]") {
  core::DesiredState desired = SomeState();
  core::Service& service = desired.services["ws"];
  const std::string before = TableDigest(service);
  const auto changed = [&] { return TableDigest(service) != before; };
  // Each host numbers and names for itself, and drains by itself.
  service.id = 9;
  service.backends["b1"].id = 8;
  service.backends["b1"].name = "other";
  service.backends["b1"].admin = core::Admin::kDrain;
  service.policy = core::Policy::kLeastConn;
  service.need = 4;
  CHECK_FALSE(changed());
  service.policy = core::Policy::kSource;
  CHECK(changed());
  service.policy = core::Policy::kHash;
  service.rows = 2048;
  CHECK(changed());
  service.rows = 1024;
  service.backends["b1"].weight = 50;
  CHECK(changed());
  service.backends["b1"].weight = 100;
  service.backends["b1"].leaving = true;
  CHECK(changed());
}

}  // namespace
}  // namespace fairlead::daemon
