#include "core/row_plan.h"

#include <algorithm>

#include "base/check.h"

namespace fairlead::core {
namespace {

// A list of different ids, with room for all that two rows can name.
class IdList {
 public:
  IdList() = default;
  explicit IdList(std::span<const uint16_t> ids) {
    for (const uint16_t id : ids) {
      if (id != 0) Add(id);
    }
  }

  size_t size() const { return size_; }
  const uint16_t* begin() const { return ids_.data(); }
  const uint16_t* end() const { return ids_.data() + size_; }
  bool Contains(uint16_t id) const {
    return std::find(begin(), end(), id) != end();
  }
  // Nothing happens if it is there already.
  void Add(uint16_t id) {
    if (!Contains(id)) ids_[size_++] = id;
  }
  void AddAll(const IdList& other) {
    for (const uint16_t id : other) Add(id);
  }
  // Requires: at most four.
  uint64_t Pack() const {
    FL_CHECK(size_ <= kRowCandidates);
    return PackWord({ids_[0], ids_[1], ids_[2], ids_[3]});
  }

 private:
  std::array<uint16_t, 16> ids_ = {};
  size_t size_ = 0;
};

using MayOwn = absl::FunctionRef<bool(uint16_t)>;

void CheckWanted(const CandidateWord& wanted, const IdList& ids) {
  for (size_t i = 0; i < ids.size(); ++i) FL_CHECK(wanted[i] != 0);
  FL_CHECK(ids.size() == kRowCandidates || wanted[ids.size()] == 0);
  FL_CHECK(PackWord(wanted) == ids.Pack());
}

struct Places {
  // Must stand in word 1 while word 0 changes. At most kRowOwners.
  IdList bridge;
  // Old candidates that may own and have no place in word 1.
  IdList stuck;
};

Places FindPlaces(const IdList& candidates, const IdList& owners,
                  const IdList& wanted, MayOwn may_own) {
  Places places;
  for (const uint16_t id : owners) {
    // One that a killed writer left in both words counts as a candidate.
    if (candidates.Contains(id)) continue;
    if (may_own(id) || wanted.Contains(id)) places.bridge.Add(id);
  }
  // In the order of rank from the last: if some must stay, then the first.
  std::array<uint16_t, kRowCandidates> stuck = {};
  size_t first_stuck = stuck.size();
  for (size_t i = candidates.size(); i-- > 0;) {
    const uint16_t id = candidates.begin()[i];
    if (wanted.Contains(id) || !may_own(id)) continue;
    if (places.bridge.size() < kRowOwners) {
      places.bridge.Add(id);
    } else {
      stuck[--first_stuck] = id;
    }
  }
  places.stuck = IdList(stuck);
  return places;
}

// The wanted ones in their order, as many new ones as there is room for, then
// the stuck ones.
IdList NewCandidates(const IdList& old, const IdList& wanted,
                     const IdList& stuck) {
  size_t room = kRowCandidates - stuck.size();
  for (const uint16_t id : wanted) room -= old.Contains(id) ? 1 : 0;
  IdList result;
  for (const uint16_t id : wanted) {
    if (!old.Contains(id)) {
      if (room == 0) continue;
      --room;
    }
    result.Add(id);
  }
  result.AddAll(stuck);
  return result;
}

}  // namespace

RowPlan PlanRow(RowWords now, const CandidateWord& wanted_word,
                absl::FunctionRef<bool(uint16_t id)> may_own) {
  const IdList wanted(wanted_word);
  CheckWanted(wanted_word, wanted);
  const IdList old_candidates(UnpackWord(now.candidates));
  auto owner_word = UnpackWord(now.owners);
  owner_word[kRowOwners] = 0;  // the reserved place names nobody
  const IdList old_owners(owner_word);

  const Places places = FindPlaces(old_candidates, old_owners, wanted, may_own);
  const IdList candidates = NewCandidates(old_candidates, wanted, places.stuck);
  IdList transition = old_owners;
  transition.AddAll(places.bridge);
  if (transition.size() > kRowOwners) transition = places.bridge;
  IdList owners;
  for (const uint16_t id : places.bridge) {
    if (may_own(id) && !candidates.Contains(id)) owners.Add(id);
  }

  RowPlan plan;
  plan.overflow = candidates.Pack() != PackWord(wanted_word);
  uint64_t word_1 = now.owners;
  const auto store_owners = [&](uint64_t value) {
    if (value == word_1) return;
    word_1 = value;
    plan.stores[plan.count++] = {RowWord::kOwners, value};
  };
  if (candidates.Pack() != now.candidates) {
#ifndef FL_MUTATE_MAKE_BEFORE_BREAK
    store_owners(transition.Pack());
#endif
    plan.stores[plan.count++] = {RowWord::kCandidates, candidates.Pack()};
  }
  store_owners(owners.Pack());
  return plan;
}

}  // namespace fairlead::core
