// When a backend is known to hold no socket of a row any more: on the word of
// its agent alone, and only if its scans are young enough.
#pragma once

#include <cstdint>

#include "absl/time/time.h"
#include "base/mono_time.h"
#include "core/model.h"

namespace fairlead::core {

// After the last SYN that a backend may have been offered, a handshake that it
// began may still be unseen for so long.
inline constexpr absl::Duration kHandshakeWindow = absl::Seconds(3);
// The same if the backend answers with SYN cookies, of which no socket tells
// until they come back: the kernel takes one for up to two minutes.
inline constexpr absl::Duration kCookieWindow = absl::Seconds(150);

// How long after `last_offer` a scan must begin to count.
absl::Duration OfferWindow(const AgentReport& report,
                           base::MonoTime last_offer);

// True if two scans in a row, begun after the last offer and its window, found
// no socket of the row.
bool ProvesNoOwner(const AgentReport& report, uint32_t row,
                   base::MonoTime last_offer);

}  // namespace fairlead::core
