// XDP programs on interfaces: who is there, our links and their pins.
//
// A pinned link keeps its program attached when the daemon is gone, and takes
// another program in one step, without a packet in between.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace fairlead::datapath {

enum class XdpMode { kNative, kGeneric };

// "native", "generic".
absl::string_view ToString(XdpMode mode);

struct Interface {
  std::string name;
  uint32_t index = 0;
};

// Errors: no such interface; the message lists those that exist.
absl::StatusOr<Interface> FindInterface(const std::string& name);

// Its name, or "interface 7" if it has none any more.
std::string InterfaceName(uint32_t index);

struct AttachedProgram {
  uint32_t id = 0;
  XdpMode mode = XdpMode::kNative;
};

absl::StatusOr<std::optional<AttachedProgram>> QueryXdp(
    const Interface& interface);

// As the kernel has it; empty if there is no such program any more.
std::string ProgramName(uint32_t id);

struct PinnedLink {
  base::UniqueFd fd;
  std::string path;
  uint32_t interface = 0;  // 0: the interface is gone
  uint32_t program = 0;    // id
};

// The links pinned in `folder`; none if there is no such folder.
absl::StatusOr<std::vector<PinnedLink>> FindPinnedLinks(
    const std::string& folder);

// Where the link of an interface is pinned. By index, because a pin's name must
// not have dots, and names of interfaces change.
std::string LinkPath(const std::string& folder, uint32_t interface);

// Takes the pins of all links from one folder to another; their programs stay
// attached.
absl::Status MoveLinks(const std::string& from, const std::string& to);

// Detaches, then removes the pin. To remove the pin alone would detach as well,
// but some time later.
absl::Status RemoveLink(const PinnedLink& link);

// Attaches `program`. The link is not pinned yet: it goes with the fd.
absl::StatusOr<base::UniqueFd> AttachXdp(const Interface& interface,
                                         XdpMode mode, int program);

}  // namespace fairlead::datapath
