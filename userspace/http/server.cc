#include "http/server.h"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/mono_time.h"
#include "event/scope.h"
#include "event/socket.h"

namespace fairlead::http {
namespace {

constexpr size_t kReceiveBytes = 16 * 1024;

enum class ReadOutcome { kRequest, kGone, kTooSlow, kRefused };

struct Peer {
  std::optional<event::PeerCredentials> credentials;
  std::optional<base::IpAddress> address;
};

Peer IdentifyPeer(int fd) {
  Peer peer;
  // One of the two fails, since it is the other kind of socket.
  absl::StatusOr<base::Endpoint> endpoint = event::PeerEndpoint(fd);
  if (endpoint.ok()) {
    peer.address = endpoint->address;
    return peer;
  }
  absl::StatusOr<event::PeerCredentials> credentials =
      event::ReadPeerCredentials(fd);
  if (credentials.ok()) peer.credentials = *std::move(credentials);
  return peer;
}

Response RefusalFor(const RequestParser& parser) {
  switch (parser.state()) {
    case ParseState::kHeaderTooLarge:
      return ErrorResponse(431, "invalid_argument",
                           "the request's header is too large");
    case ParseState::kBodyTooLarge:
      return ErrorResponse(413, "invalid_argument",
                           "the request's body is too large");
    default:
      return ErrorResponse(
          400, "invalid_argument",
          absl::StrCat("malformed request: ", parser.problem()));
  }
}

class StreamWriter : public BodyWriter {
 public:
  StreamWriter(event::Loop& loop, int fd, BodyFraming framing,
               absl::Duration timeout)
      : loop_(loop), fd_(fd), framing_(framing), timeout_(timeout) {}

  event::Task<absl::Status> Write(absl::string_view data) override {
    if (data.empty()) co_return absl::OkStatus();
    const std::string bytes = framing_ == BodyFraming::kChunked
                                  ? EncodeChunk(data)
                                  : std::string(data);
    co_return co_await loop_.SendAll(fd_, bytes, loop_.Now() + timeout_);
  }

 private:
  event::Loop& loop_;
  int fd_;
  BodyFraming framing_;
  absl::Duration timeout_;
};

event::Task<void> RunStream(BodyStream& stream, BodyWriter& writer,
                            absl::Status& result) {
  result = co_await stream(writer);
}

// Cancels `stream` when the peer closes its end; a pipelined request is no
// reason.
event::Task<void> WatchPeer(event::Loop& loop, int fd, event::Scope& stream) {
  const absl::StatusOr<int> events = co_await loop.Poll(fd, POLLRDHUP);
  if (events.ok()) stream.Cancel();
}

// Reads and drops what the client still sends, so that closing does not reset
// the connection before the client has read the answer.
event::Task<void> Linger(event::Loop& loop, int fd) {
  // The peer may be gone; then there is nothing to wait for.
  if (shutdown(fd, SHUT_WR) != 0) co_return;
  const base::MonoTime deadline = loop.Now() + kLingerTimeout;
  std::array<char, kReceiveBytes> waste;
  while (true) {
    absl::StatusOr<size_t> got = co_await loop.Recv(fd, waste, deadline);
    if (!got.ok() || *got == 0) co_return;
  }
}

}  // namespace

// One client, from accept to close.
class ServerConnection {
 public:
  ServerConnection(Server& server, int fd)
      : server_(server),
        loop_(server.loop_),
        fd_(fd),
        peer_(IdentifyPeer(fd)) {}

  event::Task<void> Run();

 private:
  event::Task<ReadOutcome> ReadRequest(RequestParser& parser);
  event::Task<absl::Status> Answer(const RequestParser& parser,
                                   const std::string& method,
                                   Response response);
  event::Task<absl::Status> Stream(Response response,
                                   const ResponseOptions& options);
  event::Task<void> RefuseRequest(const Response& response);
  base::MonoTime WriteDeadline() const {
    return loop_.Now() + server_.limits_.write_timeout;
  }

  Server& server_;
  event::Loop& loop_;
  int fd_;
  Peer peer_;
  std::string received_;  // not yet parsed
};

event::Task<void> ServerConnection::Run() {
  while (true) {
    RequestParser parser(server_.limits_.message);
    const ReadOutcome outcome = co_await ReadRequest(parser);
    switch (outcome) {
      case ReadOutcome::kRequest:
        break;
      case ReadOutcome::kGone:
        co_return;
      case ReadOutcome::kTooSlow:
        co_return co_await RefuseRequest(ErrorResponse(
            408, "deadline_exceeded", "the request did not arrive in time"));
      case ReadOutcome::kRefused:
        co_return co_await RefuseRequest(RefusalFor(parser));
    }
    Request request = parser.TakeRequest();
    request.peer_credentials = peer_.credentials;
    request.peer_address = peer_.address;
    const std::string method = request.method;
    Response response = co_await server_.handler_(std::move(request));
    const absl::Status sent =
        co_await Answer(parser, method, std::move(response));
    if (!sent.ok() || !parser.keep_alive()) co_return;
  }
}

event::Task<ReadOutcome> ServerConnection::ReadRequest(RequestParser& parser) {
  bool begun = !received_.empty();
  bool told_to_continue = false;
  base::MonoTime deadline =
      loop_.Now() +
      (begun ? server_.limits_.request_timeout : server_.limits_.idle_timeout);
  std::array<char, kReceiveBytes> buffer;
  while (true) {
    received_.erase(0, parser.Feed(received_));
    if (parser.state() == ParseState::kComplete)
      co_return ReadOutcome::kRequest;
    if (parser.state() != ParseState::kIncomplete)
      co_return ReadOutcome::kRefused;
    if (parser.wants_continue() && !told_to_continue) {
      told_to_continue = true;
      const absl::Status sent = co_await loop_.SendAll(
          fd_, "HTTP/1.1 100 Continue\r\n\r\n", deadline);
      if (!sent.ok()) co_return ReadOutcome::kGone;
    }
    absl::StatusOr<size_t> got = co_await loop_.Recv(fd_, buffer, deadline);
    if (!got.ok()) {
      const bool too_slow = begun && absl::IsDeadlineExceeded(got.status());
      co_return too_slow ? ReadOutcome::kTooSlow : ReadOutcome::kGone;
    }
    if (*got == 0) co_return ReadOutcome::kGone;
    if (!begun) deadline = loop_.Now() + server_.limits_.request_timeout;
    begun = true;
    received_.append(buffer.data(), *got);
  }
}

event::Task<absl::Status> ServerConnection::Answer(const RequestParser& parser,
                                                   const std::string& method,
                                                   Response response) {
  ResponseOptions options = {.connection = parser.keep_alive()
                                               ? Connection::kKeepAlive
                                               : Connection::kClose};
  if (response.stream != nullptr) {
    options.framing = parser.understands_chunks() ? BodyFraming::kChunked
                                                  : BodyFraming::kUntilClose;
    if (method != "HEAD")
      co_return co_await Stream(std::move(response), options);
  }
  std::string bytes = EncodeResponseHead(response, options);
  if (method != "HEAD" && response.status != 204 && response.status != 304)
    bytes += response.body;
  co_return co_await loop_.SendAll(fd_, bytes, WriteDeadline());
}

event::Task<absl::Status> ServerConnection::Stream(
    Response response, const ResponseOptions& options) {
  const std::string head = EncodeResponseHead(response, options);
  const absl::Status sent = co_await loop_.SendAll(fd_, head, WriteDeadline());
  if (!sent.ok()) co_return sent;

  StreamWriter writer(loop_, fd_, options.framing,
                      server_.limits_.write_timeout);
  absl::Status result;
  event::Scope& own = co_await event::CurrentScope();
  event::Scope stream(own);
  event::Scope watch(own);
  stream.Spawn(RunStream(response.stream, writer, result));
  watch.Spawn(WatchPeer(loop_, fd_, stream));
  co_await stream.Join();
  watch.Cancel();
  co_await watch.Join();
  if (!result.ok()) co_return result;
  // A stream may end well although it was told to stop.
  if (stream.cancelled()) co_return absl::CancelledError("client is gone");
  if (options.framing == BodyFraming::kUntilClose)
    co_return absl::CancelledError("the end of the body is the close");
  co_return co_await loop_.SendAll(fd_, kLastChunk, WriteDeadline());
}

event::Task<void> ServerConnection::RefuseRequest(const Response& response) {
  const std::string bytes = absl::StrCat(
      EncodeResponseHead(response, {.connection = Connection::kClose}),
      response.body);
  const absl::Status sent = co_await loop_.SendAll(fd_, bytes, WriteDeadline());
  if (sent.ok()) co_await Linger(loop_, fd_);
}

Server::Server(event::Loop& loop, Handler handler, const ServerLimits& limits)
    : loop_(loop),
      handler_(std::move(handler)),
      limits_(limits),
      connection_closed_(loop) {}

event::Task<void> Server::Serve(base::UniqueFd listener) {
  event::Scope connections(co_await event::CurrentScope());
  absl::Status status = co_await WaitForRoom();
  while (status.ok()) {
    absl::StatusOr<base::UniqueFd> fd = co_await loop_.Accept(listener.get());
    if (fd.ok()) {
      ++connections_;
      connections.Spawn(connections_ > limits_.connections
                            ? RefuseConnection(*std::move(fd))
                            : RunConnection(*std::move(fd)));
      status = co_await WaitForRoom();
    } else {
      // The client has gone already, or descriptors or memory are short: either
      // passes, and the client that waits is served then.
      status = co_await loop_.SleepFor(kAcceptBackoff);
    }
  }
  connections.Cancel();
  co_await connections.Join();
}

event::Task<absl::Status> Server::WaitForRoom() {
  while (connections_ >= limits_.connections + kMaxRefusals) {
    const absl::Status status = co_await connection_closed_.Wait();
    if (!status.ok()) co_return status;
  }
  co_return absl::OkStatus();
}

event::Task<void> Server::RunConnection(base::UniqueFd fd) {
  ServerConnection connection(*this, fd.get());
  co_await connection.Run();
  fd.reset();
  --connections_;
  connection_closed_.NotifyAll();
}

event::Task<void> Server::RefuseConnection(base::UniqueFd fd) {
  const Response response =
      ErrorResponse(503, "resource_exhausted", "too many connections");
  const std::string bytes = absl::StrCat(
      EncodeResponseHead(response, {.connection = Connection::kClose}),
      response.body);
  const absl::Status sent =
      co_await loop_.SendAll(fd.get(), bytes, loop_.Now() + kLingerTimeout);
  if (sent.ok()) co_await Linger(loop_, fd.get());
  fd.reset();
  --connections_;
  connection_closed_.NotifyAll();
}

}  // namespace fairlead::http
