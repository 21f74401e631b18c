// The tier's keyed hash of a flow, by the very code that the packet path runs
// (bpf/lib/siphash.h), and the key itself.
//
// Reading the key file is not done here.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "base/ip_address.h"

namespace fairlead::datapath {

// The two words of fl_config.hash_key.
using HashKey = std::array<uint64_t, 2>;

// The hash key that follows from the tier's secret: the same on every LB host
// with that secret, and of no use for finding the secret.
HashKey DeriveHashKey(std::span<const uint8_t> secret);

// The hash that gives a flow its tag, its buckets and, but for policy source,
// its row.
uint64_t HashFlow(const HashKey& key, const base::Endpoint& client,
                  const base::Endpoint& service);

// The hash that gives a client its row under policy source.
uint64_t HashSource(const HashKey& key, const base::IpAddress& client);

}  // namespace fairlead::datapath
