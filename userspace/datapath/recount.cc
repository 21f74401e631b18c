#include "datapath/recount.h"

#include <algorithm>

#include "lib/flow_slot.h"

namespace fairlead::datapath {
namespace {

// Of a fingerprint: whether it counts, 14 bits of the tag, the counter.
constexpr uint32_t kCounts = 1u << 31;
constexpr int kCounterBits = 17;
static_assert(2 * FL_MAX_BACKENDS == 1u << kCounterBits);

size_t CounterOf(uint32_t fingerprint) {
  return fingerprint & ((1u << kCounterBits) - 1);
}

}  // namespace

Recount::Recount(std::span<const fl_bucket> flows, std::span<fl_load> load)
    : flows_(flows),
      load_(load),
      errors_(2 * load.size()),
      values_(errors_.size()) {
  // Memory that is only reserved costs nothing before it is written to, step by
  // step.
  before_.reserve(flows.size() * FL_BUCKET_SLOTS);
  BeginRound();
}

uint32_t Recount::Fingerprint(uint64_t word0) const {
  const unsigned int state = fl_slot_state(word0);
  const uint32_t backend = fl_slot_backend(word0);
  if (state == FL_SLOT_FREE || backend >= load_.size()) return 0;
  const uint32_t counter = 2 * backend + (fl_slot_is_pending(state) ? 1 : 0);
  const auto tag = static_cast<uint32_t>(word0 >> 50);
  return kCounts | tag << kCounterBits | counter;
}

__u64& Recount::CounterAt(size_t counter) const {
  fl_load& load = load_[counter / 2];
  return counter % 2 == 0 ? load.live : load.pending;
}

void Recount::Error::Narrow(int64_t round_low, int64_t round_high) {
  low = std::max(low, round_low);
  high = std::min(high, round_high);
  ++rounds;
  if (low > high) {
    // Some round met a transition that was not counted yet: begin again.
    low = round_low;
    high = round_high;
    rounds = 1;
    certain = 0;
  }
  if (low == high) ++certain;
}

void Recount::BeginRound() {
  next_bucket_ = 0;
  second_walk_ = false;
  before_.clear();
  sure_.assign(errors_.size(), 0);
  unsure_.assign(errors_.size(), 0);
}

void Recount::ReadCounters() {
  for (size_t i = 0; i < values_.size(); ++i) {
    values_[i] = static_cast<int64_t>(fl_load64(&CounterAt(i)));
  }
  next_bucket_ = 0;
  second_walk_ = true;
}

void Recount::LookAgain(uint32_t then, uint32_t now) {
  if (then == now) {
    if (now != 0) ++sure_[CounterOf(now)];
    return;
  }
  if (then != 0) ++unsure_[CounterOf(then)];
  if (now != 0) ++unsure_[CounterOf(now)];
}

void Recount::EndRound() {
  for (size_t i = 0; i < errors_.size(); ++i) {
    errors_[i].Narrow(values_[i] - sure_[i] - unsure_[i],
                      values_[i] - sure_[i]);
  }
  ++rounds_;
  BeginRound();
}

bool Recount::IsSettled() const {
  return std::all_of(errors_.begin(), errors_.end(), [](const Error& error) {
    return error.certain >= kAgreeing;
  });
}

void Recount::Correct() {
  for (size_t i = 0; i < errors_.size(); ++i) {
    const Error& error = errors_[i];
    if (error.MayBeZero() || error.rounds < kAgreeing) continue;
    const int64_t nearest = error.low > 0 ? error.low : error.high;
    __sync_fetch_and_sub(&CounterAt(i), static_cast<uint64_t>(nearest));
    ++corrected_;
  }
}

bool Recount::Step(size_t buckets) {
  const size_t end =
      std::min(flows_.size(), next_bucket_ + std::min(buckets, flows_.size()));
  for (; next_bucket_ < end; ++next_bucket_) {
    for (size_t i = 0; i < FL_BUCKET_SLOTS; ++i) {
      const uint32_t now =
          Fingerprint(fl_load64(&flows_[next_bucket_].slots[i].word0));
      if (second_walk_) {
        LookAgain(before_[next_bucket_ * FL_BUCKET_SLOTS + i], now);
      } else {
        before_.push_back(now);
      }
    }
  }
  if (end < flows_.size()) return false;
  if (!second_walk_) {
    ReadCounters();
    return false;
  }
  EndRound();
  if (!IsSettled() && rounds_ < kMaxRounds) return false;
  Correct();
  return true;
}

bool Recount::Round() {
  const int round = rounds_;
  while (!Step(flows_.size())) {
    if (rounds_ != round) return false;
  }
  return true;
}

}  // namespace fairlead::datapath
