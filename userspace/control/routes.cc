#include "control/routes.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/text.h"

namespace fairlead::control {
namespace {

constexpr absl::string_view kPlace = "{}";

std::array<std::span<const Route>, 5> AllRoutes() {
  return {ServiceRoutes(), BackendRoutes(), CheckRoutes(), FlowRoutes(),
          NodeRoutes()};
}

std::vector<absl::string_view> Segments(absl::string_view path) {
  return absl::StrSplit(path, '/');
}

// The args if `path` has the form of `pattern`.
std::optional<std::vector<std::string>> MatchPattern(absl::string_view pattern,
                                                     absl::string_view path) {
  const std::vector<absl::string_view> wanted = Segments(pattern);
  const std::vector<absl::string_view> given = Segments(path);
  if (wanted.size() != given.size()) return std::nullopt;
  std::vector<std::string> args;
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (wanted[i] == kPlace && !given[i].empty()) {
      args.emplace_back(given[i]);
    } else if (wanted[i] != given[i]) {
      return std::nullopt;
    }
  }
  return args;
}

// `pattern` with the names of `path` in its places, so that only what is fixed
// makes a difference.
std::string FillIn(absl::string_view pattern, absl::string_view path) {
  std::vector<absl::string_view> segments = Segments(pattern);
  const std::vector<absl::string_view> given = Segments(path);
  for (size_t i = 0; i < segments.size() && i < given.size(); ++i)
    if (segments[i] == kPlace) segments[i] = given[i];
  return absl::StrJoin(segments, "/");
}

}  // namespace

Match FindRoute(absl::string_view method, absl::string_view path) {
  if (method == "HEAD") method = "GET";
  Match match;
  for (const std::span<const Route> routes : AllRoutes()) {
    for (const Route& route : routes) {
      auto args = MatchPattern(route.pattern, path);
      if (!args.has_value()) continue;
      if (route.method == method)
        return {.route = &route, .args = *std::move(args)};
      match.allowed.emplace_back(route.method);
    }
  }
  return match;
}

absl::Status UnknownPath(absl::string_view path) {
  std::vector<std::string> have;
  for (const std::span<const Route> routes : AllRoutes()) {
    for (const Route& route : routes) {
      std::string filled = FillIn(route.pattern, path);
      if (std::find(have.begin(), have.end(), filled) == have.end())
        have.push_back(std::move(filled));
    }
  }
  return absl::NotFoundError(
      absl::StrCat("no path ", base::Quoted(path), base::Hint(path, have)));
}

Json AnswerOf(const core::Controller& controller) {
  Json answer;
  answer["generation"] = controller.desired().generation;
  return answer;
}

absl::Status CheckQuery(const http::Request& request,
                        const std::vector<std::string>& known) {
  for (const auto& [name, value] : request.query) {
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "unknown query parameter ", base::Quoted(name),
        known.empty() ? "; this path has none" : base::Hint(name, known)));
  }
  return absl::OkStatus();
}

}  // namespace fairlead::control
