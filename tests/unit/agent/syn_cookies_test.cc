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
  fl_agent_state state = {};
  NoteSynCookies(0, At(1), state);
  CHECK_FALSE(LastSynCookie(state).has_value());
  NoteSynCookies(5, At(2), state);
  CHECK(LastSynCookie(state) == At(2));
  NoteSynCookies(5, At(3), state);
  CHECK(LastSynCookie(state) == At(2));
  // The counter of another network namespace.
  NoteSynCookies(3, At(9), state);
  CHECK(LastSynCookie(state) == At(9));
}

TEST_CASE("an agent that was killed while it noted a cookie takes it for new",
          "[agent][cookies]") {
  fl_agent_state state = {};
  NoteSynCookies(5, At(2), state);
  state.syn_cookies = 0;  // not stored yet
  NoteSynCookies(5, At(4), state);
  CHECK(LastSynCookie(state) == At(4));
}

}  // namespace
}  // namespace fairlead::agent
