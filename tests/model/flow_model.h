// The flow table of the model, by the rules of fairlead/abi/flow_slot.h: who is
// recorded where, what a segment does to its flow, and which slot a new flow
// may take. The loads of the backends follow the slots (R1).
#pragma once

#include <cstdint>

#include "fairlead/abi/flow_slot.h"
#include "tests/model/lb_model.h"
#include "tests/model/read_frame.h"

namespace fairlead::model {

// A slot in words instead of bits.
struct FlowSlot {
  uint64_t tag = 0;  // upper 45 bits of the flow's hash
  unsigned int state = FL_SLOT_FREE;
  uint16_t backend = FL_NO_BACKEND;
  uint32_t born = 0, last_seen = 0;  // ticks
  uint16_t flags = 0;
};

FlowSlot Decode(const fl_slot& slot);
fl_slot Encode(const FlowSlot& slot);

// The tick that the clock shows, and how many have passed since `then`.
uint32_t TickAt(uint64_t now_ns);
uint32_t TicksSince(uint32_t then, uint32_t now);

// Writes `next` to `slot`, and moves the loads of both backends.
void ChangeSlot(Host& host, fl_slot& slot, const FlowSlot& next);

// Counted over the whole table.
size_t NumberOf(const Host& host, const fl_slot& slot);

// The slot of the flow; null if it is not recorded.
fl_slot* FindFlow(Host& host, uint64_t hash);
// Its client has said that it sends no more: a SYN may begin another.
bool HasEnded(const FlowSlot& flow);
// A segment of the flow came.
void TouchFlow(Host& host, fl_slot& slot, const TcpSegment& tcp, uint32_t now);
// False if no slot may be taken. `fair`: within its service's fair share.
// Requires: the flow is not recorded.
bool RecordFlow(Host& host, uint64_t hash, uint16_t backend, uint32_t now,
                bool fair);
// Gives the flow to `backend`, as if it were new.
void MoveFlow(Host& host, fl_slot& slot, uint16_t backend, uint32_t now);

}  // namespace fairlead::model
