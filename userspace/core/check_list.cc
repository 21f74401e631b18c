#include "core/check_list.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"
#include "base/text.h"
#include "core/check_config.h"
#include "core/refusal.h"
#include "core/settings.h"

namespace fairlead::core {
namespace {

absl::Status RefuseNone(const CheckConfig& check) {
  if (check.kind != CheckKind::kNone) return absl::OkStatus();
  return Refuse("check", ToString(check.kind),
                "checks nothing; to have one check less, delete it");
}

// Requires: it is there, or it is the main one.
CheckConfig& At(Service& service, const std::string& name) {
  return name == kMainCheck ? service.check
                            : service.more_checks.find(name)->second;
}

absl::Status LayOver(const ServiceSettings& settings, CheckConfig& check) {
  const CheckConfig before = check;
  LayCheck(settings, check);
  FL_RETURN_IF_ERROR(RefuseNone(check));
  FL_RETURN_IF_ERROR(CheckApplies(before, check));
  return CheckCheck(check);
}

}  // namespace

std::vector<CheckRef> ChecksOf(const Service& service) {
  std::vector<CheckRef> checks;
  if (service.check.kind != CheckKind::kNone)
    checks.push_back({.name = kMainCheck, .config = &service.check});
  for (const auto& [name, check] : service.more_checks)
    checks.push_back({.name = name, .config = &check});
  return checks;
}

absl::StatusOr<CheckRef> FindCheck(const Service& service,
                                   const std::string& name) {
  std::vector<std::string> have;
  for (const CheckRef& check : ChecksOf(service)) {
    if (check.name == name) return check;
    have.emplace_back(check.name);
  }
  return absl::NotFoundError(absl::StrCat(
      "no check ", base::Quoted(name), " of service ",
      base::Quoted(service.name),
      have.empty() ? "; add one with check add" : base::Hint(name, have)));
}

absl::Status CheckChecks(const Service& service) {
  FL_RETURN_IF_ERROR(CheckCheck(service.check));
  for (const auto& [name, check] : service.more_checks) {
    const std::string context = absl::StrCat("check ", base::Quoted(name));
    FL_RETURN_IF_ERROR(CheckName(name), context);
    if (name == kMainCheck)
      return base::Annotate(
          Refuse("name", base::Quoted(name), "is the first check's"), context);
    FL_RETURN_IF_ERROR(RefuseNone(check), context);
    FL_RETURN_IF_ERROR(CheckCheck(check), context);
  }
  const size_t count = ChecksOf(service).size();
  if (count <= kMostChecks) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat(
      "a service has at most ", kMostChecks, " checks, not ", count,
      ": delete one, or let one page of the backend answer for several"));
}

absl::Status AddCheckTo(const AddCheck& command, Service& service) {
  FL_RETURN_IF_ERROR(CheckName(command.name));
  const bool is_main = command.name == kMainCheck;
  if (is_main ? service.check.kind != CheckKind::kNone
              : service.more_checks.contains(command.name))
    return absl::AlreadyExistsError(
        "there is one of that name; change it with check set, or choose "
        "another name");
  CheckConfig check;
  const std::optional<absl::Duration>& interval =
      command.settings.check_interval;
  if (interval && *interval >= kShortestInterval)
    check.timeout = std::min(check.timeout, *interval);
  FL_RETURN_IF_ERROR(LayOver(command.settings, check));
  (is_main ? service.check : service.more_checks[command.name]) = check;
  return CheckChecks(service);
}

absl::Status SetCheckOf(const SetCheck& command, Service& service) {
  FL_RETURN_IF_ERROR(FindCheck(service, command.name).status());
  return LayOver(command.settings, At(service, command.name));
}

absl::Status DeleteCheckOf(const DeleteCheck& command, Service& service) {
  FL_RETURN_IF_ERROR(FindCheck(service, command.name).status());
  if (ChecksOf(service).size() == 1)
    return absl::FailedPreconditionError(
        "it is the last one, and without a check every backend counts as up; "
        "if that is wanted: service set --check none");
  if (command.name == kMainCheck)
    service.check = {.kind = CheckKind::kNone};
  else
    service.more_checks.erase(command.name);
  return absl::OkStatus();
}

std::pair<std::string, std::string> DescribeDifference(
    const CheckConfig& before, const CheckConfig& after) {
  const auto old_settings = DescribeCheck(before);
  const auto new_settings = DescribeCheck(after);
  std::vector<std::string> from;
  std::vector<std::string> to;
  for (size_t i = 0; i < old_settings.size(); ++i) {
    if (old_settings[i] == new_settings[i]) continue;
    const absl::string_view name =
        absl::StripPrefix(old_settings[i].first, "check-");
    from.push_back(absl::StrCat(name, " ", old_settings[i].second));
    to.push_back(absl::StrCat(name, " ", new_settings[i].second));
  }
  return {absl::StrJoin(from, ", "), absl::StrJoin(to, ", ")};
}

}  // namespace fairlead::core
