#include "base/ip_address.h"

#include <catch2/catch.hpp>
#include <string>

namespace fairlead::base {
namespace {

TEST_CASE("an address prints as it was read", "[base][address]") {
  const std::string text =
      GENERATE("192.0.2.1", "0.0.0.0", "255.255.255.255", "2001:db8::1",
               "::", "2001:db8:0:1::", "fe80::1");
  CAPTURE(text);
  const auto address = IpAddress::Parse(text);
  REQUIRE(address.ok());
  CHECK(address->ToString() == text);
  CHECK(address->is_ipv4() == (text.find(':') == std::string::npos));
}

TEST_CASE("what is more or less than an address is refused",
          "[base][address]") {
  const std::string text =
      GENERATE(as<std::string>{}, "", "192.0.2", "192.0.2.256", "192.0.2.1:443",
               "192.0.2.0/24", "[2001:db8::1]", "fe80::1%eth0",
               "::ffff:192.0.2.1", " 192.0.2.1", "192.0.2.01", "web1",
               "2001:db8::1::2", std::string("192.0.2.1\0x", 11));
  CAPTURE(text);
  CHECK(IpAddress::Parse(text).status().code() ==
        absl::StatusCode::kInvalidArgument);
}

TEST_CASE("an IPv4 address is its mapped form", "[base][address]") {
  const IpAddress address = IpAddress::FromIpv4(0xc0000201);
  CHECK(address.ToString() == "192.0.2.1");
  CHECK(address.ipv4() == 0xc0000201);
  CHECK(address.bytes()[10] == 0xff);
  CHECK(address.bytes()[15] == 1);
}

TEST_CASE("kinds of addresses are told apart", "[base][address]") {
  const auto parse = [](const char* text) { return *IpAddress::Parse(text); };
  CHECK(parse("127.0.0.1").is_loopback());
  CHECK(parse("::1").is_loopback());
  CHECK_FALSE(parse("192.0.2.1").is_loopback());
  CHECK(parse("0.0.0.0").is_unspecified());
  CHECK(parse("::").is_unspecified());
  CHECK(parse("224.0.0.1").is_multicast());
  CHECK(parse("ff02::1").is_multicast());
  CHECK_FALSE(parse("2001:db8::1").is_multicast());
}

TEST_CASE("an endpoint prints as it was read", "[base][address]") {
  const std::string text =
      GENERATE("192.0.2.1:443", "[2001:db8::1]:443", "192.0.2.1:65535");
  CAPTURE(text);
  const auto endpoint = Endpoint::Parse(text);
  REQUIRE(endpoint.ok());
  CHECK(endpoint->ToString() == text);
}

TEST_CASE("an endpoint without a port of its own is refused",
          "[base][address]") {
  const std::string text =
      GENERATE("", "192.0.2.1", "192.0.2.1:", "192.0.2.1:0", "192.0.2.1:65536",
               "192.0.2.1:+1", "192.0.2.1: 443", "2001:db8::1", ":443",
               "[2001:db8::1]", "[2001:db8::1]443", "[192.0.2.1]:443");
  CAPTURE(text);
  CHECK(Endpoint::Parse(text).status().code() ==
        absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace fairlead::base
