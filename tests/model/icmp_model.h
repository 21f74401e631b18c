// What an LB host answers by ICMP in a service's place: to whom, how often, and
// with what.
#pragma once

#include <cstdint>

#include "base/ip_address.h"
#include "tests/model/lb_model.h"
#include "tests/model/read_frame.h"

namespace fairlead::model {

// Nobody else is answered (RFC 1122, section 3.2.2; RFC 4443, section 2.4).
bool IsOneHost(const base::IpAddress& address);

// Each takes of its kind's rate, which the service or address has for itself,
// whether there is room for the answer or not.
// `ip` is what `arrival` has.
// Requires for all: IsOneHost() of its source.
Departure TellTooBig(Host& host, const Arrival& arrival, const IpPacket& ip,
                     uint32_t mtu, uint16_t service);
// Requires: CanRefuse().
Departure RefuseFragment(Host& host, const Arrival& arrival,
                         const IpPacket& ip);
// Requires: IsPlainPing().
Departure Echo(Host& host, const Arrival& arrival, const IpPacket& ip);

// Is one more of that kind answered?
bool MayAnswer(Host& host, uint16_t id, size_t kind, uint64_t now_ns);

// Is the first fragment of TCP in its plain form, with all that is quoted?
bool CanRefuse(const IpPacket& ip);

}  // namespace fairlead::model
