// The flow table's rules with several parties: two CPUs with packets and the
// daemon that expires, on one small table with few flows, so that they meet all
// the time. The order of steps is that of bpf/lib/flow_table.h.
//
// Each party works in steps and can be held up between any two. The same steps
// run on threads, which finds what memory order and half-done accesses do, or
// interleaved at random on one thread, which finds rare meetings at once and
// gives the same result for the same seed.
//
// `Rules` says how a slot changes: the shipped functions, or a broken copy, to
// see that the model notices.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <random>
#include <set>
#include <thread>

#include "lib/flow_slot.h"

namespace fairlead::test {

inline constexpr size_t kModelBackends = 4;
inline constexpr uint32_t kModelBuckets = 4;
inline constexpr uint32_t kModelFlows = 14;
inline constexpr fl_timeouts kModelTimeouts = {{0, 2, 3, 6, 3, 0, 0, 0}};

struct ShippedRules {
  static bool Dedupe(const fl_buckets& buckets, uint64_t hash,
                     uint32_t /*mine*/, fl_slot_change* change) {
    return fl_slot_dedupe(&buckets, hash, change) != 0;
  }
  static fl_slot_change Touch(fl_slot* slot, uint64_t word0, uint8_t flags,
                              uint32_t now) {
    return fl_slot_touch(slot, word0, flags, now);
  }
};

// What all parties share: the table, its counters, and the clock.
struct ModelTable {
  std::array<fl_bucket, kModelBuckets> buckets = {};
  std::array<std::atomic<int64_t>, kModelBackends> live = {}, pending = {};
  // Not 0, so that a slot that was never written is old.
  std::atomic<uint32_t> now = 1000;

  fl_buckets Of(uint64_t hash) {
    return {&buckets[fl_bucket_first(hash, kModelBuckets - 1)],
            &buckets[fl_bucket_second(hash, kModelBuckets - 1)]};
  }
  // R1: the winner of a transition moves the counters.
  void Count(fl_slot_change change) {
    if (change.before == change.after) return;
    Add(change.before, -1);
    Add(change.after, 1);
  }

 private:
  void Add(uint64_t word0, int64_t amount) {
    const unsigned int state = fl_slot_state(word0);
    if (state == FL_SLOT_FREE) return;
    (fl_slot_is_pending(state) ? pending : live)[fl_slot_backend(word0)]
        .fetch_add(amount);
  }
};

template <typename Rules>
class ModelCpu {
 public:
  ModelCpu(ModelTable& table, uint32_t seed) : table_(table), random_(seed) {}

  bool idle() const { return stage_ == Stage::kIdle; }

  void Step() {
    switch (stage_) {
      case Stage::kIdle:
        return Receive();
      case Stage::kChoose:
        return Choose();
      case Stage::kInsert:
        return Insert();
      case Stage::kDedupe:
        return Dedupe();
      case Stage::kFindOther:
        stage_ = Find() || ++attempt_ == 2 ? Stage::kIdle : Stage::kChoose;
        return;
      case Stage::kTouch:
        table_.Count(Rules::Touch(slot_, word0_, flags_, table_.now.load()));
        stage_ = Stage::kIdle;
        return;
      case Stage::kMove:
        return Move();
    }
  }

 private:
  enum class Stage {
    kIdle,
    kChoose,
    kInsert,
    kDedupe,
    kFindOther,
    kTouch,
    kMove
  };

  bool Find() {
    slot_ = fl_slot_find(&buckets_, hash_, &word0_);
    return slot_ != nullptr;
  }

  // A packet: a SYN, a SYN that moves its flow, or another segment.
  void Receive() {
    const uint64_t dice = random_();
    hash_ = (dice % kModelFlows + 1) * 0x9e3779b97f4a7c15ull;
    buckets_ = table_.Of(hash_);
    mark_ = dice >> 32 & 1 ? FL_SLOT_FAIR : 0;
    backend_ = static_cast<uint16_t>(1 + dice / 64 % (kModelBackends - 1));
    const uint64_t kind = dice / 1024 % 8;
    flags_ = kind == 4 ? FL_TCP_FIN | FL_TCP_ACK : FL_TCP_ACK;
    attempt_ = 0;
    const bool found = Find();
    if (kind < 3 && !found) stage_ = Stage::kChoose;
    if (kind == 3 && found) stage_ = Stage::kMove;
    if (kind > 3 && found) stage_ = Stage::kTouch;
  }

  void Choose() {
    newcomer_ = {
        .timeouts = &kModelTimeouts, .now = table_.now.load(), .mark = mark_};
    position_ = fl_slot_victim(&buckets_, &newcomer_);
    stage_ = position_ < FL_POSITIONS ? Stage::kInsert : Stage::kIdle;
  }

  void Insert() {
    const fl_slot_change change =
        fl_slot_insert(&buckets_, position_, hash_, backend_, &newcomer_);
    table_.Count(change);
    copies_ = 0;
    stage_ = change.before != change.after ? Stage::kDedupe : Stage::kFindOther;
  }

  void Dedupe() {
    fl_slot_change change = {0, 0};
    if (copies_ < FL_MAX_COPIES &&
        Rules::Dedupe(buckets_, hash_, position_, &change)) {
      table_.Count(change);
      copies_++;
      return;
    }
    stage_ = copies_ == 0 ? Stage::kIdle : Stage::kFindOther;
  }

  void Move() {
    const uint32_t now = table_.now.load();
    const uint64_t after = fl_slot_word0(word0_, FL_SLOT_EMBRYONIC, backend_);
    fl_store64(&slot_->word1, fl_slot_reused(fl_load64(&slot_->word1), now));
    if (fl_cas64(&slot_->word0, word0_, after)) table_.Count({word0_, after});
    stage_ = Stage::kIdle;
  }

  ModelTable& table_;
  std::minstd_rand random_;
  Stage stage_ = Stage::kIdle;
  // Of the packet that is being worked on.
  uint64_t hash_ = 0;
  uint16_t mark_ = 0;
  fl_newcomer newcomer_ = {};
  uint16_t backend_ = 0;
  uint8_t flags_ = 0;
  fl_buckets buckets_ = {};
  fl_slot* slot_ = nullptr;
  __u64 word0_ = 0;
  uint32_t position_ = 0;
  int attempt_ = 0;
  int copies_ = 0;
};

// The daemon, which is also the clock: R3 on one slot after the other.
class ModelDaemon {
 public:
  ModelDaemon(ModelTable& table, uint32_t seed)
      : table_(table), random_(seed) {}

  bool idle() const { return slot_ == nullptr; }

  void Step() {
    if (slot_ != nullptr) {
      table_.Count(fl_slot_expire_end(slot_, word1_));
      slot_ = nullptr;
      return;
    }
    const uint64_t dice = random_();
    if (dice % 16 == 0) table_.now.fetch_add(1);
    fl_slot& slot = table_.buckets[dice / 16 % kModelBuckets]
                        .slots[dice / 256 % FL_BUCKET_SLOTS];
    if (fl_slot_expire_begin(&slot, table_.now.load(), &kModelTimeouts,
                             &word1_))
      slot_ = &slot;
  }

 private:
  ModelTable& table_;
  std::minstd_rand random_;
  fl_slot* slot_ = nullptr;
  __u64 word1_ = 0;
};

template <typename Rules>
class FlowSlotModel {
 public:
  explicit FlowSlotModel(uint32_t seed)
      : cpus_{{{table_, seed}, {table_, seed + 1}}},
        daemon_(table_, seed + 2),
        random_(seed + 3) {}

  // Each party on a thread of its own, to the end of its last packet.
  void RunThreads(int steps) {
    std::thread other([&] { Run(cpus_[1], steps); });
    std::thread daemon([&] { Run(daemon_, steps / 4); });
    Run(cpus_[0], steps);
    other.join();
    daemon.join();
  }

  // Whose turn it is goes on for up to 16 steps, so that others are held up in
  // the midst of a packet for whole packets.
  void RunInterleaved(int steps) {
    while (steps > 0) {
      const uint64_t dice = random_();
      for (uint64_t turn = dice / 64 % 16 + 1; turn > 0; turn--, steps--) {
        if (dice % 4 == 3) {
          daemon_.Step();
        } else {
          cpus_[dice % 2].Step();
        }
      }
    }
    Run(cpus_[0], 0);
    Run(cpus_[1], 0);
    Run(daemon_, 0);
  }

  // At rest: the sum of |counter - slots|.
  int64_t WrongCounters() const {
    std::array<int64_t, kModelBackends> live = {}, pending = {};
    ForEachUsed([&](uint64_t word0) {
      const bool is_pending = fl_slot_is_pending(fl_slot_state(word0));
      (is_pending ? pending : live)[fl_slot_backend(word0)]++;
    });
    int64_t wrong = 0;
    for (size_t i = 0; i < kModelBackends; i++) {
      wrong += std::abs(table_.live[i].load() - live[i]) +
               std::abs(table_.pending[i].load() - pending[i]);
    }
    return wrong;
  }

  // At rest: tags that stand in a second slot.
  int64_t Duplicates() const {
    std::set<uint64_t> tags;
    int64_t duplicates = 0;
    ForEachUsed([&](uint64_t word0) {
      if (!tags.insert(fl_slot_tag(word0)).second) duplicates++;
    });
    return duplicates;
  }

 private:
  template <typename Party>
  static void Run(Party& party, int steps) {
    for (int i = 0; i < steps || !party.idle(); i++) party.Step();
  }

  template <typename Handler>
  void ForEachUsed(Handler handler) const {
    for (const fl_bucket& bucket : table_.buckets) {
      for (const fl_slot& slot : bucket.slots) {
        if (fl_slot_state(slot.word0) != FL_SLOT_FREE) handler(slot.word0);
      }
    }
  }

  ModelTable table_;
  std::array<ModelCpu<Rules>, 2> cpus_;
  ModelDaemon daemon_;
  std::minstd_rand random_;
};

}  // namespace fairlead::test
