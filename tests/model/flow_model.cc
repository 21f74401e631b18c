#include "tests/model/flow_model.h"

#include <algorithm>
#include <array>

namespace fairlead::model {
namespace {

// 60 s.
constexpr uint32_t kYoungIdleTicks = 56;
// 4 s.
constexpr uint32_t kHandshakeIdleTicks = 4;

bool IsPending(unsigned int state) {
  return state == FL_SLOT_EMBRYONIC || state == FL_SLOT_YOUNG ||
         state == FL_SLOT_EXPIRING_PENDING;
}

void CountLoad(Host& host, const FlowSlot& slot, uint64_t amount) {
  if (slot.state == FL_SLOT_FREE) return;
  fl_load& load = host.loads[slot.backend];
  (IsPending(slot.state) ? load.pending : load.live) += amount;
}

// The eight slots where the flow may be recorded, in order of preference.
std::array<fl_slot*, 2 * FL_BUCKET_SLOTS> SlotsOf(Host& host, uint64_t hash) {
  const auto mask = static_cast<uint32_t>(host.flows.size() - 1);
  std::array<fl_slot*, 2 * FL_BUCKET_SLOTS> slots = {};
  size_t i = 0;
  for (const uint32_t bucket :
       {fl_bucket_first(hash, mask), fl_bucket_second(hash, mask)}) {
    for (fl_slot& slot : host.flows[bucket].slots) slots[i++] = &slot;
  }
  return slots;
}

uint64_t TagOf(uint64_t hash) { return hash >> 19; }

// What the flow is after a segment. A slot that is expiring comes back.
unsigned int StateAfter(const FlowSlot& slot, const TcpSegment& tcp,
                        uint32_t now) {
  switch (slot.state) {
    case FL_SLOT_EMBRYONIC:
      return tcp.syn ? FL_SLOT_EMBRYONIC : FL_SLOT_YOUNG;
    case FL_SLOT_YOUNG:
    case FL_SLOT_EXPIRING_PENDING: {
      // Established takes data in two different ticks.
      const bool talks = !tcp.syn && !tcp.ends() && slot.last_seen != now;
      if (!talks) return FL_SLOT_YOUNG;
      // A short flow that has ended is never established.
      const bool ended = (slot.flags & FL_SLOT_FIN) != 0;
      return ended ? FL_SLOT_CLOSING : FL_SLOT_ESTABLISHED;
    }
    case FL_SLOT_ESTABLISHED:
    case FL_SLOT_EXPIRING_ESTABLISHED:
      return tcp.ends() ? FL_SLOT_CLOSING : FL_SLOT_ESTABLISHED;
    default:
      return FL_SLOT_CLOSING;
  }
}

bool IsExpired(const Host& host, const FlowSlot& slot, uint32_t now) {
  // A short flow that has ended need not wait as a young one does.
  const bool ended =
      slot.state == FL_SLOT_YOUNG && (slot.flags & FL_SLOT_FIN) != 0;
  const unsigned int as = ended ? unsigned{FL_SLOT_EMBRYONIC} : slot.state;
  return TicksSince(slot.last_seen, now) > host.config.timeouts.by_state[as];
}

// How willingly the slot is given to a new flow; 0: never. What is recorded
// beyond a fair share goes first; what is within one goes for nobody beyond.
int Willingness(const Host& host, const FlowSlot& slot, uint32_t now,
                bool fair) {
  if (slot.state == FL_SLOT_FREE) return 8;
  // The daemon is about to free it, or a segment to bring it back.
  if (slot.state >= FL_SLOT_EXPIRING_PENDING) return 0;
  if (IsExpired(host, slot, now)) return 7;
  const uint32_t silent = TicksSince(slot.last_seen, now);
  const bool marked = (slot.flags & FL_SLOT_FAIR) != 0;
  if (slot.state == FL_SLOT_EMBRYONIC) {
    if (!marked) return 6;
    return fair && silent > kHandshakeIdleTicks ? 3 : 0;
  }
  if (slot.state != FL_SLOT_YOUNG) return 0;
  const bool idle = silent > kYoungIdleTicks;
  if (marked) return fair && idle ? 2 : 0;
  if (idle) return 5;
  return fair ? 4 : 0;
}

}  // namespace

FlowSlot Decode(const fl_slot& slot) {
  return {.tag = slot.word0 >> 19,
          .state = static_cast<unsigned int>(slot.word0 >> 16 & 7),
          .backend = static_cast<uint16_t>(slot.word0),
          .born = static_cast<uint32_t>(slot.word1 >> 40),
          .last_seen = static_cast<uint32_t>(slot.word1 >> 16 & FL_TICK_MASK),
          .flags = static_cast<uint16_t>(slot.word1)};
}

fl_slot Encode(const FlowSlot& slot) {
  return {.word0 = slot.tag << 19 | uint64_t{slot.state} << 16 | slot.backend,
          .word1 = uint64_t{slot.born & FL_TICK_MASK} << 40 |
                   uint64_t{slot.last_seen & FL_TICK_MASK} << 16 | slot.flags};
}

uint32_t TickAt(uint64_t now_ns) {
  return static_cast<uint32_t>(now_ns >> FL_TICK_SHIFT & FL_TICK_MASK);
}

uint32_t TicksSince(uint32_t then, uint32_t now) {
  const uint32_t age = (now - then) & FL_TICK_MASK;
  // More than half of the range is the future, which a racing CPU wrote.
  return age > FL_TICK_MASK / 2 ? 0 : age;
}

void ChangeSlot(Host& host, fl_slot& slot, const FlowSlot& next) {
  const FlowSlot before = Decode(slot);
  slot = Encode(next);
  CountLoad(host, before, ~uint64_t{0});
  CountLoad(host, next, 1);
}

size_t NumberOf(const Host& host, const fl_slot& slot) {
  return static_cast<size_t>(&slot - &host.flows.front().slots[0]);
}

fl_slot* FindFlow(Host& host, uint64_t hash) {
  const auto slots = SlotsOf(host, hash);
  const auto found = std::ranges::find_if(slots, [&](const fl_slot* slot) {
    const FlowSlot flow = Decode(*slot);
    return flow.state != FL_SLOT_FREE && flow.tag == TagOf(hash);
  });
  return found == slots.end() ? nullptr : *found;
}

bool HasEnded(const FlowSlot& flow) {
  const bool ended_early =
      IsPending(flow.state) && (flow.flags & FL_SLOT_FIN) != 0;
  return ended_early || flow.state == FL_SLOT_CLOSING ||
         flow.state == FL_SLOT_EXPIRING_CLOSING;
}

void TouchFlow(Host& host, fl_slot& slot, const TcpSegment& tcp, uint32_t now) {
  FlowSlot flow = Decode(slot);
  const unsigned int after = StateAfter(flow, tcp, now);
  if (IsPending(flow.state) && tcp.ends()) flow.flags |= FL_SLOT_FIN;
  flow.state = after;
  flow.last_seen = now;
  if (Decode(slot).state == FL_SLOT_EMBRYONIC && after == FL_SLOT_YOUNG)
    host.loads[flow.backend].begun++;
  ChangeSlot(host, slot, flow);
}

bool RecordFlow(Host& host, uint64_t hash, uint16_t backend, uint32_t now,
                bool fair) {
  fl_slot* taken = nullptr;
  int best = 0;
  for (fl_slot* slot : SlotsOf(host, hash)) {
    const int willingness = Willingness(host, Decode(*slot), now, fair);
    if (willingness <= best) continue;
    best = willingness;
    taken = slot;
  }
  if (taken == nullptr) return false;
  ChangeSlot(host, *taken,
             {.tag = TagOf(hash),
              .state = FL_SLOT_EMBRYONIC,
              .backend = backend,
              .born = now,
              .last_seen = now,
              .flags = static_cast<uint16_t>(fair ? FL_SLOT_FAIR : 0)});
  return true;
}

void MoveFlow(Host& host, fl_slot& slot, uint16_t backend, uint32_t now) {
  const FlowSlot flow = Decode(slot);
  ChangeSlot(host, slot,
             {.tag = flow.tag,
              .state = FL_SLOT_EMBRYONIC,
              .backend = backend,
              .born = now,
              .last_seen = now,
              // Of its service's share, it takes nothing and gives nothing.
              .flags = static_cast<uint16_t>(flow.flags & FL_SLOT_FAIR)});
}

}  // namespace fairlead::model
