#include "http/blocking_client.h"

#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <cerrno>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/errors.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "event/socket.h"
#include "http/codec.h"

namespace fairlead::http {
namespace {

constexpr size_t kReceiveBytes = 16 * 1024;

absl::Status ConnectError(absl::string_view path) {
  const int error = errno;
  const std::string what = absl::StrCat("connect ", path);
  switch (error) {
    case ENOENT:
    case ECONNREFUSED:
      return absl::UnavailableError(
          absl::StrCat(what, ": nobody is listening; is fairleadd running?"));
    case EACCES:
    case EPERM:
      return absl::PermissionDeniedError(
          absl::StrCat(what, ": permission denied"));
    default:
      errno = error;
      return base::SyscallError(what);
  }
}

// A timeout of zero is none, in the kernel as well.
absl::Status SetTimeout(int fd, absl::Duration timeout) {
  const timeval limit = absl::ToTimeval(timeout);
  for (const int option : {SO_RCVTIMEO, SO_SNDTIMEO}) {
    if (setsockopt(fd, SOL_SOCKET, option, &limit, sizeof(limit)) != 0)
      return base::SyscallError("setsockopt timeout");
  }
  return absl::OkStatus();
}

absl::StatusOr<base::UniqueFd> Connect(absl::string_view path,
                                       absl::Duration timeout) {
  FL_ASSIGN_OR_RETURN(const event::SocketAddress address,
                      event::SocketAddress::FromUnixPath(path));
  FL_ASSIGN_OR_RETURN(base::UniqueFd fd, event::UnixSocket());
  FL_RETURN_IF_ERROR(SetTimeout(fd.get(), timeout));
  if (connect(fd.get(), address.data(), address.size()) != 0)
    return ConnectError(path);
  return fd;
}

// EAGAIN is how a socket timeout shows itself.
absl::Status TransferError(absl::string_view what) {
  if (errno == EAGAIN || errno == EWOULDBLOCK) {
    return absl::DeadlineExceededError(
        absl::StrCat(what, ": the daemon does not answer"));
  }
  if (errno == EPIPE || errno == ECONNRESET) {
    return absl::UnavailableError(
        absl::StrCat(what, ": the daemon closed the connection"));
  }
  return base::SyscallError(what);
}

absl::Status SendAll(int fd, absl::string_view data) {
  while (!data.empty()) {
    const ssize_t sent = send(fd, data.data(), data.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    // An answer may be there already that says why nothing more is read.
    if (sent < 0 && errno == EPIPE) return absl::OkStatus();
    if (sent < 0) return TransferError("send request");
    data.remove_prefix(static_cast<size_t>(sent));
  }
  return absl::OkStatus();
}

absl::StatusOr<size_t> Receive(int fd,
                               std::array<char, kReceiveBytes>& buffer) {
  while (true) {
    const ssize_t got = recv(fd, buffer.data(), buffer.size(), 0);
    if (got >= 0) return static_cast<size_t>(got);
    if (errno != EINTR) return TransferError("receive response");
  }
}

absl::Status ParseError(const ResponseParser& parser) {
  switch (parser.state()) {
    case ParseState::kHeaderTooLarge:
    case ParseState::kBodyTooLarge:
      return absl::ResourceExhaustedError(
          "receive response: the answer is too large");
    default:
      return absl::DataLossError(
          absl::StrCat("receive response: ", parser.problem()));
  }
}

enum class Reading { kGoOn, kStop };

// Reads a response; `on_progress` is called after each piece.
absl::Status ReadResponse(int fd, ResponseParser& parser,
                          absl::FunctionRef<Reading()> on_progress) {
  std::string received;
  std::array<char, kReceiveBytes> buffer;
  bool anything = false;
  while (parser.state() == ParseState::kIncomplete) {
    FL_ASSIGN_OR_RETURN(const size_t got, Receive(fd, buffer));
    if (got == 0 && !anything) {
      return absl::UnavailableError(
          "receive response: the daemon closed the connection");
    }
    anything = true;
    if (got == 0) {
      parser.FeedEnd();
    } else {
      received.append(buffer.data(), got);
      received.erase(0, parser.Feed(received));
    }
    if (on_progress() == Reading::kStop) return absl::OkStatus();
  }
  if (parser.state() != ParseState::kComplete) return ParseError(parser);
  return absl::OkStatus();
}

absl::StatusOr<base::UniqueFd> SendRequest(absl::string_view socket_path,
                                           const Request& request,
                                           absl::Duration timeout) {
  FL_ASSIGN_OR_RETURN(const std::string bytes,
                      EncodeRequest(request, "localhost"));
  FL_ASSIGN_OR_RETURN(base::UniqueFd fd, Connect(socket_path, timeout));
  FL_RETURN_IF_ERROR(SendAll(fd.get(), bytes));
  return fd;
}

bool IsSuccess(int status) { return status / 100 == 2; }

}  // namespace

absl::StatusOr<Response> Call(absl::string_view socket_path,
                              const Request& request, absl::Duration timeout) {
  FL_ASSIGN_OR_RETURN(const base::UniqueFd fd,
                      SendRequest(socket_path, request, timeout));
  ResponseParser parser(request.method, {.body_bytes = kMaxAnswerBytes});
  FL_RETURN_IF_ERROR(
      ReadResponse(fd.get(), parser, [] { return Reading::kGoOn; }));
  return parser.TakeResponse();
}

absl::StatusOr<Response> Stream(
    absl::string_view socket_path, const Request& request,
    absl::FunctionRef<bool(absl::string_view chunk)> on_chunk) {
  FL_ASSIGN_OR_RETURN(const base::UniqueFd fd,
                      SendRequest(socket_path, request, absl::ZeroDuration()));
  ResponseParser parser(request.method, {.body_bytes = kUnlimitedBody});
  std::optional<Response> head;
  FL_RETURN_IF_ERROR(ReadResponse(fd.get(), parser, [&] {
    if (!parser.header_complete()) return Reading::kGoOn;
    if (!head.has_value()) head = parser.TakeResponse();
    std::string chunk = std::exchange(head->body, "") + parser.TakeBody();
    if (!IsSuccess(head->status)) {
      head->body = std::move(chunk);
      return head->body.size() > kMaxAnswerBytes ? Reading::kStop
                                                 : Reading::kGoOn;
    }
    if (chunk.empty() || on_chunk(chunk)) return Reading::kGoOn;
    return Reading::kStop;
  }));
  FL_CHECK(head.has_value());
  return *std::move(head);
}

}  // namespace fairlead::http
