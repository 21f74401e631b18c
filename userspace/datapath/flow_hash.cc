#include "datapath/flow_hash.h"

#include <arpa/inet.h>

#include <cstring>

#include "lib/siphash.h"

namespace fairlead::datapath {
namespace {

std::array<uint32_t, 4> Words(const base::IpAddress& address) {
  std::array<uint32_t, 4> words;
  static_assert(sizeof(words) == sizeof(address.bytes()));
  std::memcpy(words.data(), address.bytes().data(), sizeof(words));
  return words;
}

}  // namespace

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
