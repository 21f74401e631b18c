#include "datapath/flow_hash.h"

#include <arpa/inet.h>

#include <cstring>

#include "lib/conns.h"
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

uint64_t SourceKey(const HashKey& key, const core::Service& service,
                   const base::IpAddress& client) {
  const __u64 sip_key[2] = {key[0], key[1]};
  constexpr int kIpv4First = 96;  // of the sixteen bytes' bits
  const core::SourceRate& source = service.source_rate;
  return fl_conn_key(
      sip_key, service.id, Words(client).data(),
      client.is_ipv4() ? kIpv4First + source.length4 : source.length6);
}

}  // namespace fairlead::datapath
