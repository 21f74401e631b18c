#include "cli/session.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "cli/exit_code.h"
#include "cli/table.h"

namespace fairlead::cli {
namespace {

// What the transport says, in the words of exit_code.h.
absl::Status TransportError(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return Unreachable(status.message());
    case absl::StatusCode::kPermissionDenied:
      return status;
    default:
      return Failed(status.message());
  }
}

absl::StatusCode CodeOf(const std::string& api_code, int http_status) {
  if (api_code == "not_found" || http_status == 404)
    return absl::StatusCode::kNotFound;
  if (api_code == "precondition" || http_status == 412)
    return absl::StatusCode::kFailedPrecondition;
  if (api_code == "permission_denied" || http_status == 403)
    return absl::StatusCode::kPermissionDenied;
  if (api_code == "unavailable" || http_status == 503)
    return absl::StatusCode::kAborted;
  return absl::StatusCode::kUnknown;
}

absl::Status ApiError(const http::Response& response) {
  const absl::StatusOr<Json> body = ParseJson(response.body);
  const Json error = body.ok() ? Field(*body, "error") : Json();
  std::string message = Printable(Text(error, "message"));
  if (message.empty()) {
    message = absl::StrCat("the daemon answered ", response.status, " ",
                           http::ReasonPhrase(response.status));
  }
  return absl::Status(CodeOf(Text(error, "code"), response.status), message);
}

bool IsSuccess(const http::Response& response) {
  return response.status / 100 == 2;
}

}  // namespace

absl::StatusOr<Json> Session::Send(const http::Request& request) const {
  const absl::StatusOr<http::Response> response =
      environment_.call(options_.socket, request, options_.timeout);
  if (!response.ok()) return TransportError(response.status());
  if (!IsSuccess(*response)) return ApiError(*response);
  return ParseJson(response->body);
}

absl::StatusOr<Json> Session::Get(const std::string& path,
                                  http::StringMap query) const {
  http::Request request;
  request.path = path;
  request.query = std::move(query);
  return Send(request);
}

absl::StatusOr<Json> Session::Change(const std::string& method,
                                     const std::string& path,
                                     const Json& body) const {
  http::Request request;
  request.method = method;
  request.path = path;
  request.headers["content-type"] = "application/json";
  request.body = body.dump(-1, ' ', false, Json::error_handler_t::replace);
  return Send(request);
}

absl::Status Session::Follow(
    const std::string& path, http::StringMap query,
    absl::FunctionRef<bool(absl::string_view line)> on_line) const {
  http::Request request;
  request.path = path;
  request.query = std::move(query);
  std::string pending;
  bool begun = false;
  bool done = false;
  const auto on_chunk = [&](absl::string_view chunk) {
    begun = true;
    pending.append(chunk.data(), chunk.size());
    size_t begin = 0;
    for (size_t end; (end = pending.find('\n', begin)) != std::string::npos;
         begin = end + 1) {
      const auto line = absl::string_view(pending).substr(begin, end - begin);
      done = !line.empty() && !on_line(line);
      if (done) return false;
    }
    pending.erase(0, begin);
    return true;
  };
  const absl::StatusOr<http::Response> response =
      environment_.stream(options_.socket, request, on_chunk);
  if (!response.ok() && !begun) return TransportError(response.status());
  if (response.ok() && !IsSuccess(*response)) return ApiError(*response);
  if (done) return absl::OkStatus();
  return Unreachable("the daemon has ended the stream; it may be restarting");
}

absl::StatusOr<std::string> PathOf(
    std::initializer_list<absl::string_view> parts) {
  std::string path = "/v1";
  for (const absl::string_view part : parts) {
    // A path has no way to spell these; the daemon could only say "no such
    // path", which would puzzle.
    if (part.empty() || part == "." || part == ".." ||
        absl::StrContains(part, '/') || absl::StrContains(part, '\0')) {
      return UsageError(
          absl::StrCat("\"", Printable(part), "\" can be no name"));
    }
    absl::StrAppend(&path, "/", part);
  }
  return path;
}

}  // namespace fairlead::cli
