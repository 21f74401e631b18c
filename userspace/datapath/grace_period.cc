#include "datapath/grace_period.h"

#include <bpf/bpf.h>

#include <cerrno>
#include <cstdint>

#include "base/check.h"
#include "base/errors.h"

namespace fairlead::datapath {

absl::StatusOr<GracePeriod> GracePeriod::Create() {
  base::UniqueFd inner(bpf_map_create(BPF_MAP_TYPE_ARRAY, "fl_grace_inner",
                                      sizeof(uint32_t), sizeof(uint64_t), 1,
                                      nullptr));
  if (!inner.valid()) return base::BpfError(errno, "create a map to wait with");
  bpf_map_create_opts options = {};
  options.sz = sizeof(options);
  options.inner_map_fd = static_cast<uint32_t>(inner.get());
  base::UniqueFd outer(bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "fl_grace",
                                      sizeof(uint32_t), sizeof(uint32_t), 1,
                                      &options));
  if (!outer.valid()) return base::BpfError(errno, "create a map to wait with");
  return GracePeriod(std::move(inner), std::move(outer));
}

// The kernel promises it for a map of maps: when the call returns, no program
// that is running uses the map that was there before. Nothing is allocated, so
// nothing can fail.
void GracePeriod::Wait() const {
  const uint32_t key = 0;
  const int inner = inner_.get();
  FL_CHECK(bpf_map_update_elem(outer_.get(), &key, &inner, BPF_ANY) == 0);
}

}  // namespace fairlead::datapath
