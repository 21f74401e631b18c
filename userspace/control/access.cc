#include "control/access.h"

#include <grp.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "base/text.h"

namespace fairlead::control {
namespace {

constexpr size_t kFirstGroupBuffer = 4096;
constexpr size_t kLargestGroupBuffer = size_t{1} << 20;

absl::StatusOr<gid_t> GroupId(const std::string& name) {
  if (uint32_t number = 0; absl::SimpleAtoi(name, &number)) return number;
  std::vector<char> buffer(kFirstGroupBuffer);
  while (true) {
    group entry = {};
    group* found = nullptr;
    const int error =
        getgrnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found);
    if (found != nullptr) return entry.gr_gid;
    // A group with many members.
    if (error != ERANGE || buffer.size() >= kLargestGroupBuffer)
      return absl::InvalidArgumentError(
          absl::StrCat("no group ", base::Quoted(name),
                       " on this host; create it or correct the setting"));
    buffer.resize(buffer.size() * 2);
  }
}

absl::string_view SettingFor(Role needed) {
  switch (needed) {
    case Role::kViewer:
      return "access.viewer_group";
    case Role::kOperator:
      return "access.operator_group";
    default:
      return "access.admin_group";
  }
}

}  // namespace

absl::string_view ToString(Role role) {
  switch (role) {
    case Role::kNone:
      return "none";
    case Role::kViewer:
      return "viewer";
    case Role::kOperator:
      return "operator";
    case Role::kAdmin:
      return "admin";
  }
  return "?";
}

absl::StatusOr<Access> Access::Resolve(uid_t own_uid,
                                       const AccessGroups& groups) {
  Access access(own_uid);
  const std::pair<absl::string_view, Role> named[] = {
      {groups.viewer_group, Role::kViewer},
      {groups.operator_group, Role::kOperator},
      {groups.admin_group, Role::kAdmin}};
  for (const auto& [name, role] : named) {
    if (name.empty()) continue;
    FL_ASSIGN_OR_RETURN(const gid_t gid, GroupId(std::string(name)),
                        SettingFor(role));
    access.roles_.emplace_back(gid, role);
  }
  return access;
}

Role Access::RoleOf(const std::optional<event::PeerCredentials>& peer) const {
  if (!peer.has_value()) return Role::kNone;
  if (peer->uid == 0 || peer->uid == own_uid_) return Role::kAdmin;
  Role highest = Role::kNone;
  for (const auto& [gid, role] : roles_) {
    const bool member =
        peer->gid == gid || std::find(peer->groups.begin(), peer->groups.end(),
                                      gid) != peer->groups.end();
    if (member) highest = std::max(highest, role);
  }
  return highest;
}

absl::Status Access::Check(const std::optional<event::PeerCredentials>& peer,
                           Role needed) const {
  const Role role = RoleOf(peer);
  if (role >= needed) return absl::OkStatus();
  if (!peer.has_value()) {
    return absl::PermissionDeniedError(
        absl::StrCat("needs role ", ToString(needed),
                     "; the caller is unknown, use the Unix socket"));
  }
  return absl::PermissionDeniedError(absl::StrCat(
      "needs role ", ToString(needed), "; uid ", peer->uid, " has role ",
      ToString(role), " (root can name a group of it as ", SettingFor(needed),
      " in the node config)"));
}

}  // namespace fairlead::control
