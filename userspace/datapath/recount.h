// Recount: makes counters equal to the slots that they count again, at
// adoption: fl_load to the flow table, and fl_source_conns to what flows are
// charged to. A daemon that was killed between a compare-and-swap and its
// counter left that counter off for good; so does a map that had to be made
// anew.
//
// Packets move slots and counters all the while, so neither can just be summed
// and stored. But each winner of a transition moves both, so the error of a
// counter stays what it is, and one round bounds it: all slots are read twice,
// all counters once in between, in as many steps as the caller likes. A slot
// that was the same both times was so when the counter was read; one that
// changed may or may not have counted as before or after. The error lies in the
// interval that this gives, and in that of every other round: what the
// intervals share soon is one number. Where packets are too many for that, it
// is corrected as far as the intervals exclude zero.
//
// What it can get wrong: a CPU that won a transition and did not reach the
// counter yet, because it was interrupted just there, looks like an error of
// one. It would have to stay there for kAgreeing rounds in a row; so would a
// slot have to be freed and taken by the same flow, or by one of 16,384 others,
// between its two reads. Then one counter is off by one until the next
// adoption. Nothing routes by it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "datapath/source_charges.h"
#include "fairlead/abi/flow_slot.h"
#include "fairlead/abi/maps.h"

namespace fairlead::datapath {

// What is counted.
class Books {
 public:
  virtual ~Books() = default;

  virtual size_t slots() const = 0;
  virtual size_t counters() const = 0;
  // A slot that counts nowhere: 0. Else its counter, and enough else to tell
  // that the slot is still the same.
  virtual uint32_t Fingerprint(size_t slot) const = 0;
  virtual size_t CounterOf(uint32_t fingerprint) const = 0;
  virtual int64_t Read(size_t counter) const = 0;
  virtual void Subtract(size_t counter, int64_t amount) = 0;
};

class Recount {
 public:
  // Rounds in a row that must agree before a counter is corrected.
  static constexpr int kAgreeing = 3;
  // After so many rounds, counters that do not agree stay as they are.
  static constexpr int kMaxRounds = 64;

  // Of fl_load. Borrows the tables.
  Recount(std::span<const fl_bucket> flows, std::span<fl_load> load);
  // Of connections of sources.
  explicit Recount(SourceCharges charges);
  Recount(const Recount&) = delete;
  Recount& operator=(const Recount&) = delete;

  // Looks at the next `buckets` buckets; true when that was the last of all
  // rounds, and all is corrected. A FlowScan may take its steps in between:
  // what it does to a slot, it does to the counter before it returns. Takes 4
  // bytes a slot until it is destroyed.
  bool Step(size_t buckets);
  // All steps of a round at once.
  bool Round();

  // Requires: Step() returned true. How many counters were wrong.
  int corrected() const { return corrected_; }

 private:
  // Of one counter: its value less the slots that count in it.
  struct Error {
    int64_t low = INT64_MIN;
    int64_t high = INT64_MAX;
    int rounds = 0;   // that agree on it
    int certain = 0;  // of them, since only one number was left

    bool MayBeZero() const { return low <= 0 && high >= 0; }
    void Narrow(int64_t round_low, int64_t round_high);
  };

  explicit Recount(std::unique_ptr<Books> books);
  void LookAgain(uint32_t then, uint32_t now);
  void BeginRound();
  void ReadCounters();
  void EndRound();
  bool IsSettled() const;
  void Correct();

  const std::unique_ptr<Books> books_;
  std::vector<Error> errors_;  // by counter
  int rounds_ = 0;

  // Of the round under way: where it is in its two walks, what the first one
  // saw, and what the counters were after it.
  size_t next_slot_ = 0;
  bool second_walk_ = false;
  std::vector<uint32_t> before_;
  std::vector<int64_t> values_;
  std::vector<int64_t> sure_, unsure_;
  int corrected_ = 0;
};

}  // namespace fairlead::datapath
