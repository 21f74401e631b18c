#include "tier/keys.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <cstring>

#include "base/check.h"

namespace fairlead::tier {
namespace {

// Part of what a tier agrees on: another label is another key.
constexpr absl::string_view kHashKeyLabel = "fairlead hash key 1";
constexpr absl::string_view kMacKeyLabel = "fairlead mac key 1";

}  // namespace

std::array<uint8_t, 32> HmacSha256(absl::string_view key,
                                   absl::string_view text) {
  std::array<uint8_t, 32> digest;
  unsigned int length = 0;
  FL_CHECK(HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
                reinterpret_cast<const uint8_t*>(text.data()), text.size(),
                digest.data(), &length) != nullptr);
  FL_CHECK(length == digest.size());
  return digest;
}

HashKey DeriveHashKey(absl::string_view secret) {
  const std::array<uint8_t, 32> digest = HmacSha256(secret, kHashKeyLabel);
  HashKey key;
  // Little-endian, as the key of the SipHash paper; so are all machines that
  // Fairlead runs on.
  std::memcpy(key.data(), digest.data(), sizeof(key));
  return key;
}

MacKey DeriveMacKey(absl::string_view secret) {
  return HmacSha256(secret, kMacKeyLabel);
}

}  // namespace fairlead::tier
