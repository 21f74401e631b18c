#include "core/check_status.h"

#include <algorithm>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"
#include "base/text.h"

namespace fairlead::core {
namespace {

constexpr StatusRule kUpUnlessSaid = {200, 299, StatusMeaning::kUp};
constexpr StatusRule kUnlessSaid[] = {{429, 429, StatusMeaning::kHold},
                                      {503, 503, StatusMeaning::kDrain}};

bool Contains(const StatusRule& rule, int status) {
  return rule.low <= status && status <= rule.high;
}

bool SaysUp(const StatusRule& rule) {
  return rule.meaning == StatusMeaning::kUp;
}

absl::Status NotARule(absl::string_view text) {
  return absl::InvalidArgumentError(absl::StrCat(
      base::Quoted(text),
      " is not what an HTTP status means; write 200-299, 204 or 429=hold, "
      "several of them with commas (up, hold, drain or fail)"));
}

std::optional<StatusMeaning> ParseMeaning(absl::string_view text) {
  for (const StatusMeaning value :
       {StatusMeaning::kUp, StatusMeaning::kHold, StatusMeaning::kDrain,
        StatusMeaning::kFail})
    if (text == ToString(value)) return value;
  return std::nullopt;
}

// At most three digits: a number that cannot overflow.
bool ParseCode(absl::string_view text, int& code) {
  return !text.empty() && text.size() <= 3 &&
         text.find_first_not_of("0123456789") == absl::string_view::npos &&
         absl::SimpleAtoi(text, &code);
}

absl::StatusOr<StatusRule> ParseRule(absl::string_view text) {
  StatusRule rule;
  const size_t equals = text.find('=');
  const absl::string_view range = text.substr(0, equals);
  if (equals != absl::string_view::npos) {
    const auto meaning = ParseMeaning(text.substr(equals + 1));
    if (!meaning.has_value()) return NotARule(text);
    rule.meaning = *meaning;
  }
  const size_t dash = range.find('-');
  const absl::string_view low = range.substr(0, dash);
  const absl::string_view high =
      dash == absl::string_view::npos ? low : range.substr(dash + 1);
  if (!ParseCode(low, rule.low) || !ParseCode(high, rule.high))
    return NotARule(text);
  for (const int code : {rule.low, rule.high}) {
    if (100 <= code && code <= 599) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("status ", code, ": must be 100 to 599"));
  }
  if (rule.low <= rule.high) return rule;
  return absl::InvalidArgumentError(
      absl::StrCat("status ", range, ": the lower one comes first"));
}

std::string RuleText(const StatusRule& rule) {
  std::string text = absl::StrCat(rule.low);
  if (rule.high != rule.low) absl::StrAppend(&text, "-", rule.high);
  if (rule.meaning != StatusMeaning::kUp)
    absl::StrAppend(&text, "=", ToString(rule.meaning));
  return text;
}

absl::Status CheckRules(const std::vector<StatusRule>& rules) {
  if (rules.size() > kMostStatusRules)
    return absl::InvalidArgumentError(absl::StrCat(
        rules.size(), " rules for statuses: at most ", kMostStatusRules));
  for (size_t i = 0; i < rules.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      if (!Contains(rules[j], rules[i].low) ||
          !Contains(rules[j], rules[i].high))
        continue;
      return absl::InvalidArgumentError(
          absl::StrCat("status ", RuleText(rules[i]), ": is never reached, ",
                       RuleText(rules[j]), " comes first"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::string_view ToString(StatusMeaning value) {
  switch (value) {
    case StatusMeaning::kUp:
      return "up";
    case StatusMeaning::kHold:
      return "hold";
    case StatusMeaning::kDrain:
      return "drain";
    case StatusMeaning::kFail:
      return "fail";
  }
  return "?";
}

absl::StatusOr<StatusMap> StatusMap::Parse(absl::string_view text) {
  std::vector<StatusRule> rules;
  for (const absl::string_view part : absl::StrSplit(text, ',')) {
    FL_ASSIGN_OR_RETURN(const StatusRule rule, ParseRule(part));
    rules.push_back(rule);
  }
  FL_RETURN_IF_ERROR(CheckRules(rules));
  StatusMap map;
  const bool only_usual = rules.size() == 1 && rules[0] == kUpUnlessSaid;
  if (!only_usual) map.rules_ = std::move(rules);
  return map;
}

StatusMeaning StatusMap::MeaningOf(int status) const {
  for (const StatusRule& rule : rules_)
    if (Contains(rule, status)) return rule.meaning;
  const bool says_up = std::any_of(rules_.begin(), rules_.end(), SaysUp);
  if (!says_up && Contains(kUpUnlessSaid, status)) return StatusMeaning::kUp;
  for (const StatusRule& rule : kUnlessSaid)
    if (Contains(rule, status)) return rule.meaning;
  return StatusMeaning::kFail;
}

std::string StatusMap::ToString() const {
  if (rules_.empty()) return RuleText(kUpUnlessSaid);
  return absl::StrJoin(rules_, ",", [](std::string* out, const StatusRule& r) {
    absl::StrAppend(out, RuleText(r));
  });
}

}  // namespace fairlead::core
