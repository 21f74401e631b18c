// What the packet path would do with a segment of one flow, and why: the rules
// of bpf/lib/route.h once more, slowly and with reasons. A test can hold the
// two against each other.
//
// Pure. It knows nothing of the packet's length: whether an encapsulated packet
// fits on its way is not explained here.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/model.h"
#include "core/row_plan.h"
#include "fairlead/abi/verdict.h"

namespace fairlead::control {

// A backend as its line and its load say at this moment.
struct MemberFacts {
  core::BackendId id = 0;
  std::string name;
  uint64_t state = 0;  // FL_BACKEND_*
  uint64_t load = 0;   // as the packet path counts it
  uint64_t weight = 1;
  bool full = false;     // it has as many connections as it may
  bool at_rate = false;  // of late, that is: by its accept-rate
};

struct SlotFacts {
  unsigned int state = 0;  // enum fl_slot_state
  core::BackendId backend = 0;
  bool ended = false;  // the client will send no more
};

struct RouteFacts {
  core::RowWords row;
  int choices = 1;
  bool hop_lists = true;
  core::Shed shed = core::Shed::kDrop;
  core::Encap encap = core::Encap::kGue;
  // New flows are above the service's SYN budget just now.
  bool over_budget = false;
  uint32_t draw = 0;  // against what a backend that starts slowly leaves
  // The flow's record; nullopt if there is none.
  std::optional<SlotFacts> slot;
  // A new flow would find a place in the flow table.
  bool recordable = true;
  // Why the service's lists do not admit the client; empty if they do.
  std::string denied;
  // Why its source has no more connections; empty if it may.
  std::string over_conns;
  // How many connections its source may open; empty: any number.
  std::string limit;
  // Those of the row and of the slot, in any order. One that is missing counts
  // as a line that is not in use.
  std::vector<MemberFacts> backends;
};

struct RouteAnswer {
  int verdict = FL_LB_DROP_NO_BACKEND;  // enum fl_lb_verdict
  // Who is meant to have the segment; 0: nobody.
  core::BackendId target = 0;
  // In the order in which the packet visits them.
  std::vector<core::BackendId> hops;
  uint8_t acceptors = 0;  // bit i: hop i may take a SYN
  uint8_t flags = 0;      // FL_WIRE_*
  std::string why;        // for people
};

// A SYN that is no SYN+ACK.
RouteAnswer ExplainSyn(const RouteFacts& facts);
// Any other segment.
RouteAnswer ExplainSegment(const RouteFacts& facts);

// The same facts, if an operator had drained `backend`.
RouteFacts AsIfDraining(RouteFacts facts, core::BackendId backend);

// Of a backend that is not among the facts: its number as name.
MemberFacts FactsOf(const RouteFacts& facts, core::BackendId id);

// Candidates by rank, then owners, without empty places.
std::vector<core::BackendId> RowMembers(const core::RowWords& row);

}  // namespace fairlead::control
