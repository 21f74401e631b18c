#include "datapath/recount.h"

#include <algorithm>
#include <utility>

#include "lib/flow_slot.h"

namespace fairlead::datapath {
namespace {

// Of a fingerprint: whether it counts, 14 bits of the tag, the counter.
constexpr uint32_t kCounts = 1u << 31;
constexpr int kCounterBits = 17;
static_assert(2 * FL_MAX_BACKENDS == 1u << kCounterBits);

// By counter: 2 * backend id, plus 1 for pending.
class LoadBooks final : public Books {
 public:
  LoadBooks(std::span<const fl_bucket> flows, std::span<fl_load> load)
      : flows_(flows), load_(load) {}

  size_t slots() const override { return flows_.size() * FL_BUCKET_SLOTS; }
  size_t counters() const override { return 2 * load_.size(); }

  uint32_t Fingerprint(size_t slot) const override {
    const uint64_t word0 = fl_load64(
        &flows_[slot / FL_BUCKET_SLOTS].slots[slot % FL_BUCKET_SLOTS].word0);
    const unsigned int state = fl_slot_state(word0);
    const uint32_t backend = fl_slot_backend(word0);
    if (state == FL_SLOT_FREE || backend >= load_.size()) return 0;
    const uint32_t counter = 2 * backend + (fl_slot_is_pending(state) ? 1 : 0);
    const auto tag = static_cast<uint32_t>(word0 >> 50);
    return kCounts | tag << kCounterBits | counter;
  }
  size_t CounterOf(uint32_t fingerprint) const override {
    return fingerprint & ((1u << kCounterBits) - 1);
  }
  int64_t Read(size_t counter) const override {
    return static_cast<int64_t>(fl_load64(&At(counter)));
  }
  void Subtract(size_t counter, int64_t amount) override {
    __sync_fetch_and_sub(&At(counter), static_cast<uint64_t>(amount));
  }

 private:
  __u64& At(size_t counter) const {
    fl_load& load = load_[counter / 2];
    return counter % 2 == 0 ? load.live : load.pending;
  }

  const std::span<const fl_bucket> flows_;
  const std::span<fl_load> load_;
};

class ChargeBooks final : public Books {
 public:
  explicit ChargeBooks(SourceCharges charges) : charges_(charges) {}

  size_t slots() const override { return charges_.slots(); }
  size_t counters() const override { return charges_.entries(); }
  uint32_t Fingerprint(size_t slot) const override {
    const uint32_t charge = charges_.Of(slot);
    return charge <= charges_.entries() ? charge : 0;
  }
  size_t CounterOf(uint32_t fingerprint) const override {
    return fingerprint - 1;
  }
  int64_t Read(size_t counter) const override {
    return charges_.EntryCount(counter);
  }
  void Subtract(size_t counter, int64_t amount) override {
    charges_.Subtract(counter, amount);
  }

 private:
  SourceCharges charges_;
};

}  // namespace

Recount::Recount(std::span<const fl_bucket> flows, std::span<fl_load> load)
    : Recount(std::make_unique<LoadBooks>(flows, load)) {}

Recount::Recount(SourceCharges charges)
    : Recount(std::make_unique<ChargeBooks>(charges)) {}

Recount::Recount(std::unique_ptr<Books> books)
    : books_(std::move(books)),
      errors_(books_->counters()),
      values_(errors_.size()) {
  // Memory that is only reserved costs nothing before it is written to, step by
  // step.
  before_.reserve(books_->slots());
  BeginRound();
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
  next_slot_ = 0;
  second_walk_ = false;
  before_.clear();
  sure_.assign(errors_.size(), 0);
  unsure_.assign(errors_.size(), 0);
}

void Recount::ReadCounters() {
  for (size_t i = 0; i < values_.size(); ++i) {
    values_[i] = books_->Read(i);
  }
  next_slot_ = 0;
  second_walk_ = true;
}

void Recount::LookAgain(uint32_t then, uint32_t now) {
  if (then == now) {
    if (now != 0) ++sure_[books_->CounterOf(now)];
    return;
  }
  if (then != 0) ++unsure_[books_->CounterOf(then)];
  if (now != 0) ++unsure_[books_->CounterOf(now)];
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
    books_->Subtract(i, nearest);
    ++corrected_;
  }
}

bool Recount::Step(size_t buckets) {
  const size_t end = std::min(
      books_->slots(),
      next_slot_ + std::min(buckets * FL_BUCKET_SLOTS, books_->slots()));
  for (; next_slot_ < end; ++next_slot_) {
    const uint32_t now = books_->Fingerprint(next_slot_);
    if (second_walk_) {
      LookAgain(before_[next_slot_], now);
    } else {
      before_.push_back(now);
    }
  }
  if (end < books_->slots()) return false;
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
  while (!Step(books_->slots())) {
    if (rounds_ != round) return false;
  }
  return true;
}

}  // namespace fairlead::datapath
