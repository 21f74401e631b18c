#include "tier/keys.h"

#include <catch2/catch.hpp>

namespace fairlead::tier {
namespace {

// printf %s "fairlead hash key 1" | openssl dgst -sha256 -hmac SECRET
TEST_CASE("the hash key is an HMAC of its label under the tier's secret",
          "[tier][keys]") {
  CHECK(DeriveHashKey("correct horse battery staple") ==
        HashKey{0x5583ea18ca0f1d8b, 0x6a3ef144c59af42f});
}

TEST_CASE("another secret gives other keys", "[tier][keys]") {
  CHECK(DeriveHashKey("secret") == DeriveHashKey("secret"));
  CHECK(DeriveHashKey("secret") != DeriveHashKey("Secret"));
  CHECK(DeriveMacKey("secret") == DeriveMacKey("secret"));
  CHECK(DeriveMacKey("secret") != DeriveMacKey("secret "));
}

// RFC 4231, test case 2.
TEST_CASE("HMAC-SHA-256 gives the RFC's vector", "[tier][keys]") {
  const auto digest = HmacSha256("Jefe", "what do ya want for nothing?");
  CHECK(digest[0] == 0x5b);
  CHECK(digest[1] == 0xdc);
  CHECK(digest[31] == 0x43);
}

}  // namespace
}  // namespace fairlead::tier
