#include "datapath/source_charges.h"

#include <algorithm>

#include "lib/conns.h"

namespace fairlead::datapath {

uint32_t* SourceCharges::CellOf(size_t slot) const {
  return &flows_[slot / FL_BUCKET_SLOTS].entries[slot % FL_BUCKET_SLOTS];
}

uint64_t* SourceCharges::WordOf(size_t entry) const {
  return reinterpret_cast<uint64_t*>(
      &conns_[entry / FL_CONN_SET].words[entry % FL_CONN_SET]);
}

uint32_t SourceCharges::Of(size_t slot) const {
  if (empty()) return 0;
  return *static_cast<const volatile uint32_t*>(CellOf(slot));
}

void SourceCharges::Release(size_t slot, uint32_t charge) {
  if (charge != 0 && fl_charge_clear(CellOf(slot), charge)) GiveBack(charge);
}

uint32_t SourceCharges::Take(size_t slot) {
  if (Of(slot) == 0) return 0;
  return fl_swap_in32(CellOf(slot), 0);
}

void SourceCharges::Put(size_t slot, const fl_slot& flow, uint64_t hash,
                        uint32_t charge) {
  if (empty()) return;
  if (charge == 0 && Of(slot) == 0) return;
  GiveBack(fl_charge_put(CellOf(slot), &flow, hash, charge));
}

// One that names no entry is of a table that was larger.
void SourceCharges::GiveBack(uint32_t charge) {
  if (charge == 0 || charge > entries()) return;
  fl_conns_give(reinterpret_cast<__u64*>(WordOf(charge - 1)));
}

uint64_t SourceCharges::CountOf(uint64_t key) const {
  if (empty()) return 0;
  return fl_conns_of(
      &conns_[fl_conn_set_of(key, static_cast<uint32_t>(conns_.size() - 1))],
      key);
}

int64_t SourceCharges::EntryCount(size_t entry) const {
  return fl_conn_count(
      fl_load64(reinterpret_cast<const __u64*>(WordOf(entry))));
}

// An entry that counts too little is one that its source shares with nobody
// else as long as it counts at all; at 0 it may have become another's.
void SourceCharges::Subtract(size_t entry, int64_t amount) {
  auto* const word = reinterpret_cast<__u64*>(WordOf(entry));
  for (int attempt = 0; attempt < FL_CONN_ATTEMPTS; ++attempt) {
    const uint64_t before = fl_load64(word);
    const int64_t count = fl_conn_count(before);
    const int64_t after =
        std::clamp<int64_t>(count - amount, 0, FL_CONN_COUNT_MASK);
    if (fl_cas64(word, before,
                 (before & FL_CONN_CHECK_MASK) | static_cast<uint64_t>(after)))
      return;
  }
}

}  // namespace fairlead::datapath
