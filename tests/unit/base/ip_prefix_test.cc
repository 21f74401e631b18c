#include "base/ip_prefix.h"

#include <catch2/catch.hpp>
#include <string>

namespace fairlead::base {
namespace {

IpPrefix Good(const std::string& text) {
  const absl::StatusOr<IpPrefix> prefix = IpPrefix::Parse(text);
  INFO(text << ": " << prefix.status().ToString());
  REQUIRE(prefix.ok());
  return *prefix;
}

std::string Bad(const std::string& text) {
  const absl::StatusOr<IpPrefix> prefix = IpPrefix::Parse(text);
  CHECK_FALSE(prefix.ok());
  return std::string(prefix.status().message());
}

IpAddress Address(const std::string& text) {
  return IpAddress::Parse(text).value();
}

TEST_CASE("a prefix prints as it is written", "[base][prefix]") {
  for (const std::string text :
       {"203.0.113.0/24", "203.0.113.7/32", "0.0.0.0/0", "192.0.2.128/25",
        "2001:db8::/32", "2001:db8::1/128", "::/0", "2001:db8:8000::/33"}) {
    CHECK(Good(text).ToString() == text);
  }
  CHECK(Good("203.0.113.7").ToString() == "203.0.113.7/32");
  CHECK(Good("2001:db8::7").ToString() == "2001:db8::7/128");
  CHECK(Good("0.0.0.0/0").is_ipv4());
  CHECK_FALSE(Good("::/0").is_ipv4());
}

TEST_CASE("a prefix has the addresses that begin with its bits",
          "[base][prefix]") {
  CHECK(Good("203.0.113.0/24").Contains(Address("203.0.113.255")));
  CHECK_FALSE(Good("203.0.113.0/24").Contains(Address("198.51.100.255")));
  CHECK(Good("203.0.113.128/25").Contains(Address("203.0.113.128")));
  CHECK_FALSE(Good("203.0.113.128/25").Contains(Address("203.0.113.127")));
  CHECK(Good("203.0.113.7").Contains(Address("203.0.113.7")));
  CHECK_FALSE(Good("203.0.113.7").Contains(Address("203.0.113.6")));
  CHECK(Good("0.0.0.0/0").Contains(Address("255.255.255.255")));
  CHECK_FALSE(Good("0.0.0.0/0").Contains(Address("2001:db8::1")));
  CHECK(Good("2001:db8:8000::/33").Contains(Address("2001:db8:ffff::1")));
  CHECK_FALSE(Good("2001:db8:8000::/33").Contains(Address("2001:db8:7fff::1")));
}

TEST_CASE("bits past the length are refused, with what to write instead",
          "[base][prefix]") {
  CHECK(Bad("203.0.113.7/24") ==
        "\"203.0.113.7/24\" has bits set past its length: write "
        "203.0.113.0/24, or 203.0.113.7 for the one address");
  CHECK(
      Bad("2001:db8::1/127").find("write 2001:db8::/127, or 2001:db8::1 for") !=
      std::string::npos);
  CHECK(Bad("192.0.2.0/33").find("(0..32)") != std::string::npos);
  CHECK(Bad("2001:db8::/129").find("(0..128)") != std::string::npos);
  for (const std::string text :
       {"", "/", "192.0.2.0/", "192.0.2.0/+8", "192.0.2.0/ 8",
        "192.0.2.0/24/24", "192.0.2/24", "::ffff:192.0.2.0/120", "web"}) {
    Bad(text);
  }
}

}  // namespace
}  // namespace fairlead::base
