// Which ids and which rows of the shared tables a new service or backend gets.
// Answers depend on the desired state alone, so that a restarted daemon gives
// the same.
#pragma once

#include "absl/status/statusor.h"
#include "core/model.h"

namespace fairlead::core {

// The lowest free one. RESOURCE_EXHAUSTED: all are taken.
absl::StatusOr<ServiceId> AllocateServiceId(const DesiredState& desired,
                                            const TableSizes& sizes);
// Ids in quarantine are taken.
absl::StatusOr<BackendId> AllocateBackendId(const DesiredState& desired,
                                            const TableSizes& sizes);

// The base of the first free region of `rows`, a multiple of `rows`.
// Requires: `rows` is a power of two.
absl::StatusOr<uint32_t> AllocateRows(const DesiredState& desired,
                                      const TableSizes& sizes, uint32_t rows);

// OK if everything in `desired` has its place in tables of these sizes and no
// two things share one. The error names what does not fit and the size needed.
absl::Status CheckFits(const DesiredState& desired, const TableSizes& sizes);

}  // namespace fairlead::core
