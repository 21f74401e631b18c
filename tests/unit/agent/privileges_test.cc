#include "agent/privileges.h"

#include <catch2/catch.hpp>

namespace fairlead::agent {
namespace {

TEST_CASE("a process with all capabilities may run the agent",
          "[agent][privileges]") {
  CHECK(CheckPrivilegesOf("Name:\tx\nCapEff:\t000001ffffffffff\n").ok());
}

TEST_CASE("missing capabilities are named", "[agent][privileges]") {
  const absl::Status none = CheckPrivilegesOf("CapEff:\t0000000000000000\n");
  CHECK(none.code() == absl::StatusCode::kPermissionDenied);
  CHECK(none.message() ==
        "not permitted: needs CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON; missing "
        "CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON; run as root or through the "
        "systemd unit");
  // CAP_NET_ADMIN alone is bit 12.
  const absl::Status some = CheckPrivilegesOf("CapEff:\t0000000000001000\n");
  CHECK(some.message() ==
        "not permitted: needs CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON; missing "
        "CAP_BPF, CAP_PERFMON; run as root or through the systemd unit");
}

}  // namespace
}  // namespace fairlead::agent
