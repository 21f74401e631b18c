#include "core/row_set.h"

#include <catch2/catch.hpp>

namespace fairlead::core {
namespace {

TEST_CASE("a row set holds what was added", "[core][row_set]") {
  RowSet set(256);
  CHECK(set.Count() == 0);
  for (const uint32_t row : {0u, 63u, 64u, 255u}) set.Add(row);
  set.Add(63);
  CHECK(set.Count() == 4);
  CHECK(set.Contains(255));
  CHECK_FALSE(set.Contains(1));
  CHECK_FALSE(set.Contains(256));
  CHECK_FALSE(RowSet().Contains(0));
}

TEST_CASE("a row set survives being written and read again",
          "[core][row_set]") {
  RowSet set(256);
  for (uint32_t row = 0; row < 256; row += 7) set.Add(row);
  const auto again = RowSet::Parse(set.ToString(), 256);
  REQUIRE(again.ok());
  CHECK(*again == set);
  RowSet first(8);
  first.Add(0);
  first.Add(5);
  CHECK(first.ToString() == "12");
}

TEST_CASE("what is no row set is refused", "[core][row_set]") {
  CHECK(RowSet::Parse("", 0).ok());
  CHECK_FALSE(RowSet::Parse("0", 8).ok());
  CHECK_FALSE(RowSet::Parse("000", 8).ok());
  CHECK_FALSE(RowSet::Parse("0G", 8).ok());
  CHECK_FALSE(RowSet::Parse("0A", 8).ok());
  CHECK_FALSE(RowSet::Parse(" 0", 8).ok());
}

}  // namespace
}  // namespace fairlead::core
