// PrefixLists: fl_prefixes, who may open connections to which service.
//
// Packets are never met by half a list: a changed one is written beside the one
// in force, takes its place by the one write of the service's entry, and the
// one before is removed when no packet reads it any more.
#pragma once

#include <cstdint>

#include "absl/container/btree_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/model.h"

namespace fairlead::datapath {

class PrefixLists {
 public:
  // Borrows the map.
  explicit PrefixLists(int map) : map_(map) {}
  PrefixLists(const PrefixLists&) = delete;
  PrefixLists& operator=(const PrefixLists&) = delete;

  // Takes over what the map holds. `in_force`: the number of each service's
  // list, by its entry; all others are removed.
  // Requires: first call.
  absl::Status Adopt(const absl::btree_map<core::ServiceId, uint8_t>& in_force);

  // Writes `list` unless it is the one in force. Answers its number, 0 for an
  // empty one. On error nothing of it is left.
  absl::StatusOr<uint8_t> Stage(core::ServiceId service,
                                const core::SourceList& list);
  // The service's entry names `number`, and no packet has met another: removes
  // what was in force before.
  void Commit(core::ServiceId service, uint8_t number,
              const core::SourceList& list);
  // It could not be written.
  void TakeBack(core::ServiceId service, uint8_t number,
                const core::SourceList& list);

 private:
  struct Lists {
    uint8_t number = 0;     // in force; 0: none
    core::SourceList list;  // of that number
  };

  absl::Status Write(core::ServiceId service, uint8_t number,
                     const core::SourceList& list);
  void Remove(core::ServiceId service, uint8_t number,
              const core::SourceList& list);

  const int map_;
  absl::btree_map<core::ServiceId, Lists> lists_;
};

}  // namespace fairlead::datapath
