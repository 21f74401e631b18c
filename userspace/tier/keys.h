// What follows from the tier's secret: the same on every host that has it, and
// of no use for finding it.
//
// Each key is HMAC-SHA-256 of a label under the secret (RFC 2104; as HKDF's
// expand step of RFC 5869 with one block).
#pragma once

#include <array>
#include <cstdint>

#include "absl/strings/string_view.h"

namespace fairlead::tier {

// The two words of fl_config.hash_key.
using HashKey = std::array<uint64_t, 2>;
// Signs what the hosts of the tier say to each other over HTTP.
using MacKey = std::array<uint8_t, 32>;

HashKey DeriveHashKey(absl::string_view secret);
MacKey DeriveMacKey(absl::string_view secret);

// HMAC-SHA-256 of `text` under `key`, of any length.
std::array<uint8_t, 32> HmacSha256(absl::string_view key,
                                   absl::string_view text);

}  // namespace fairlead::tier
