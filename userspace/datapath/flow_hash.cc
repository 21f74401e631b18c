#include "datapath/flow_hash.h"

#include <arpa/inet.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <cstring>

#include "absl/strings/string_view.h"
#include "base/check.h"
#include "lib/siphash.h"

namespace fairlead::datapath {
namespace {

// Part of what a tier agrees on: another label is another key.
constexpr absl::string_view kHashKeyLabel = "fairlead hash key 1";

std::array<uint32_t, 4> Words(const base::IpAddress& address) {
  std::array<uint32_t, 4> words;
  static_assert(sizeof(words) == sizeof(address.bytes()));
  std::memcpy(words.data(), address.bytes().data(), sizeof(words));
  return words;
}

}  // namespace

HashKey DeriveHashKey(std::span<const uint8_t> secret) {
  std::array<uint8_t, EVP_MAX_MD_SIZE> digest;
  unsigned int length = 0;
  FL_CHECK(HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
                reinterpret_cast<const uint8_t*>(kHashKeyLabel.data()),
                kHashKeyLabel.size(), digest.data(), &length) != nullptr);
  HashKey key;
  FL_CHECK(length >= sizeof(key));
  // Little-endian, as the key of the SipHash paper; so are all machines that
  // Fairlead runs on.
  std::memcpy(key.data(), digest.data(), sizeof(key));
  return key;
}

uint64_t HashFlow(const HashKey& key, const base::Endpoint& client,
                  const base::Endpoint& service) {
  const __u64 sip_key[2] = {key[0], key[1]};
  return fl_hash_tuple(sip_key, Words(client.address).data(),
                       Words(service.address).data(), htons(client.port),
                       htons(service.port));
}

uint64_t HashSource(const HashKey& key, const base::IpAddress& client) {
  const __u64 sip_key[2] = {key[0], key[1]};
  return fl_hash_source(sip_key, Words(client).data());
}

}  // namespace fairlead::datapath
