// EgressHooks: one of our programs on the way out of interfaces (TC egress).
//
// Where the kernel has links for it (tcx, Linux 6.6), one is pinned for each
// interface; before, a filter of clsact with a handle of our own stays by
// itself. Either way it outlives the process, and takes another program in one
// step, without a packet in between.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "datapath/xdp_link.h"

namespace fairlead::datapath {

class EgressHooks {
 public:
  enum class Kind { kBest, kFilter };

  // Links are pinned in `folder`, on a BPF file system. `program` is the name
  // by which a filter is known to be ours.
  EgressHooks(std::string folder, std::string program, Kind kind = Kind::kBest)
      : folder_(std::move(folder)), program_(std::move(program)), kind_(kind) {}

  const std::string& folder() const { return folder_; }

  // The interfaces that have one.
  absl::StatusOr<std::set<uint32_t>> Find() const;
  // Attaches the program, or has it take the place of the one that is there.
  absl::Status Put(const Interface& interface, int program) const;
  // Fine if there is none. The empty clsact of a filter stays: whether it was
  // somebody else's before cannot be known, and without filters it does
  // nothing.
  absl::Status Remove(uint32_t interface) const;
  absl::Status RemoveAll() const;

 private:
  std::string PathOf(uint32_t interface) const;
  // Removes the pin of an interface that is gone.
  absl::Status DropStale(const std::string& path) const;
  absl::Status PutFilter(const Interface& interface, int program) const;
  bool HasFilter(uint32_t interface) const;

  const std::string folder_;
  const std::string program_;
  const Kind kind_;
};

}  // namespace fairlead::datapath
