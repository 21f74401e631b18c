// SipHash-c-d as the paper describes it (Aumasson and Bernstein, 2012, section
// 2), over a message of bytes; a judge for bpf/lib/siphash.h, from which it
// takes nothing. And the messages that Fairlead hashes, byte by byte.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "base/ip_address.h"

namespace fairlead::test {

using SipKey = std::array<uint64_t, 2>;

struct SipRounds {
  int compression = 1;
  int finalization = 3;
};

uint64_t ReferenceSipHash(const SipKey& key, std::span<const uint8_t> message,
                          SipRounds rounds = {});

// Client, service, client port, service port; IPv4 addresses are four bytes.
struct Flow {
  base::Endpoint client;
  base::Endpoint service;
};
uint64_t ReferenceFlowHash(const SipKey& key, const Flow& flow);
uint64_t ReferenceSourceHash(const SipKey& key, const base::IpAddress& client);

}  // namespace fairlead::test
