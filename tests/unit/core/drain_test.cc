#include "core/drain.h"

#include <catch2/catch.hpp>

namespace fairlead::core {
namespace {

using Presence = AgentReport::Presence;

base::MonoTime At(int seconds) {
  return base::MonoTime::FromNanoseconds(int64_t{seconds} * 1'000'000'000);
}

AgentReport Report(uint64_t scan, int begun, uint64_t live_sockets,
                   const std::string& boot_id = "b1",
                   Presence presence = Presence::kPresent) {
  return {.presence = presence,
          .live_sockets = live_sockets,
          .scan = scan,
          .boot_id = boot_id,
          .begun = At(begun)};
}

TEST_CASE("drained takes two empty scans that began after the window",
          "[core][drain]") {
  DrainWatch watch;
  watch.Begin(At(10));
  watch.OnReport(Report(1, 11, 0));
  watch.OnReport(Report(2, 13, 0));  // not after the window of 3 s
  CHECK(!watch.drained());
  watch.OnReport(Report(3, 14, 0));
  CHECK(!watch.drained());
  watch.OnReport(Report(3, 14, 0));  // the same scan again
  CHECK(!watch.drained());
  watch.OnReport(Report(4, 15, 0));
  CHECK(watch.drained());
}

TEST_CASE("a socket, a silence or a boot between two empty scans starts anew",
          "[core][drain]") {
  const AgentReport between =
      GENERATE(Report(2, 21, 1), Report(2, 21, 0, "b1", Presence::kLost),
               Report(2, 21, 0, "b2"));
  DrainWatch watch;
  watch.Begin(At(10));
  watch.OnReport(Report(1, 20, 0));
  watch.OnReport(between);
  CHECK(!watch.drained());
  watch.OnReport(Report(3, 22, 0));
  CHECK(!watch.drained());
  watch.OnReport(Report(4, 23, 0));
  CHECK(watch.drained());
}

TEST_CASE("drained outlives the agent but not a socket or new flows",
          "[core][drain]") {
  DrainWatch watch;
  watch.Begin(At(10));
  watch.OnReport(Report(1, 20, 0));
  watch.OnReport(Report(2, 21, 0));
  watch.OnReport(Report(0, 0, 0, "", Presence::kLost));
  CHECK(watch.drained());
  SECTION("a socket") {
    watch.OnReport(Report(3, 30, 1));
    CHECK(!watch.drained());
  }
  SECTION("new flows") {
    watch.End();
    CHECK(!watch.drained());
    watch.Begin(At(40));
    CHECK(!watch.drained());
  }
}

TEST_CASE("without a drain nothing is drained", "[core][drain]") {
  DrainWatch watch;
  watch.OnReport(Report(1, 20, 0));
  watch.OnReport(Report(2, 21, 0));
  CHECK(!watch.drained());
}

TEST_CASE(
    "connections are the agent's count while it answers, else the flow "
    "table's",
    "[core][drain]") {
  const LoadReport load = {.live = 3, .pending = 2};
  const Connections by_agent = CountConnections(Report(1, 1, 7), load);
  CHECK(by_agent.by_agent);
  CHECK(by_agent.count == 7);
  const Connections by_table =
      CountConnections(Report(1, 1, 7, "b1", Presence::kLost), load);
  CHECK(!by_table.by_agent);
  CHECK(by_table.count == 5);
}

TEST_CASE(
    "progress is the share of the first connections that is gone, "
    "rounded down",
    "[core][drain]") {
  const auto text = [](uint64_t start, uint64_t now, bool by_agent = true) {
    return DrainText(DrainRecord{.since = {}, .connections_at_start = start},
                     {.count = now, .by_agent = by_agent});
  };
  CHECK(text(1200, 752) == "draining 37%");
  CHECK(text(1200, 1) == "draining 99%");
  CHECK(text(1200, 0) == "draining 100%");
  CHECK(text(1200, 1300) == "draining 0%");
  CHECK(text(0, 0) == "draining");
  CHECK(text(10, 5, false) == "draining 50%");
  CHECK(text(10, 0, false) == "draining, no flows seen here");
  CHECK(DrainText(std::nullopt, {.count = 4, .by_agent = true}) == "draining");
}

}  // namespace
}  // namespace fairlead::core
