#include "datapath/flow_hash.h"

#include <catch2/catch.hpp>
#include <cstdint>

#include "tests/support/reference_siphash.h"

namespace fairlead::datapath {
namespace {

constexpr HashKey kKey = {0x0706050403020100, 0x0f0e0d0c0b0a0908};

base::Endpoint At(const char* endpoint) {
  return base::Endpoint::Parse(endpoint).value();
}

}  // namespace

TEST_CASE("flows hash as the judge of the packet path says",
          "[datapath][hash]") {
  const test::SipKey key = {kKey[0], kKey[1]};
  const test::Flow flows[] = {
      {At("203.0.113.7:50000"), At("198.51.100.10:443")},
      {At("203.0.113.7:50001"), At("198.51.100.10:443")},
      {At("[2001:db8:7::7]:50000"), At("[2001:db8:10::10]:443")}};
  for (const test::Flow& flow : flows) {
    CHECK(HashFlow(kKey, flow.client, flow.service) ==
          test::ReferenceFlowHash(key, flow));
    CHECK(HashSource(kKey, flow.client.address) ==
          test::ReferenceSourceHash(key, flow.client.address));
  }
}

}  // namespace fairlead::datapath
