#include "agent/tables.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "fairlead/abi/maps.h"

namespace fairlead::agent {
namespace {

base::IpAddress Ip(absl::string_view text) {
  return *base::IpAddress::Parse(text);
}
base::Endpoint Vip(absl::string_view text) {
  return *base::Endpoint::Parse(text);
}

// What the tests vary, with an identity of one LB host and this host.
struct Situation {
  Documents documents;
  Identity identity = {.own_addresses = {Ip("192.0.2.1")},
                       .lbs = {Ip("203.0.113.3")}};
  NextHops next_hops;
  absl::btree_set<uint16_t> silent;
  Tables current;

  absl::StatusOr<Tables> Desired() const {
    const absl::btree_set<uint16_t> orphans = FindOrphans(current, documents);
    return DesiredTables({.documents = documents,
                          .identity = identity,
                          .next_hops = next_hops,
                          .orphans = orphans,
                          .silent = silent},
                         current);
  }
  Tables Value() const {
    const absl::StatusOr<Tables> desired = Desired();
    REQUIRE(desired.ok());
    return *desired;
  }
  // What the tables hold once the documents are in force.
  void Settle() { current = Value(); }
};

PeerDocument Document(uint16_t lb_id, std::vector<std::string> vips,
                      std::vector<std::pair<uint16_t, std::string>> peers) {
  PeerDocument document{
      .lb_id = lb_id, .digest = "aa", .vips = {}, .peers = {}};
  for (const std::string& vip : vips)
    document.vips.push_back({.vip = Vip(vip), .rows = 256, .table = "aa"});
  for (const auto& [id, address] : peers)
    document.peers.push_back({id, Ip(address)});
  std::sort(document.vips.begin(), document.vips.end(),
            [](const PeerVip& a, const PeerVip& b) { return a.vip < b.vip; });
  return document;
}

TEST_CASE("peers, sources and self follow from the document",
          "[agent][tables]") {
  Situation s;
  s.documents[1] =
      Document(1, {"198.51.100.10:443"}, {{1, "192.0.2.1"}, {2, "192.0.2.2"}});
  const Tables tables = s.Value();
  CHECK(tables.peers.at({1, 1}).self);
  CHECK_FALSE(tables.peers.at({1, 2}).self);
  CHECK(tables.vips.at(Vip("198.51.100.10:443")).index == 0);
  REQUIRE(tables.sources.size() == 2);
  CHECK(tables.sources.at(Ip("203.0.113.3")) == SourceKind::kLb);
  CHECK(tables.sources.at(Ip("192.0.2.2")) == SourceKind::kBackend);
}

TEST_CASE("a VIP stays while any LB host lists it", "[agent][tables]") {
  Situation s;
  s.documents[1] = Document(1, {"198.51.100.10:443", "198.51.100.11:443"}, {});
  s.documents[2] = Document(2, {"198.51.100.10:443"}, {});
  s.Settle();
  CHECK(s.current.vips.size() == 2);
  s.documents[1] = Document(1, {}, {});
  s.Settle();
  REQUIRE(s.current.vips.size() == 1);
  CHECK(s.current.vips.contains(Vip("198.51.100.10:443")));
  s.documents[2] = Document(2, {}, {});
  CHECK(s.Value().vips.empty());
}

TEST_CASE("a VIP keeps its index while others come and go", "[agent][tables]") {
  Situation s;
  s.documents[1] = Document(
      1, {"198.51.100.10:1", "198.51.100.10:2", "198.51.100.10:3"}, {});
  s.Settle();
  const uint32_t third = s.current.vips.at(Vip("198.51.100.10:3")).index;
  const uint32_t first = s.current.vips.at(Vip("198.51.100.10:1")).index;
  s.documents[1] = Document(1, {"198.51.100.10:3", "198.51.100.10:4"}, {});
  const Tables next = s.Value();
  CHECK(next.vips.at(Vip("198.51.100.10:3")).index == third);
  // Not one that a VIP which is still there has.
  CHECK(next.vips.at(Vip("198.51.100.10:4")).index != first);
  s.current = next;
  s.documents[1] = Document(
      1, {"198.51.100.10:3", "198.51.100.10:4", "198.51.100.10:5"}, {});
  CHECK(s.Value().vips.at(Vip("198.51.100.10:5")).index == first);
}

TEST_CASE("the next hop of an address is that of all ids with it",
          "[agent][tables]") {
  Situation s;
  s.documents[1] = Document(1, {}, {{7, "192.0.2.2"}});
  s.documents[2] = Document(2, {}, {{9, "192.0.2.2"}, {10, "192.0.2.3"}});
  s.next_hops[Ip("192.0.2.2")] = {.destination_mac = {2, 0, 0, 0, 0, 1},
                                  .source_mac = {2, 0, 0, 0, 0, 2},
                                  .egress = 5};
  const Tables tables = s.Value();
  REQUIRE(tables.peers.at({1, 7}).next_hop.has_value());
  CHECK(tables.peers.at({1, 7}).next_hop->egress == 5);
  CHECK(tables.peers.at({2, 9}).next_hop == tables.peers.at({1, 7}).next_hop);
  CHECK_FALSE(tables.peers.at({2, 10}).next_hop.has_value());
}

TEST_CASE("what an LB host without a stored document said is kept",
          "[agent][tables]") {
  Situation s;
  s.documents[1] = Document(1, {"198.51.100.10:443"}, {{1, "192.0.2.2"}});
  s.documents[2] = Document(2, {"198.51.100.11:443"}, {{1, "192.0.2.3"}});
  s.Settle();
  const Tables before = s.current;
  // The file of 2 is lost; 1 has something new.
  s.documents.erase(2);
  s.documents[1] = Document(1, {"198.51.100.12:443"}, {{1, "192.0.2.4"}});
  s.Settle();
  CHECK(s.current.vips.contains(Vip("198.51.100.11:443")));
  CHECK(s.current.vips.contains(Vip("198.51.100.12:443")));
  CHECK(s.current.peers.at({2, 1}) == before.peers.at({2, 1}));
  CHECK(s.current.sources.contains(Ip("192.0.2.3")));
  // It says it again, and so what nobody says goes.
  s.documents[2] = Document(2, {"198.51.100.11:443"}, {{1, "192.0.2.3"}});
  const Tables after = s.Value();
  CHECK(after.vips.size() == 2);
  CHECK_FALSE(after.vips.contains(Vip("198.51.100.10:443")));
}

TEST_CASE("more VIPs of all LB hosts than the table has are refused",
          "[agent][tables]") {
  Situation s;
  PeerDocument one{.lb_id = 1, .digest = "a", .vips = {}, .peers = {}};
  for (uint16_t port = 1; port <= FL_AGENT_MAX_VIPS; ++port)
    one.vips.push_back({.vip = {Ip("198.51.100.10"), port}, .rows = 256});
  s.documents[1] = one;
  s.Settle();
  s.documents[2] = Document(2, {"198.51.100.11:443"}, {});
  const absl::StatusOr<Tables> desired = s.Desired();
  CHECK(desired.status().code() == absl::StatusCode::kResourceExhausted);
  CHECK(desired.status().message() ==
        "vips: 4097 entries of all LB hosts together; the limit is 4096");
}

// The longest-lived promise: applies every prefix of the plan and looks.
void CheckPrefixes(const Tables& from, const Tables& to) {
  Tables tables = from;
  for (const Step& step : PlanSteps(from, to)) {
    ApplyStep(step, tables);
    for (const auto& [vip, line] : to.vips)
      if (from.vips.contains(vip)) CHECK(tables.vips.contains(vip));
    for (const auto& [key, line] : to.peers)
      if (from.peers.contains(key)) CHECK(tables.peers.contains(key));
    for (const auto& [address, kind] : to.sources)
      if (from.sources.contains(address))
        CHECK(tables.sources.contains(address));
    CHECK(tables.vips.size() <= FL_AGENT_MAX_VIPS);
  }
  CHECK(tables == to);
}

TEST_CASE("every prefix of a plan holds what stays, and its end is the goal",
          "[agent][tables]") {
  Situation s;
  s.documents[1] = Document(1, {"198.51.100.10:443", "198.51.100.11:443"},
                            {{1, "192.0.2.1"}, {2, "192.0.2.2"}});
  s.Settle();
  const Tables before = s.current;
  s.documents[1] = Document(1, {"198.51.100.11:443", "198.51.100.12:443"},
                            {{2, "192.0.2.22"}, {3, "192.0.2.3"}});
  const Tables after = s.Value();
  CheckPrefixes(before, after);
  CheckPrefixes(after, before);
  CheckPrefixes({}, after);
  CheckPrefixes(after, {});
  CHECK(PlanSteps(after, after).empty());
}

TEST_CASE("new entries come before old ones go", "[agent][tables]") {
  Situation s;
  s.documents[1] = Document(1, {"198.51.100.10:443"}, {{1, "192.0.2.2"}});
  s.Settle();
  const Tables before = s.current;
  s.documents[1] = Document(1, {"198.51.100.11:443"}, {{2, "192.0.2.3"}});
  const std::vector<Step> steps = PlanSteps(before, s.Value());
  REQUIRE(steps.size() == 6);
  CHECK(std::holds_alternative<PutSource>(steps[0]));
  CHECK(std::holds_alternative<PutPeer>(steps[1]));
  CHECK(std::holds_alternative<PutVip>(steps[2]));
  CHECK(std::holds_alternative<RemoveVip>(steps[3]));
  CHECK(std::holds_alternative<RemovePeer>(steps[4]));
  CHECK(std::holds_alternative<RemoveSource>(steps[5]));
}

TEST_CASE("LB hosts that differ about a service's table dispute it",
          "[agent][tables]") {
  Situation s;
  const auto line = [&s] {
    return s.Value().vips.at(Vip("198.51.100.10:443"));
  };
  s.documents[1] = Document(1, {"198.51.100.10:443"}, {});
  s.documents[2] = Document(2, {"198.51.100.10:443"}, {});
  CHECK_FALSE(line().disputed);
  s.documents[1].vips[0].table = "bb";
  s.documents[1].vips[0].rows = 512;
  CHECK(line().disputed);
  CHECK(line().rows == 512);
  // The word of one that has been silent for long does not count.
  s.silent = {1};
  CHECK_FALSE(line().disputed);
  CHECK(line().rows == 256);
  s.documents.erase(2);
  CHECK(line().rows == 512);
}

TEST_CASE("one LB host without hop lists is enough to take such packets",
          "[agent][tables]") {
  Situation s;
  s.documents[1] = Document(1, {"198.51.100.10:443"}, {});
  s.documents[2] = Document(2, {"198.51.100.10:443"}, {});
  CHECK_FALSE(s.Value().vips.at(Vip("198.51.100.10:443")).plain);
  s.documents[2].vips[0].hop_lists = false;
  s.silent = {2};
  CHECK(s.Value().vips.at(Vip("198.51.100.10:443")).plain);
}

TEST_CASE("a full table makes room before it takes more", "[agent][tables]") {
  Situation s;
  PeerDocument full{.lb_id = 1, .digest = "a", .vips = {}, .peers = {}};
  for (uint16_t port = 1; port <= FL_AGENT_MAX_VIPS; ++port)
    full.vips.push_back({.vip = {Ip("198.51.100.10"), port}, .rows = 256});
  s.documents[1] = full;
  s.Settle();
  const Tables before = s.current;
  s.documents[1].vips.front().vip = Vip("198.51.100.9:1");
  const Tables after = s.Value();
  CheckPrefixes(before, after);
  // The index of the one that leaves.
  CHECK(after.vips.at(Vip("198.51.100.9:1")).index ==
        before.vips.at(Vip("198.51.100.10:1")).index);
}

}  // namespace
}  // namespace fairlead::agent
