#include "agent/syn_cookies.h"

#include <catch2/catch.hpp>

namespace fairlead::agent {
namespace {

constexpr char kNetstat[] =
    "TcpExt: SyncookiesSent SyncookiesRecv SyncookiesFailed\n"
    "TcpExt: 17 3 4\n"
    "IpExt: InNoRoutes SyncookiesSent\n"
    "IpExt: 5 99\n";

base::MonoTime At(int seconds) {
  return base::MonoTime() + absl::Seconds(seconds);
}

TEST_CASE("the kernel's counter of SYN cookies is found", "[agent][cookies]") {
  CHECK(*ParseTcpCounter(kNetstat, "SyncookiesSent") == 17);
  CHECK(absl::IsDataLoss(ParseTcpCounter("", "SyncookiesSent").status()));
  CHECK(absl::IsDataLoss(
      ParseTcpCounter("TcpExt: A B\nTcpExt: 1 2\n", "SyncookiesSent")
          .status()));
  CHECK(absl::IsDataLoss(
      ParseTcpCounter("TcpExt: SyncookiesSent\nTcpExt: x\n", "SyncookiesSent")
          .status()));
  CHECK(absl::IsDataLoss(
      ParseTcpCounter("TcpExt: SyncookiesSent\n", "SyncookiesSent").status()));
}

TEST_CASE("a counter that grows tells of a cookie", "[agent][cookies]") {
  SynCookies cookies;
  cookies.OnCount(0, At(1));
  CHECK_FALSE(cookies.last_sent().has_value());
  cookies.OnCount(5, At(2));
  CHECK(cookies.last_sent() == At(2));
  cookies.OnCount(5, At(3));
  CHECK(cookies.last_sent() == At(2));
  SynCookies restarted;
  restarted.OnCount(5, At(9));
  CHECK(restarted.last_sent() == At(9));
}

}  // namespace
}  // namespace fairlead::agent
