// The flows that packets found here though their LB host did not know: what the
// packet path remembers (rule A4 of docs/WIRE.md), for the LB hosts to ask.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/status/statusor.h"
#include "base/mono_time.h"
#include "datapath/mapped_array.h"
#include "fairlead/abi/maps.h"

namespace fairlead::agent {

class LearnedFlows {
 public:
  // Of the pinned fl_learned.
  static absl::StatusOr<LearnedFlows> Map(int fd);

  // The packet path's clock at that time.
  static uint32_t TickOf(base::MonoTime time);
  // Hashes of the flows of one LB host's packets at that tick or later, by
  // fl_vip.index, each in no order. May repeat what was answered before.
  absl::btree_map<uint32_t, std::vector<uint64_t>> Since(uint16_t lb_id,
                                                         uint32_t tick) const;

 private:
  explicit LearnedFlows(datapath::MappedArray<fl_learned> entries)
      : entries_(std::move(entries)) {}

  datapath::MappedArray<fl_learned> entries_;
};

}  // namespace fairlead::agent
