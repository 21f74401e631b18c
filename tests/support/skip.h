// A skip is never silent: ctest sees "SKIPPED: " and says so, and with
// FL_TEST_NO_SKIP=1 a skip is a failure.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>

namespace fairlead::test {

[[noreturn]] inline void SkipAll(const std::string& why) {
  const char* forbidden = std::getenv("FL_TEST_NO_SKIP");
  const bool fail = forbidden != nullptr && std::string(forbidden) == "1";
  std::printf("SKIPPED: %s\n", why.c_str());
  std::exit(fail ? EXIT_FAILURE : EXIT_SUCCESS);
}

}  // namespace fairlead::test
