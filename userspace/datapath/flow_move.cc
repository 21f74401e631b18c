#include "datapath/flow_move.h"

#include <bit>
#include <utility>

#include "base/check.h"
#include "lib/flow_slot.h"

namespace fairlead::datapath {
namespace {

enum Worth : int {
  kFree,
  kExpired,
  kEmbryonic,
  kYoung,
  kClosing,
  kEstablished,
  kClosingTableOnly,
  kEstablishedTableOnly,
};

// An expiring slot is as its last segment left it: the daemon that was about to
// free it is gone.
unsigned int SettledState(unsigned int state) {
  return state < FL_SLOT_EXPIRING_PENDING
             ? state
             : state - FL_SLOT_EXPIRING_PENDING + FL_SLOT_YOUNG;
}

uint64_t Settled(uint64_t word0) {
  return fl_slot_word0(word0, SettledState(fl_slot_state(word0)),
                       fl_slot_backend(word0));
}

// Packets can take the chosen position at the same moment, as often as not from
// another CPU; more often than this is not to be expected.
constexpr int kAttempts = 8;

}  // namespace

FlowMove::FlowMove(std::span<const fl_bucket> from, std::span<fl_bucket> to,
                   FlowMoveOptions options)
    : from_(from), to_(to), options_(std::move(options)) {
  FL_CHECK(from.size() >= 2 && std::has_single_bit(from.size()));
  FL_CHECK(to.size() >= 2 && std::has_single_bit(to.size()));
}

fl_buckets FlowMove::BucketsOf(uint64_t hash) const {
  const uint32_t mask = static_cast<uint32_t>(to_.size() - 1);
  return {.first = &to_[fl_bucket_first(hash, mask)],
          .second = &to_[fl_bucket_second(hash, mask)]};
}

bool FlowMove::Has(uint64_t hash) const {
  const fl_buckets buckets = BucketsOf(hash);
  __u64 word0 = 0;
  return fl_slot_find(&buckets, hash, &word0) != nullptr;
}

bool FlowMove::IsTableOnly(uint64_t word0) const {
  const uint16_t backend = fl_slot_backend(word0);
  return backend < options_.table_only.size() && options_.table_only[backend];
}

int FlowMove::Worth(uint64_t word0, uint64_t word1) const {
  const unsigned int state = SettledState(fl_slot_state(word0));
  if (state == FL_SLOT_FREE) return kFree;
  if (fl_slot_expired(Settled(word0), word1, options_.now_tick,
                      &options_.timeouts) != 0) {
    return kExpired;
  }
  if (state == FL_SLOT_EMBRYONIC) return kEmbryonic;
  if (state == FL_SLOT_YOUNG) return kYoung;
  if (state == FL_SLOT_CLOSING) {
    return IsTableOnly(word0) ? kClosingTableOnly : kClosing;
  }
  return IsTableOnly(word0) ? kEstablishedTableOnly : kEstablished;
}

// Among equals, that of the bucket with more room: a table fills up evenly then
// and takes more before it is full.
std::optional<uint32_t> FlowMove::PositionFor(const fl_buckets& buckets,
                                              int worth) const {
  std::optional<uint32_t> best;
  int best_worth = worth;
  int best_room = 0;
  for (uint32_t first = 0; first < FL_POSITIONS; first += FL_BUCKET_SLOTS) {
    int room = 0;
    int least = worth;
    uint32_t at = first;
    for (uint32_t i = first; i < first + FL_BUCKET_SLOTS; ++i) {
      const fl_slot* slot = fl_slot_at(&buckets, i);
      const int found = Worth(fl_load64(&slot->word0), fl_load64(&slot->word1));
      if (found < worth) ++room;
      if (found >= least) continue;
      least = found;
      at = i;
    }
    if (room == 0) continue;
    if (least < best_worth || (least == best_worth && room > best_room)) {
      best = at;
      best_worth = least;
      best_room = room;
    }
  }
  return best;
}

// Word 1 is written before the CAS, as by an insert of the packet path. After
// the CAS packets meet the new slot; what they did to the old one in between is
// taken over by looking once more. A packet that found the old slot before the
// CAS and changes it after that last look loses its change: a state that the
// next segment sets again, or the second SYN of a tuple within nanoseconds.
bool FlowMove::Take(size_t number, const fl_slot& slot) {
  uint64_t word0 = fl_load64(&slot.word0);
  const uint64_t hash = word0;
  const fl_buckets buckets = BucketsOf(hash);
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const uint64_t word1 = fl_load64(&slot.word1);
    const std::optional<uint32_t> position =
        PositionFor(buckets, Worth(word0, word1));
    if (!position.has_value()) return false;
    fl_slot* const target = fl_slot_at(&buckets, *position);
    const uint64_t before = fl_load64(&target->word0);
    if (Worth(before, fl_load64(&target->word1)) >= Worth(word0, word1)) {
      continue;
    }
    const uint64_t after = Settled(word0);
    fl_store64(&target->word1, word1);
    if (!fl_cas64(&target->word0, before, after)) continue;
    if (before != 0) short_of_room_ = true;
    TakeCharge(number, *target, hash);
    fl_slot_change copy;
    fl_slot_dedupe(&buckets, hash, &copy);
    word0 = Settled(fl_load64(&slot.word0));
    if (word0 != after && fl_slot_tag(word0) == fl_slot_tag(hash)) {
      fl_cas64(&target->word0, after, word0);
    }
    return true;
  }
  return false;
}

// The flow keeps what it is charged to; what its new slot was charged to goes
// back.
void FlowMove::TakeCharge(size_t number, const fl_slot& target, uint64_t hash) {
  const uint32_t charge =
      options_.charges_from.empty() ? 0 : options_.charges_from.Take(number);
  if (options_.charges_to.empty()) return;
  options_.charges_to.Put(static_cast<size_t>(&target - &to_.front().slots[0]),
                          target, hash, charge);
}

void FlowMove::ReleaseCharges() {
  for (size_t slot = 0; slot < options_.charges_from.slots(); ++slot)
    options_.charges_from.GiveBack(options_.charges_from.Take(slot));
}

uint64_t FlowMove::Pass() {
  uint64_t taken = 0;
  for (size_t number = 0; number < from_.size() * FL_BUCKET_SLOTS; ++number) {
    const fl_slot& slot =
        from_[number / FL_BUCKET_SLOTS].slots[number % FL_BUCKET_SLOTS];
    const uint64_t word0 = fl_load64(&slot.word0);
    if (fl_slot_state(word0) == FL_SLOT_FREE) continue;
    if (fl_slot_backend(word0) >= options_.backends) continue;
    if (Has(word0)) continue;
    if (Take(number, slot)) {
      ++taken;
    } else {
      short_of_room_ = true;
    }
  }
  return taken;
}

FlowsLeft FlowMove::CountLeft() const {
  FlowsLeft left;
  if (!short_of_room_) return left;
  for (const fl_bucket& bucket : from_) {
    for (const fl_slot& slot : bucket.slots) {
      const uint64_t word0 = fl_load64(&slot.word0);
      const int worth = Worth(word0, fl_load64(&slot.word1));
      if (worth <= kExpired || Has(word0)) continue;
      if (worth <= kYoung) {
        ++left.pending;
      } else {
        ++left.live;
        if (IsTableOnly(word0)) ++left.table_only;
      }
    }
  }
  return left;
}

}  // namespace fairlead::datapath
