TEST_CASE("a drain ends", "[core][.]") {}      // <- finding
TEST_CASE("a drain begins", "[.slow][core]") {}  // <- finding
TEST_CASE("a drain is kept",
          "[core][!mayfail]") {}               // <- finding
TEST_CASE("a drain is lost", "[!hide]") {}     // <- finding
