#include "tier/message_auth.h"

#include <catch2/catch.hpp>
#include <functional>

namespace fairlead::tier {
namespace {

const MacKey kKey = DeriveMacKey("a secret of thirty-two bytes or so");
const MacKey kOtherKey = DeriveMacKey("another secret of the same length");

http::Request Ask() {
  http::Request request;
  request.method = "PUT";
  request.path = "/v1/peers";
  request.query["lb"] = "1";
  request.body = "{}";
  return request;
}

// One exchange as both sides see it.
struct Exchange {
  http::Request request = Ask();
  http::Response response;
  absl::Status admitted;
  absl::Status checked;
};

Exchange Make(Caller& caller, Guard& guard) {
  Exchange exchange;
  caller.Sign(exchange.request);
  exchange.admitted = guard.Admit(exchange.request);
  if (!exchange.admitted.ok())
    exchange.response = http::ErrorResponse(401, "unauthenticated", "no");
  guard.Sign(exchange.request, exchange.response);
  exchange.checked = caller.Check(exchange.request, exchange.response);
  return exchange;
}

TEST_CASE("a caller is admitted at its second try", "[tier][auth]") {
  Caller caller(kKey, "lb-1");
  Guard guard(kKey);
  const Exchange first = Make(caller, guard);
  CHECK(absl::IsUnauthenticated(first.admitted));
  CHECK(absl::IsUnavailable(first.checked));
  for (int i = 0; i < 3; i++) {
    const Exchange next = Make(caller, guard);
    CHECK(next.admitted.ok());
    CHECK(next.checked.ok());
  }
  // The answering process is another one now.
  Guard restarted(kKey);
  CHECK(absl::IsUnavailable(Make(caller, restarted).checked));
  CHECK(Make(caller, restarted).checked.ok());
  // And so is the caller, which begins to count anew.
  Caller again(kKey, "lb-1");
  CHECK(absl::IsUnavailable(Make(again, restarted).checked));
  CHECK(Make(again, restarted).checked.ok());
}

TEST_CASE("a request is admitted once", "[tier][auth]") {
  Caller caller(kKey, "lb-1");
  Guard guard(kKey);
  Make(caller, guard);
  const Exchange exchange = Make(caller, guard);
  REQUIRE(exchange.admitted.ok());
  CHECK(absl::IsUnauthenticated(guard.Admit(exchange.request)));
  REQUIRE(Make(caller, guard).admitted.ok());
  CHECK(absl::IsUnauthenticated(guard.Admit(exchange.request)));
  Guard elsewhere(kKey);
  CHECK(absl::IsUnauthenticated(elsewhere.Admit(exchange.request)));
  Guard restarted(kKey);
  CHECK(absl::IsUnauthenticated(restarted.Admit(exchange.request)));
}

TEST_CASE("without the secret nothing is admitted or believed",
          "[tier][auth]") {
  Guard guard(kKey);
  Caller stranger(kOtherKey, "lb-1");
  const Exchange exchange = Make(stranger, guard);
  CHECK(absl::IsUnauthenticated(exchange.admitted));
  CHECK(absl::IsUnauthenticated(exchange.checked));
  CHECK(absl::IsUnauthenticated(guard.Admit(Ask())));
  Caller caller(kKey, "lb-1");
  http::Request request = Ask();
  caller.Sign(request);
  CHECK(absl::IsUnauthenticated(caller.Check(request, http::Response())));
}

TEST_CASE("whatever is changed on the way is noticed", "[tier][auth]") {
  Caller caller(kKey, "lb-1");
  Guard guard(kKey);
  Make(caller, guard);
  const std::function<void(http::Request&)> changes[] = {
      [](http::Request& r) { r.method = "GET"; },
      [](http::Request& r) { r.path = "/v1/state"; },
      [](http::Request& r) { r.query["lb"] = "2"; },
      [](http::Request& r) { r.query.clear(); },
      [](http::Request& r) { r.query["x"] = ""; },
      [](http::Request& r) { r.body = "{ }"; },
      [](http::Request& r) { r.headers["fairlead-caller"] = "lb-2"; },
      [](http::Request& r) { r.headers["fairlead-count"] = "9"; },
      [](http::Request& r) { r.headers["fairlead-nonce"] = "0"; },
      [](http::Request& r) { r.headers["fairlead-session"] = ""; },
      [](http::Request& r) { r.headers["fairlead-mac"][3] ^= 1; }};
  for (const auto& change : changes) {
    http::Request request = Ask();
    caller.Sign(request);
    change(request);
    CHECK(absl::IsUnauthenticated(guard.Admit(request)));
  }
  const std::function<void(http::Response&)> answers[] = {
      [](http::Response& r) { r.status = 401; },
      [](http::Response& r) { r.body = "x"; },
      [](http::Response& r) { r.headers["fairlead-count"] = "0"; },
      [](http::Response& r) { r.headers["fairlead-session"] = "0"; }};
  for (const auto& change : answers) {
    http::Request request = Ask();
    caller.Sign(request);
    REQUIRE(guard.Admit(request).ok());
    http::Response response;
    guard.Sign(request, response);
    change(response);
    CHECK(absl::IsUnauthenticated(caller.Check(request, response)));
  }
}

TEST_CASE("an answer to an earlier request is not believed", "[tier][auth]") {
  Caller caller(kKey, "lb-1");
  Guard guard(kKey);
  Make(caller, guard);
  const Exchange earlier = Make(caller, guard);
  http::Request request = Ask();
  caller.Sign(request);
  CHECK(absl::IsUnauthenticated(caller.Check(request, earlier.response)));
}

}  // namespace
}  // namespace fairlead::tier
