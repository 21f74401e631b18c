// AgentProgram: the backend's packet path, loaded, pinned and attached.
//
// Maps and link are pinned below <pin_path>/v<FL_ABI_VERSION>/ in the way of
// datapath/pin_folder.h, so packets flow on while no agent runs; the next
// one takes over the maps and swaps the program in place. The pins go by
// DetachAgent() alone.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/agent_maps.h"
#include "base/unique_fd.h"
#include "datapath/pin_folder.h"
#include "datapath/xdp_link.h"
#include "fairlead/abi/config.h"

namespace fairlead::agent {

inline constexpr size_t kAgentMaps = 6;

// The open maps, in the order of AgentMapFds.
class AgentMapSet {
 public:
  // Those that are pinned; NOT_FOUND if there are none.
  static absl::StatusOr<AgentMapSet> OpenPinned(const std::string& folder);
  explicit AgentMapSet(std::array<base::UniqueFd, kAgentMaps> fds)
      : fds_(std::move(fds)) {}

  AgentMapFds fds() const;

 private:
  std::array<base::UniqueFd, kAgentMaps> fds_;
};

struct AgentProgramOptions {
  std::string pin_path;
  std::string interface;
  datapath::XdpMode mode = datapath::XdpMode::kNative;
  fl_agent_config config = {};
};

class AgentProgram {
 public:
  // Takes the lock, the pinned maps or new ones, and loads the program; packets
  // do not see it yet. Errors leave everything as it was: another agent,
  // another XDP program on the interface, maps of another shape.
  static absl::StatusOr<std::unique_ptr<AgentProgram>> Load(
      AgentProgramOptions options);
  AgentProgram(const AgentProgram&) = delete;
  AgentProgram& operator=(const AgentProgram&) = delete;
  // Gives up the lock. What is attached stays; new maps that nothing is
  // attached to go.
  ~AgentProgram();

  // From here on packets meet this program. One that was there before is
  // replaced without a packet in between.
  absl::Status Attach();

  AgentMapFds maps() const { return maps_.fds(); }
  // The maps are those of an agent before this one, with their contents.
  bool adopted() const { return adopted_; }
  // What an operator should be told besides, one sentence each.
  const std::vector<std::string>& notes() const { return notes_; }

 private:
  AgentProgram(datapath::PinFolder folder, AgentProgramOptions options,
               AgentMapSet maps)
      : folder_(std::move(folder)),
        options_(std::move(options)),
        maps_(std::move(maps)) {}

  // All of Load() but the lock; leaves new pins behind on error.
  static absl::StatusOr<std::unique_ptr<AgentProgram>> LoadIn(
      datapath::PinFolder& folder, AgentProgramOptions options);
  absl::Status RemoveOtherLinks(const std::vector<datapath::PinnedLink>& links);

  datapath::PinFolder folder_;
  AgentProgramOptions options_;
  datapath::Interface interface_;
  AgentMapSet maps_;
  base::UniqueFd program_;
  bool adopted_ = false;
  bool attached_ = false;
  std::vector<std::string> notes_;
};

enum class Detached { kYes, kNothingThere };

// Takes the program off the interface and removes the pins. FAILED_PRECONDITION
// while an agent runs.
absl::StatusOr<Detached> DetachAgent(const std::string& pin_path);

// <pin_path>/v<FL_ABI_VERSION>.
std::string LayoutFolder(const std::string& pin_path);

// The tag that the kernel gives the program of this executable: loads it, and
// lets go of it again.
absl::StatusOr<std::string> OwnProgramTag();
// Of the program with this id, as eight bytes in hexadecimal; empty if there is
// none.
std::string ProgramTag(uint32_t id);

}  // namespace fairlead::agent
