#include "core/last_offers.h"

#include "absl/container/btree_set.h"
#include "core/ownership.h"

namespace fairlead::core {
namespace {

template <typename Id>
void RetainIn(absl::btree_map<Id, base::MonoTime>& times,
              const absl::btree_set<Id>& ids) {
  for (auto it = times.begin(); it != times.end();)
    it = ids.contains(it->first) ? std::next(it) : times.erase(it);
}

}  // namespace

void LastOffers::Retain(const DesiredState& desired) {
  absl::btree_set<ServiceId> services;
  absl::btree_set<BackendId> backends;
  for (const auto& [name, service] : desired.services) {
    services.insert(service.id);
    for (const auto& [backend_name, backend] : service.backends)
      backends.insert(backend.id);
  }
  for (const auto& [id, since] : desired.quarantine) backends.insert(id);
  RetainIn(rows_changed_, services);
  RetainIn(other_tables_, services);
  RetainIn(stuck_, backends);
}

bool LastOffers::HasCountedSince(ServiceId service, BackendId backend,
                                 const AgentReport& report) const {
  const auto has_since = [&](base::MonoTime last_offer) {
    return report.owned_begun.has_value() &&
           *report.owned_begun > last_offer + OfferWindow(report, last_offer);
  };
  const auto other = other_tables_.find(service);
  const auto stuck = stuck_.find(backend);
  return (other == other_tables_.end() || has_since(other->second)) &&
         (stuck == stuck_.end() || has_since(stuck->second));
}

bool LastOffers::ProvesNoOwner(ServiceId service, const AgentReport& report,
                               uint32_t row) const {
  const auto changed = rows_changed_.find(service);
  return changed != rows_changed_.end() &&
         core::ProvesNoOwner(report, row, changed->second);
}

}  // namespace fairlead::core
