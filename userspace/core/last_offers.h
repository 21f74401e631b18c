// LastOffers: when flows may have been offered for the last time to a backend
// that this host's table does not say. Until an agent has counted after that,
// its counts prove nothing.
#pragma once

#include <cstdint>

#include "absl/container/btree_map.h"
#include "base/mono_time.h"
#include "core/model.h"

namespace fairlead::core {

class LastOffers {
 public:
  // Until now a backend that is no candidate of a row any more may have been
  // one.
  void OnRowsChanged(ServiceId service, base::MonoTime now) {
    rows_changed_[service] = now;
  }
  // Another LB host offers by another table.
  void OnOtherTable(ServiceId service, base::MonoTime now) {
    other_tables_[service] = now;
  }
  // The backend has a place among the candidates of a row, here or on another
  // LB host, only for want of another.
  void OnStuck(BackendId backend, base::MonoTime now) { stuck_[backend] = now; }

  // Forgets what is not configured any more. Who is in quarantine is.
  void Retain(const DesiredState& desired);

  // Has the backend's agent scanned twice since other hosts, or rows that were
  // short of places, may have offered it flows, and since their window?
  bool HasCountedSince(ServiceId service, BackendId backend,
                       const AgentReport& report) const;
  // Does the report prove that its backend owns nothing in the row?
  bool ProvesNoOwner(ServiceId service, const AgentReport& report,
                     uint32_t row) const;

 private:
  absl::btree_map<ServiceId, base::MonoTime> rows_changed_;
  absl::btree_map<ServiceId, base::MonoTime> other_tables_;
  absl::btree_map<BackendId, base::MonoTime> stuck_;
};

}  // namespace fairlead::core
