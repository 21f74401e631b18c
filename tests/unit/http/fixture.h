// A server on a Unix socket in a temporary folder, and a client that sends what
// it is told, byte by byte if need be.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "event/loop.h"
#include "event/socket.h"
#include "http/codec.h"
#include "http/server.h"
#include "tests/unit/event/run_on_loop.h"
#include "tests/unit/event/temp_folder.h"

namespace fairlead::http {

using event::Scope;
using event::Task;

inline constexpr absl::Duration kPatience = absl::Seconds(10);

class RawClient {
 public:
  RawClient(event::Loop& loop, base::UniqueFd fd)
      : loop_(loop), fd_(std::move(fd)) {}

  Task<absl::Status> Send(absl::string_view data) {
    co_return co_await loop_.SendAll(fd_.get(), data, loop_.Now() + kPatience);
  }

  // The next response. An error if the connection ends before.
  Task<absl::StatusOr<Response>> Next(absl::string_view method = "GET") {
    ResponseParser parser(method);
    while (true) {
      received_.erase(0, parser.Feed(received_));
      if (parser.state() == ParseState::kComplete)
        co_return parser.TakeResponse();
      if (parser.state() != ParseState::kIncomplete)
        co_return absl::DataLossError(parser.problem());
      FL_CO_ASSIGN_OR_RETURN(const size_t got, co_await Receive());
      if (got == 0) co_return absl::UnavailableError("closed");
    }
  }

  // All that comes until the server closes.
  Task<absl::StatusOr<std::string>> Rest() {
    while (true) {
      FL_CO_ASSIGN_OR_RETURN(const size_t got, co_await Receive());
      if (got == 0) co_return std::exchange(received_, "");
    }
  }

  // Waits until `text` has come.
  Task<absl::Status> WaitFor(std::string text) {
    while (received_.find(text) == std::string::npos) {
      FL_CO_ASSIGN_OR_RETURN(const size_t got, co_await Receive());
      if (got == 0) co_return absl::UnavailableError("closed");
    }
    co_return absl::OkStatus();
  }

  int fd() const { return fd_.get(); }
  void Close() { fd_.reset(); }

 private:
  Task<absl::StatusOr<size_t>> Receive() {
    char buffer[4096];
    FL_CO_ASSIGN_OR_RETURN(
        const size_t got,
        co_await loop_.Recv(fd_.get(), buffer, loop_.Now() + kPatience));
    received_.append(buffer, got);
    co_return got;
  }

  event::Loop& loop_;
  base::UniqueFd fd_;
  std::string received_;
};

class ServerFixture {
 public:
  explicit ServerFixture(Handler handler, const ServerLimits& limits = {})
      : loop_(event::MakeLoop()),
        server_(*loop_, std::move(handler), limits),
        serving_(*loop_) {}

  event::Loop& loop() { return *loop_; }
  Server& server() { return server_; }
  std::string path() const { return folder_.File("http.sock"); }

  // Runs `body` against the server, and ends both.
  template <typename Body>
  void Run(const Body& body) {
    event::RunOn(*loop_, [&]() -> Task<void> {
      serving_.Spawn(
          server_.Serve(event::ValueOf(event::ListenUnix(path(), 0600))));
      co_await body();
      serving_.Cancel();
      co_await serving_.Join();
      CHECK(server_.connections() == 0);
    });
  }

  Scope& serving() { return serving_; }

  RawClient Connect() {
    const event::SocketAddress address =
        event::ValueOf(event::SocketAddress::FromUnixPath(path()));
    base::UniqueFd fd = event::ValueOf(event::UnixSocket());
    REQUIRE(connect(fd.get(), address.data(), address.size()) == 0);
    return RawClient(*loop_, std::move(fd));
  }

  // Sends `bytes` on a new connection and gives all that comes back until the
  // server closes.
  Task<std::string> Exchange(std::string bytes) {
    RawClient client = Connect();
    event::ExpectOk(co_await client.Send(bytes));
    co_return event::ValueOf(co_await client.Rest());
  }

 private:
  event::TempFolder folder_;
  std::unique_ptr<event::Loop> loop_;
  Server server_;
  Scope serving_;
};

// Answers with what it was asked, and counts.
struct Echo {
  int requests = 0;
  Request last;

  Handler handler() {
    return [this](Request request) -> Task<Response> {
      ++requests;
      Response response;
      response.content_type = "text/plain";
      response.body =
          absl::StrCat(request.method, " ", request.path, " ", request.body);
      last = std::move(request);
      co_return response;
    };
  }
};

}  // namespace fairlead::http
