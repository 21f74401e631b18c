#include "datapath/flow_scan.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/check.h"
#include "lib/flow_slot.h"

namespace fairlead::datapath {

namespace {

// Segments in ticks so far apart are more than 10 s apart, wherever in their
// ticks they were.
constexpr uint32_t kConfirmingTicks = 11;
static_assert((uint64_t{kConfirmingTicks - 1} << FL_TICK_SHIFT) >
              10'000'000'000);
// Flows so old have been seen by whoever has counted since.
constexpr uint32_t kSettledTicks = 4;
// Of silence after a flow has ended until it counts for its source no more.
constexpr uint32_t kEndedTicks = 3;

fl_buckets BucketsOf(std::span<fl_bucket> flows, uint64_t hash) {
  const uint32_t mask = static_cast<uint32_t>(flows.size() - 1);
  return {.first = &flows[fl_bucket_first(hash, mask)],
          .second = &flows[fl_bucket_second(hash, mask)]};
}

}  // namespace

FlowScan::FlowScan(std::span<fl_bucket> flows, std::span<fl_load> load,
                   const fl_timeouts& timeouts, SourceCharges charges)
    : flows_(flows), load_(load), timeouts_(timeouts), charges_(charges) {
  FL_CHECK(flows.size() >= 2 && std::has_single_bit(flows.size()));
  BeginSweep();
}

void FlowScan::BeginSweep() {
  const uint64_t number = sweep_.number + 1;
  sweep_ = FlowSweep();
  sweep_.number = number;
  sweep_.backends.resize(load_.size());
  sweep_.counts.resize(load_.size());
  next_bucket_ = 0;
}

void FlowScan::NoteBegun() {
  for (size_t id = 0; id < load_.size(); ++id)
    sweep_.counts[id].begun = fl_load64(&load_[id].begun);
}

std::optional<FlowSweep> FlowScan::Step(
    uint32_t buckets, uint32_t now_tick,
    const absl::btree_set<core::BackendId>& empty) {
  EndExpiry();
  if (next_bucket_ == 0) NoteBegun();
  const size_t end =
      std::min<size_t>(flows_.size(), next_bucket_ + size_t{buckets});
  for (; next_bucket_ < end; ++next_bucket_) {
    for (size_t i = 0; i < FL_BUCKET_SLOTS; ++i)
      LookAt(next_bucket_ * FL_BUCKET_SLOTS + i, now_tick, empty);
  }
  if (end < flows_.size()) return std::nullopt;
  FlowSweep finished = std::move(sweep_);
  sweep_.number = finished.number;
  BeginSweep();
  return finished;
}

fl_slot& FlowScan::SlotAt(size_t number) const {
  return flows_[number / FL_BUCKET_SLOTS].slots[number % FL_BUCKET_SLOTS];
}

size_t FlowScan::NumberOf(const fl_slot& slot) const {
  return static_cast<size_t>(&slot - &flows_.front().slots[0]);
}

void FlowScan::EndExpiry() {
  for (const Expiring& expiring : expiring_) {
    const uint32_t charge = charges_.Of(expiring.number);
    const fl_slot_change change =
        fl_slot_expire_end(&SlotAt(expiring.number), expiring.word1);
    Move(change.before, change.after);
    if (change.before != change.after && change.after == 0) {
      charges_.Release(expiring.number, charge);
      ++sweep_.expired;
    } else {
      ++sweep_.returned;
    }
  }
  expiring_.clear();
}

// Every slot that this scan made expiring has left that state in EndExpiry, so
// one that is expiring here was left by a daemon that was killed. It goes back
// to where it came from and is judged anew by the next sweep.
void FlowScan::LookAt(size_t number, uint32_t now_tick,
                      const absl::btree_set<core::BackendId>& empty) {
  fl_slot& slot = SlotAt(number);
  const uint32_t charge = charges_.Of(number);
  uint64_t word0 = fl_load64(&slot.word0);
  if (fl_slot_state(word0) >= FL_SLOT_EXPIRING_PENDING) {
    // Another word 1 than the slot's says that it was hit meanwhile.
    const fl_slot_change change =
        fl_slot_expire_end(&slot, ~fl_load64(&slot.word1));
    Move(change.before, change.after);
    ++sweep_.reverted;
    word0 = fl_load64(&slot.word0);
  }
  if (!empty.empty() && empty.contains(fl_slot_backend(word0)) &&
      fl_cas64(&slot.word0, word0, 0)) {
    Move(word0, 0);
    charges_.Release(number, charge);
    ++sweep_.expired;
    return;
  }
  Count(word0, fl_load64(&slot.word1), now_tick);
  if (charge != 0) ReleaseCharge(number, charge, now_tick);
  __u64 word1 = 0;
  if (fl_slot_expire_begin(&slot, now_tick, &timeouts_, &word1)) {
    expiring_.push_back({.number = number, .word1 = word1});
  }
}

// A slot that was freed by a packet (a flow recorded twice), or by a daemon
// that was killed just then, keeps its charge until now. A flow that has ended
// and is silent is no connection any more, though its record stays for its last
// segments. A SYN that uses the tuple again in this very moment is not charged.
void FlowScan::ReleaseCharge(size_t number, uint32_t charge,
                             uint32_t now_tick) {
  const fl_slot& slot = SlotAt(number);
  const uint64_t word0 = fl_load64(&slot.word0);
  const uint64_t word1 = fl_load64(&slot.word1);
  const bool is_over =
      fl_slot_has_ended(word0, word1) != 0 &&
      fl_tick_age(now_tick, fl_slot_last_seen(word1)) > kEndedTicks;
  if (fl_slot_state(word0) == FL_SLOT_FREE || is_over)
    charges_.Release(number, charge);
}

void FlowScan::Count(uint64_t word0, uint64_t word1, uint32_t now_tick) {
  const unsigned int state = fl_slot_state(word0);
  ++sweep_.slots[state];
  if (state == FL_SLOT_FREE) return;
  const uint16_t backend = fl_slot_backend(word0);
  if (backend >= sweep_.backends.size()) return;
  core::LoadReport& count = sweep_.backends[backend];
  ++(fl_slot_is_pending(state) ? count.pending : count.live);
  if (state == FL_SLOT_EMBRYONIC || fl_slot_has_ended(word0, word1)) return;
  core::FlowCounts& counts = sweep_.counts[backend];
  const uint32_t age = fl_tick_age(now_tick, fl_slot_born(word1));
  const uint32_t heard =
      fl_tick_age(fl_slot_last_seen(word1), fl_slot_born(word1));
  ++(heard >= kConfirmingTicks ? counts.confirmed
     : age < kConfirmingTicks  ? counts.fresh
                               : counts.unconfirmed);
  if (age >= kSettledTicks) ++counts.settled;
}

void FlowScan::Move(uint64_t before, uint64_t after) {
  if (before == after) return;
  AddLoad(before, -1);
  AddLoad(after, 1);
}

void FlowScan::AddLoad(uint64_t word0, int64_t amount) {
  const unsigned int state = fl_slot_state(word0);
  const uint16_t backend = fl_slot_backend(word0);
  if (state == FL_SLOT_FREE || backend >= load_.size()) return;
  fl_load& load = load_[backend];
  __sync_fetch_and_add(fl_slot_is_pending(state) ? &load.pending : &load.live,
                       static_cast<uint64_t>(amount));
}

bool FlowScan::Record(uint64_t hash, core::BackendId backend,
                      uint32_t now_tick) {
  const fl_buckets buckets = BucketsOf(flows_, hash);
  __u64 word0 = 0;
  if (fl_slot_find(&buckets, hash, &word0) == nullptr) {
    // An agent has named it: nobody can forge it.
    const fl_newcomer newcomer = {
        .timeouts = &timeouts_, .now = now_tick, .mark = FL_SLOT_FAIR};
    const uint32_t position = fl_slot_victim(&buckets, &newcomer);
    if (position >= FL_POSITIONS) return false;
    const size_t number = NumberOf(*fl_slot_at(&buckets, position));
    const uint32_t charge = charges_.Of(number);
    const fl_slot_change insert =
        fl_slot_insert(&buckets, position, hash, backend, &newcomer);
    Move(insert.before, insert.after);
    // Whose flow it is, its hash does not tell.
    if (insert.before != insert.after) charges_.Release(number, charge);
    fl_slot_change copy;
    for (int i = 0; i < FL_MAX_COPIES && fl_slot_dedupe(&buckets, hash, &copy);
         ++i) {
      Move(copy.before, copy.after);
    }
  }
  fl_slot* const slot = fl_slot_find(&buckets, hash, &word0);
  if (slot == nullptr || fl_slot_state(word0) >= FL_SLOT_EXPIRING_PENDING)
    return false;
  unsigned int state = fl_slot_state(word0);
  if (fl_slot_is_pending(state)) state = FL_SLOT_ESTABLISHED;
  const uint64_t after = fl_slot_word0(word0, state, backend);
  if (after == word0) return true;
  if (!fl_cas64(&slot->word0, word0, after)) return false;
  Move(word0, after);
  return true;
}

std::optional<FlowRecord> FlowScan::Lookup(uint64_t hash) const {
  const fl_buckets buckets = BucketsOf(flows_, hash);
  __u64 word0 = 0;
  const fl_slot* slot = fl_slot_find(&buckets, hash, &word0);
  if (slot == nullptr) return std::nullopt;
  const uint64_t word1 = fl_load64(&slot->word1);
  return FlowRecord{.state = fl_slot_state(word0),
                    .backend = fl_slot_backend(word0),
                    .born = fl_slot_born(word1),
                    .last_seen = fl_slot_last_seen(word1),
                    .ended = fl_slot_has_ended(word0, word1) != 0};
}

}  // namespace fairlead::datapath
