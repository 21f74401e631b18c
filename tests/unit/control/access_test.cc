#include "control/access.h"

#include <catch2/catch.hpp>
#include <string>

namespace fairlead::control {
namespace {

using Catch::Matchers::Contains;

constexpr uid_t kOwnUid = 990;

Access MakeAccess() {
  const absl::StatusOr<Access> access =
      Access::Resolve(kOwnUid, {.viewer_group = "1001",
                                .operator_group = "1002",
                                .admin_group = "1004"});
  REQUIRE(access.ok());
  return *access;
}

event::PeerCredentials Peer(uid_t uid, gid_t gid,
                            std::vector<gid_t> groups = {}) {
  return {.pid = 1, .uid = uid, .gid = gid, .groups = std::move(groups)};
}

TEST_CASE("root and the daemon's own user are admin", "[control][access]") {
  const Access access = MakeAccess();
  CHECK(access.RoleOf(Peer(0, 0)) == Role::kAdmin);
  CHECK(access.RoleOf(Peer(kOwnUid, 5)) == Role::kAdmin);
}

TEST_CASE("a group gives its role, and the highest one counts",
          "[control][access]") {
  const Access access = MakeAccess();
  CHECK(access.RoleOf(Peer(7, 1001)) == Role::kViewer);
  CHECK(access.RoleOf(Peer(7, 5, {6, 1002})) == Role::kOperator);
  CHECK(access.RoleOf(Peer(7, 1004, {1001})) == Role::kAdmin);
  CHECK(access.RoleOf(Peer(7, 1001, {1002, 1001})) == Role::kOperator);
  CHECK(access.RoleOf(Peer(7, 5)) == Role::kNone);
}

TEST_CASE("nobody has no role", "[control][access]") {
  const Access access = MakeAccess();
  CHECK(access.RoleOf(std::nullopt) == Role::kNone);
  CHECK(absl::IsPermissionDenied(access.Check(std::nullopt, Role::kViewer)));
}

TEST_CASE("a refusal names the role that is needed and the setting",
          "[control][access]") {
  const Access access = MakeAccess();
  CHECK(access.Check(Peer(7, 1001), Role::kViewer).ok());
  const absl::Status refused = access.Check(Peer(7, 1001), Role::kOperator);
  CHECK(absl::IsPermissionDenied(refused));
  const std::string message(refused.message());
  CHECK_THAT(message, Contains("needs role operator"));
  CHECK_THAT(message, Contains("uid 7 has role viewer"));
  CHECK_THAT(message, Contains("access.operator_group"));
}

TEST_CASE("group names are resolved, an unknown one names its setting",
          "[control][access]") {
  const absl::StatusOr<Access> root =
      Access::Resolve(kOwnUid, {.operator_group = "root"});
  REQUIRE(root.ok());
  CHECK(root->RoleOf(Peer(7, 0)) == Role::kOperator);

  const absl::StatusOr<Access> unknown =
      Access::Resolve(kOwnUid, {.viewer_group = "no-such-group-here"});
  REQUIRE(absl::IsInvalidArgument(unknown.status()));
  CHECK_THAT(std::string(unknown.status().message()),
             Contains("access.viewer_group: no group") &&
                 Contains("no-such-group-here"));
}

}  // namespace
}  // namespace fairlead::control
