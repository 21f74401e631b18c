#include <catch2/catch.hpp>

#include "absl/strings/match.h"
#include "datapath/libbpf_log.h"
#include "refused.skel.h"

namespace fairlead::test {

TEST_CASE("the verifier's reason is in the end of the log", "[datapath][log]") {
  const datapath::LibbpfLog log;
  CHECK(refused__open_and_load() == nullptr);
  const std::string said = log.Tail(4);
  CAPTURE(said);
  CHECK(absl::StrContains(said, "invalid access to packet"));
  CHECK_FALSE(absl::StrContains(said, "\n"));
}

}  // namespace fairlead::test
