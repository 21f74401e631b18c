// The tier's keyed hash of a flow, by the very code that the packet path runs
// (bpf/lib/siphash.h).
#pragma once

#include <array>
#include <cstdint>

#include "base/ip_address.h"
#include "core/model.h"

namespace fairlead::datapath {

// The two words of fl_config.hash_key.
using HashKey = std::array<uint64_t, 2>;

// The hash that gives a flow its tag, its buckets and, but for policy source,
// its row.
uint64_t HashFlow(const HashKey& key, const base::Endpoint& client,
                  const base::Endpoint& service);

// The hash that gives a client its row under policy source.
uint64_t HashSource(const HashKey& key, const base::IpAddress& client);

// The key of the source that the client is of, by which the service counts its
// connections. Of any use if the service does.
uint64_t SourceKey(const HashKey& key, const core::Service& service,
                   const base::IpAddress& client);

}  // namespace fairlead::datapath
