#include "core/ownership.h"

#include <catch2/catch.hpp>

namespace fairlead::core {
namespace {

base::MonoTime At(double seconds) {
  return base::MonoTime() + absl::Seconds(seconds);
}

constexpr uint32_t kOwned = 3, kFree = 4;

AgentReport Report(double begun, double owned_begun) {
  AgentReport report;
  report.presence = AgentReport::Presence::kPresent;
  report.begun = At(begun);
  report.owned = RowSet(256);
  report.owned->Add(kOwned);
  report.owned_begun = At(owned_begun);
  return report;
}

TEST_CASE("two scans after the last offer and its window prove a row free",
          "[core][ownership]") {
  CHECK(ProvesNoOwner(Report(105, 104), kFree, At(100)));
  CHECK_FALSE(ProvesNoOwner(Report(105, 104), kOwned, At(100)));
  CHECK_FALSE(ProvesNoOwner(Report(105, 103), kFree, At(100)));
  CHECK_FALSE(ProvesNoOwner(Report(105, 90), kFree, At(100)));
}

TEST_CASE("without a report that counts nothing is proven",
          "[core][ownership]") {
  AgentReport report = Report(105, 104);
  report.presence = AgentReport::Presence::kLost;
  CHECK_FALSE(ProvesNoOwner(report, kFree, At(100)));
  report = Report(105, 104);
  report.owned_begun.reset();
  CHECK_FALSE(ProvesNoOwner(report, kFree, At(100)));
  report = Report(105, 104);
  report.owned.reset();
  CHECK_FALSE(ProvesNoOwner(report, kFree, At(100)));
}

TEST_CASE("SYN cookies make the window long", "[core][ownership]") {
  AgentReport report = Report(205, 204);
  report.last_syn_cookie = At(101);
  CHECK_FALSE(ProvesNoOwner(report, kFree, At(100)));
  report.owned_begun = At(251);
  CHECK(ProvesNoOwner(report, kFree, At(100)));
  // Those of long before the offer have run out.
  report = Report(205, 204);
  report.last_syn_cookie = At(49);
  CHECK(ProvesNoOwner(report, kFree, At(200)));
  report.last_syn_cookie = At(51);
  CHECK_FALSE(ProvesNoOwner(report, kFree, At(200)));
}

}  // namespace
}  // namespace fairlead::core
