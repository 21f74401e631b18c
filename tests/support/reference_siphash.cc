#include "tests/support/reference_siphash.h"

#include <bit>
#include <vector>

namespace fairlead::test {
namespace {

struct State {
  uint64_t v0, v1, v2, v3;

  void Rounds(int count) {
    for (int i = 0; i < count; i++) {
      v0 += v1;
      v2 += v3;
      v1 = std::rotl(v1, 13);
      v3 = std::rotl(v3, 16);
      v1 ^= v0;
      v3 ^= v2;
      v0 = std::rotl(v0, 32);
      v2 += v1;
      v0 += v3;
      v1 = std::rotl(v1, 17);
      v3 = std::rotl(v3, 21);
      v1 ^= v2;
      v3 ^= v0;
      v2 = std::rotl(v2, 32);
    }
  }
};

void Append(std::vector<uint8_t>& message, const base::IpAddress& address) {
  for (size_t i = address.is_ipv4() ? 12 : 0; i < 16; i++)
    message.push_back(address.bytes()[i]);
}

void Append(std::vector<uint8_t>& message, uint16_t port) {
  message.push_back(static_cast<uint8_t>(port >> 8));
  message.push_back(static_cast<uint8_t>(port));
}

}  // namespace

uint64_t ReferenceSipHash(const SipKey& key, std::span<const uint8_t> message,
                          SipRounds rounds) {
  // "somepseudorandomlygeneratedbytes", in four big-endian words.
  State s = {key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d,
             key[0] ^ 0x6c7967656e657261, key[1] ^ 0x7465646279746573};
  std::vector<uint8_t> padded(message.begin(), message.end());
  while (padded.size() % 8 != 7) padded.push_back(0);
  padded.push_back(static_cast<uint8_t>(message.size()));

  for (size_t at = 0; at < padded.size(); at += 8) {
    uint64_t word = 0;
    for (size_t i = 8; i-- > 0;) word = word << 8 | padded[at + i];
    s.v3 ^= word;
    s.Rounds(rounds.compression);
    s.v0 ^= word;
  }
  s.v2 ^= 0xff;
  s.Rounds(rounds.finalization);
  return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

uint64_t ReferenceFlowHash(const SipKey& key, const Flow& flow) {
  std::vector<uint8_t> message;
  Append(message, flow.client.address);
  Append(message, flow.service.address);
  Append(message, flow.client.port);
  Append(message, flow.service.port);
  return ReferenceSipHash(key, message);
}

uint64_t ReferenceSourceHash(const SipKey& key, const base::IpAddress& client) {
  std::vector<uint8_t> message;
  Append(message, client);
  return ReferenceSipHash(key, message);
}

}  // namespace fairlead::test
