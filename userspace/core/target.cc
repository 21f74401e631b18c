#include "core/target.h"

#include <algorithm>

#include "core/syn_budget.h"
#include "core/tier_share.h"

namespace fairlead::core {

TargetService TombstoneTarget(const Tombstone& tombstone) {
  return {.entry = {.id = tombstone.id, .tombstone = true}, .members = {}};
}

TargetService ServiceTarget(const Service& service, const TableSizes& sizes,
                            size_t lb_hosts) {
  const SynShares shares = SharesOf(service.syn_budget, sizes.flow_buckets);
  TargetService target;
  target.entry = {.id = service.id,
                  .tombstone = false,
                  .policy = service.policy,
                  .choices = service.choices,
                  .encap = service.encap,
                  .shed = service.shed,
                  .hop_lists = service.guarantee == Guarantee::kSockets,
                  .rows_base = service.rows_base,
                  .rows = service.rows,
                  .syn_fair = shares.fair,
                  .syn_limit = shares.limit,
                  .sources = service.sources,
                  .source_rate = ShareOf(service.source_rate, lb_hosts)};
  for (const auto& [name, backend] : service.backends) {
    if (backend.leaving) continue;
    target.members.push_back(
        {backend.address, backend.id, static_cast<uint16_t>(backend.weight)});
  }
  std::sort(target.members.begin(), target.members.end(),
            [](const WeightedMember& a, const WeightedMember& b) {
              return a.id < b.id;
            });
  return target;
}

}  // namespace fairlead::core
