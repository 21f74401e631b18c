// Who may do what: the role of a process at the other end of the control
// socket. Root and the daemon's own user are admin; groups that the node config
// names give roles to others, and the highest one counts.
//
// Group names are resolved once, at start: a change needs a restart.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "event/socket.h"

namespace fairlead::control {

enum class Role : uint8_t { kNone, kViewer, kOperator, kAdmin };

absl::string_view ToString(Role role);

// The section [access] of the node config: names or numbers of groups; empty if
// only root and the daemon's user have the role.
struct AccessGroups {
  std::string viewer_group;
  std::string operator_group;
  std::string admin_group;
};

class Access {
 public:
  // Root and `own_uid` alone.
  explicit Access(uid_t own_uid) : own_uid_(own_uid) {}
  // INVALID_ARGUMENT, with the setting, if there is no such group.
  static absl::StatusOr<Access> Resolve(uid_t own_uid,
                                        const AccessGroups& groups);

  // Nobody (no credentials) has no role.
  Role RoleOf(const std::optional<event::PeerCredentials>& peer) const;
  // PERMISSION_DENIED, with the role that is needed and how to get it.
  absl::Status Check(const std::optional<event::PeerCredentials>& peer,
                     Role needed) const;

 private:
  // Constant after construction.
  uid_t own_uid_;
  std::vector<std::pair<gid_t, Role>> roles_;
};

}  // namespace fairlead::control
