#include "lib/siphash.h"

#include <arpa/inet.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <numeric>
#include <vector>

#include "tests/support/packet.h"
#include "tests/support/reference_siphash.h"

namespace fairlead::test {
namespace {

constexpr SipKey kKey = {0x0706050403020100, 0x0f0e0d0c0b0a0908};

struct Words {
  __u32 words[4];
  explicit Words(const base::IpAddress& address) {
    std::memcpy(words, address.bytes().data(), sizeof(words));
  }
};

uint64_t TupleHash(const SipKey& key, const Flow& flow) {
  const __u64 words[2] = {key[0], key[1]};
  return fl_hash_tuple(words, Words(flow.client.address).words,
                       Words(flow.service.address).words,
                       htons(flow.client.port), htons(flow.service.port));
}

uint64_t SourceHash(const SipKey& key, const base::IpAddress& client) {
  const __u64 words[2] = {key[0], key[1]};
  return fl_hash_source(words, Words(client).words);
}

// The paper's appendix A: key 00..0f, message 00..0e.
TEST_CASE("the reference gives the paper's SipHash-2-4 vector",
          "[bpf][siphash]") {
  std::vector<uint8_t> message(15);
  std::iota(message.begin(), message.end(), uint8_t{0});
  CHECK(
      ReferenceSipHash(kKey, message, {.compression = 2, .finalization = 4}) ==
      0xa129ca6149be45e5);
}

TEST_CASE("a flow's hash is SipHash-1-3 of its tuple", "[bpf][siphash]") {
  for (uint16_t port = 1; port < 2000; port = uint16_t(port * 3 + 1)) {
    const Flow flows[] = {
        {{kClient4, port}, {kVip4, kVipPort}},
        {{kClient6, port}, {kVip6, kVipPort}},
        {{Ip("255.255.255.255"), 65535}, {Ip("0.0.0.0"), port}},
        {{Ip("2001:db8:ffff::"), port}, {Ip("2001:db8::ffff"), 0}},
    };
    for (const SipKey& key : {kKey, SipKey{0, 0}, SipKey{~0ull, port}}) {
      for (const Flow& flow : flows)
        CHECK(TupleHash(key, flow) == ReferenceFlowHash(key, flow));
    }
  }
}

TEST_CASE("a client's hash is SipHash-1-3 of its address", "[bpf][siphash]") {
  for (const base::IpAddress& client :
       {kClient4, kClient6, Ip("192.0.2.1"), Ip("2001:db8::")}) {
    CHECK(SourceHash(kKey, client) == ReferenceSourceHash(kKey, client));
    CHECK(SourceHash({1, 2}, client) == ReferenceSourceHash({1, 2}, client));
  }
}

TEST_CASE("every part of the tuple and of the key changes the hash",
          "[bpf][siphash]") {
  const Flow flow = {{kClient4, 1000}, {kVip4, 443}};
  const uint64_t hash = TupleHash(kKey, flow);
  CHECK(TupleHash(kKey, {{Ip("203.0.113.8"), 1000}, {kVip4, 443}}) != hash);
  CHECK(TupleHash(kKey, {{kClient4, 1001}, {kVip4, 443}}) != hash);
  CHECK(TupleHash(kKey, {{kClient4, 1000}, {Ip("198.51.100.11"), 443}}) !=
        hash);
  CHECK(TupleHash(kKey, {{kClient4, 1000}, {kVip4, 444}}) != hash);
  CHECK(TupleHash(kKey, {{kClient4, 443}, {kVip4, 1000}}) != hash);
  CHECK(TupleHash({kKey[0] ^ 1, kKey[1]}, flow) != hash);
  CHECK(TupleHash({kKey[0], kKey[1] ^ 1}, flow) != hash);
}

}  // namespace
}  // namespace fairlead::test
