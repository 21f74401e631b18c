#include "datapath/recount.h"

#include <algorithm>

#include "lib/flow_slot.h"

namespace fairlead::datapath {
namespace {

// A free slot counts nowhere, and so does one with an id past the table.
constexpr uint32_t kNowhere = UINT32_MAX;

}  // namespace

Recount::Recount(std::span<const fl_bucket> flows, std::span<fl_load> load)
    : flows_(flows), load_(load), errors_(2 * load.size()) {}

uint32_t Recount::CounterOf(uint64_t word0) const {
  const unsigned int state = fl_slot_state(word0);
  const uint32_t backend = fl_slot_backend(word0);
  if (state == FL_SLOT_FREE || backend >= load_.size()) return kNowhere;
  return 2 * backend + (fl_slot_is_pending(state) ? 1 : 0);
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

void Recount::Measure() {
  std::vector<uint32_t> before;
  before.reserve(flows_.size() * FL_BUCKET_SLOTS);
  for (const fl_bucket& bucket : flows_) {
    for (const fl_slot& slot : bucket.slots) {
      before.push_back(CounterOf(fl_load64(&slot.word0)));
    }
  }
  std::vector<int64_t> values(errors_.size());
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<int64_t>(fl_load64(&CounterAt(i)));
  }
  std::vector<int64_t> sure(errors_.size(), 0);
  std::vector<int64_t> unsure(errors_.size(), 0);
  size_t next = 0;
  for (const fl_bucket& bucket : flows_) {
    for (const fl_slot& slot : bucket.slots) {
      const uint32_t then = before[next++];
      const uint32_t now = CounterOf(fl_load64(&slot.word0));
      if (then == now) {
        if (now != kNowhere) ++sure[now];
        continue;
      }
      if (then != kNowhere) ++unsure[then];
      if (now != kNowhere) ++unsure[now];
    }
  }
  for (size_t i = 0; i < errors_.size(); ++i) {
    errors_[i].Narrow(values[i] - sure[i] - unsure[i], values[i] - sure[i]);
  }
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

bool Recount::Round() {
  Measure();
  ++rounds_;
  if (!IsSettled() && rounds_ < kMaxRounds) return false;
  Correct();
  return true;
}

}  // namespace fairlead::datapath
