// Where a segment goes, by docs/WIRE.md, "Who is listed": its flow's backend if
// the flow is recorded, a choice if it is a SYN, and otherwise everybody who
// may have the connection. An ICMP error goes where a segment would.
#pragma once

#include <cstdint>
#include <vector>

#include "fairlead/abi/maps.h"
#include "fairlead/abi/verdict.h"
#include "tests/model/lb_model.h"
#include "tests/model/read_frame.h"
#include "tests/support/reference_siphash.h"

namespace fairlead::model {

using Ids = std::vector<uint16_t>;

// A segment for a service.
struct Segment {
  IpPacket ip;
  TcpSegment tcp;  // of an error: none
  test::Flow flow;
  // An ICMP error about the flow instead.
  bool is_error = false;
};

struct Route {
  Ids hops;  // empty: there is nobody
  uint8_t acceptors = 0;
  uint8_t flags = 0;  // FL_WIRE_*
  uint16_t row = 0;
  uint64_t hash = 0;
  fl_lb_verdict verdict = FL_LB_DROP_NO_BACKEND;
  // Who is meant to have the packet, and has it in its counters.
  uint16_t target = FL_NO_BACKEND;
  // A new flow was given a backend although none was eligible.
  bool fail_open = false;
};

// Records the flow, or moves its record on, as the segment says. An error does
// neither: anybody can send one.
Route FindRoute(Host& host, const Segment& segment, const fl_service& service,
                uint64_t now_ns);

}  // namespace fairlead::model
