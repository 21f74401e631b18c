#include "http/client.h"

#include <array>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"

namespace fairlead::http {
namespace {

constexpr size_t kReceiveBytes = 16 * 1024;

absl::Status ParseError(const ResponseParser& parser) {
  switch (parser.state()) {
    case ParseState::kHeaderTooLarge:
      return absl::ResourceExhaustedError("the header is too large");
    case ParseState::kBodyTooLarge:
      return absl::ResourceExhaustedError("the body is too large");
    default:
      return absl::DataLossError(parser.problem());
  }
}

event::Task<absl::StatusOr<Response>> Receive(event::Loop& loop, int fd,
                                              ResponseParser parser,
                                              base::MonoTime deadline) {
  std::string received;
  std::array<char, kReceiveBytes> buffer;
  while (parser.state() == ParseState::kIncomplete) {
    FL_CO_ASSIGN_OR_RETURN(const size_t got,
                           co_await loop.Recv(fd, buffer, deadline));
    if (got == 0) {
      parser.FeedEnd();
      break;
    }
    received.append(buffer.data(), got);
    received.erase(0, parser.Feed(received));
  }
  if (parser.state() != ParseState::kComplete) co_return ParseError(parser);
  co_return parser.TakeResponse();
}

// What goes into the Host header when the request has none.
std::string DefaultHost(const event::SocketAddress& address) {
  return address.family() == AF_UNIX ? "localhost" : address.ToString();
}

}  // namespace

event::Task<absl::StatusOr<Response>> Fetch(event::Loop& loop,
                                            event::SocketAddress address,
                                            Request request,
                                            FetchOptions options) {
  const std::string peer = address.ToString();
  FL_CO_ASSIGN_OR_RETURN(const std::string bytes,
                         EncodeRequest(request, DefaultHost(address)));
  FL_CO_ASSIGN_OR_RETURN(const base::UniqueFd fd, event::SocketFor(address));
  if (options.bind_address.has_value()) {
    FL_CO_RETURN_IF_ERROR(
        event::Bind(fd.get(), event::SocketAddress(*options.bind_address)));
  }
  FL_CO_RETURN_IF_ERROR(
      co_await loop.Connect(fd.get(), address, options.deadline));
  FL_CO_RETURN_IF_ERROR(
      co_await loop.SendAll(fd.get(), bytes, options.deadline),
      "send request to ", peer);
  ResponseParser parser(request.method, {.body_bytes = options.max_body_bytes});
  FL_CO_ASSIGN_OR_RETURN(
      Response response,
      co_await Receive(loop, fd.get(), std::move(parser), options.deadline),
      "receive response from ", peer);
  co_return response;
}

}  // namespace fairlead::http
