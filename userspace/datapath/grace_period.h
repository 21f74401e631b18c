// GracePeriod: waits for the packets that are under way in BPF programs.
//
// The kernel gives the memory of a replaced or removed element of a hash map to
// the next element that is written, also while a packet still reads it: that
// packet would then be judged by another key's value. Between the two, wait.
#pragma once

#include <utility>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace fairlead::datapath {

class GracePeriod {
 public:
  static absl::StatusOr<GracePeriod> Create();

  // Returns when every packet that a program had begun with is through, which
  // takes 10 to 50 ms.
  void Wait() const;

 private:
  GracePeriod(base::UniqueFd inner, base::UniqueFd outer)
      : inner_(std::move(inner)), outer_(std::move(outer)) {}

  base::UniqueFd inner_;
  base::UniqueFd outer_;
};

}  // namespace fairlead::datapath
