#include "tests/support/fake_datapath.h"

#include <catch2/catch.hpp>

#include "tests/support/datapath_conformance.h"

namespace fairlead::testing {
namespace {

TEST_CASE("the fake datapath keeps the promises of a datapath",
          "[core][datapath]") {
  constexpr core::TableSizes kSizes = {
      .services = 8, .backends = 16, .rows = 1024, .flow_buckets = 1};
  FakeDatapath datapath(kSizes);
  test::CheckDatapathConformance(datapath, kSizes);
}

}  // namespace
}  // namespace fairlead::testing
