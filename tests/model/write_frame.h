// What an LB host puts on the wire, byte by byte: the encapsulation as
// docs/WIRE.md draws it, and ICMP as RFC 792, RFC 1191 and RFC 4443 do. It
// shares no code with bpf/lib.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/ip_address.h"
#include "fairlead/abi/maps.h"
#include "tests/support/packet.h"

namespace fairlead::model {

using test::Bytes;

// Of docs/WIRE.md; what is not here is the same in every packet of an LB host.
struct HopList {
  uint8_t flags = 0;  // FL_WIRE_*
  uint8_t acceptors = 0;
  uint16_t lb_id = 0;
  uint16_t row = 0;
  uint32_t epoch = 0;
  std::vector<uint16_t> hops;  // 1 to 8
};

enum class Form : uint8_t { kGue, kIpip, kBare };

struct Tunnel {
  Form form = Form::kGue;
  base::IpAddress source, destination;
  uint16_t source_port = 0;
  uint16_t gue_port = 0;
  uint8_t tos = 0;  // of the outer header
  bool inner_is_ipv4 = false;
  uint16_t inner_length = 0;
  // Unset: the service is plain. Only GUE has one.
  std::optional<HopList> hop_list;
};

// Everything between Ethernet and the packet inside: nothing, if it is bare.
Bytes OuterHeaders(const Tunnel& tunnel);

// `frame`'s IP packet with `outer` in front, if that is not empty, to the
// backend's next hop.
Bytes Encapsulate(std::span<const uint8_t> frame, const fl_backend& backend,
                  const Bytes& outer);

// The frame with an 802.1Q tag, which says `control`.
Bytes WithTag(std::span<const uint8_t> frame, uint16_t control);
// Requires: it has one.
Bytes WithoutTag(std::span<const uint8_t> frame);

// An ICMP error from a service's address to a client.
struct IcmpError {
  bool is_ipv4 = false;
  base::IpAddress service, client;
  uint8_t type = 0, code = 0;
  uint32_t rest = 0;  // of the header
  size_t quoted = 0;  // bytes of the client's packet
};

struct TooBig {
  bool is_ipv4 = false;
  base::IpAddress service, client;
  uint32_t mtu = 0;
};
IcmpError TooBigError(const TooBig& answer);

// A first fragment to `service`.
IcmpError FragmentError(const base::IpAddress& service,
                        const base::IpAddress& client);

// What the client is told about `frame`, back to where it came from.
Bytes AnswerError(std::span<const uint8_t> frame, const IcmpError& error);
// How much longer than what it quotes the answer is.
size_t AnswerHeaderBytes(bool is_ipv4);

// A reset from a service to a client.
struct Reset {
  bool is_ipv4 = false;
  base::Endpoint service, client;
  uint32_t sequence = 0;
  std::optional<uint32_t> acknowledges;
};
// Back to where `frame` came from.
Bytes AnswerReset(std::span<const uint8_t> frame, const Reset& reset);

// The answer to the ping that `frame` is, back to where it came from: all of it
// again, with right checksums if those of the ping are.
// Requires: IsPlainPing().
Bytes AnswerPing(std::span<const uint8_t> frame);

}  // namespace fairlead::model
