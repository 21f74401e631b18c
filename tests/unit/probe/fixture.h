// A server on loopback that does what a test tells it, in the clear or in TLS,
// and a probe of it. Every test sees that no descriptor is left over.
#pragma once

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "base/unique_fd.h"
#include "event/scope.h"
#include "event/socket.h"
#include "probe/probe.h"
#include "probe/websocket.h"
#include "tests/unit/event/run_on_loop.h"
#include "tests/unit/event/temp_folder.h"
#include "tests/unit/probe/certificates.h"

namespace fairlead::probe {

using event::Task;

inline constexpr absl::Duration kShort = absl::Milliseconds(200);

inline base::IpAddress Loopback() {
  return base::IpAddress::Parse("127.0.0.1").value();
}

inline size_t OpenDescriptors() {
  const std::filesystem::directory_iterator folder("/proc/self/fd");
  return static_cast<size_t>(std::distance(begin(folder), end(folder)));
}

// One connection as the server sees it. Errors end in empty answers: the probe
// may go at any time.
class ServerEnd {
 public:
  ServerEnd(event::Loop& loop, base::UniqueFd fd, SSL_CTX* context)
      : loop_(loop), fd_(std::move(fd)) {
    if (context == nullptr) return;
    ssl_.reset(SSL_new(context));
    SSL_set_bio(ssl_.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_accept_state(ssl_.get());
  }

  Task<void> Send(std::string data) {
    if (ssl_ != nullptr) {
      const bool shaken = co_await Handshake();
      if (!shaken) co_return;
      (void)SSL_write(ssl_.get(), data.data(), static_cast<int>(data.size()));
      co_await Flush();
    } else {
      (void)co_await loop_.SendAll(fd_.get(), data, Deadline());
    }
  }
  // Past TLS.
  Task<void> SendRaw(std::string data) {
    (void)co_await loop_.SendAll(fd_.get(), data, Deadline());
  }
  // All that has come; waits for some.
  Task<std::string> Receive() {
    char buffer[4096];
    if (ssl_ == nullptr) co_return co_await ReceiveRaw();
    const bool shaken = co_await Handshake();
    if (!shaken) co_return "";
    while (true) {
      const int got = SSL_read(ssl_.get(), buffer, sizeof(buffer));
      if (got > 0) co_return std::string(buffer, static_cast<size_t>(got));
      const std::string more = co_await ReceiveRaw();
      if (more.empty()) co_return "";
      BIO_write(SSL_get_rbio(ssl_.get()), more.data(),
                static_cast<int>(more.size()));
    }
  }
  Task<std::string> ReceiveRaw() {
    char buffer[4096];
    const absl::StatusOr<size_t> got =
        co_await loop_.Recv(fd_.get(), buffer, Deadline());
    co_return got.ok() ? std::string(buffer, *got) : std::string();
  }
  Task<std::string> Request() {
    std::string request;
    while (request.find("\r\n\r\n") == std::string::npos) {
      const std::string more = co_await Receive();
      if (more.empty()) break;
      request += more;
    }
    co_return request;
  }
  // Agrees to a WebSocket, and gives the first frame's bytes.
  Task<std::string> Upgraded() {
    const std::string request = co_await Request();
    co_await Send(AgreeTo(request));
    co_return co_await Receive();
  }
  Task<void> Handshaken() { (void)co_await Handshake(); }
  // Until the probe goes.
  Task<void> Silence() {
    while (true) {
      const std::string more = co_await ReceiveRaw();
      if (more.empty()) co_return;
    }
  }
  void Reset() {
    const linger on = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &on, sizeof(on));
    fd_.reset();
  }
  void Close() { fd_.reset(); }
  event::Loop& loop() { return loop_; }

  static std::string AgreeTo(const std::string& request) {
    const std::string name = "sec-websocket-key: ";
    const size_t at = request.find(name);
    const size_t from = at + name.size();
    const std::string key = request.substr(from, request.find('\r', at) - from);
    return absl::StrCat(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Accept: ",
        AcceptOf(key), "\r\n\r\n");
  }

 private:
  base::MonoTime Deadline() const { return loop_.Now() + absl::Seconds(5); }
  Task<bool> Handshake() {
    while (!SSL_is_init_finished(ssl_.get())) {
      (void)SSL_do_handshake(ssl_.get());
      co_await Flush();
      if (SSL_is_init_finished(ssl_.get())) break;
      const std::string more = co_await ReceiveRaw();
      if (more.empty()) co_return false;
      BIO_write(SSL_get_rbio(ssl_.get()), more.data(),
                static_cast<int>(more.size()));
    }
    co_return true;
  }
  Task<void> Flush() {
    BIO* output = SSL_get_wbio(ssl_.get());
    std::string bytes(BIO_ctrl_pending(output), '\0');
    if (!bytes.empty())
      BIO_read(output, bytes.data(), static_cast<int>(bytes.size()));
    co_await SendRaw(std::move(bytes));
  }

  event::Loop& loop_;
  base::UniqueFd fd_;
  OpenSslPtr<SSL> ssl_;
};

using Script = std::function<Task<void>(ServerEnd&)>;

class World {
 public:
  World() : loop_(event::MakeLoop()), prober_(*loop_) {}

  // Of what `script` serves, with the certificate if the check wants TLS.
  core::ProbeResult Probe(core::CheckConfig check, Script script,
                          std::optional<uint16_t> port = std::nullopt) {
    if (core::IsTls(check.kind) && check.ca_file.empty()) {
      check.ca_file = folder_.File("ca.pem");
      std::ofstream(check.ca_file) << certificate.Pem();
    }
    const OpenSslPtr<SSL_CTX> context = certificate.Context();
    serve_tls_ = core::IsTls(check.kind) && !server_in_the_clear;
    const size_t before = OpenDescriptors();
    core::ProbeResult result;
    {
      base::UniqueFd listener = event::ListenTcp({Loopback(), 0}).value();
      const Target target{
          Loopback(), port.value_or(event::LocalEndpoint(listener.get())->port),
          check};
      event::RunOn(*loop_, [&]() -> Task<void> {
        event::Scope scope(co_await event::CurrentScope());
        scope.Spawn(Serve(listener.get(), context.get(), script));
        result = co_await prober_.Run(target);
        scope.Cancel();
        co_await scope.Join();
      });
    }
    CHECK(OpenDescriptors() == before);
    // Ten times as much as the fastest machine needs; the time-outs of tests
    // are shorter than this too.
    CHECK(result.duration < check.timeout + absl::Milliseconds(500));
    return result;
  }

  event::Loop& loop() { return *loop_; }
  const event::TempFolder& folder() const { return folder_; }

  Certificate certificate;
  bool server_in_the_clear = false;

 private:
  Task<void> Serve(int listener, SSL_CTX* context, const Script& script) {
    absl::StatusOr<base::UniqueFd> fd = co_await loop_->Accept(listener);
    if (!fd.ok()) co_return;
    ServerEnd end(*loop_, *std::move(fd), serve_tls_ ? context : nullptr);
    co_await script(end);
  }

  event::TempFolder folder_;
  std::unique_ptr<event::Loop> loop_;
  Prober prober_;
  bool serve_tls_ = false;
};

inline core::CheckConfig CheckOf(core::CheckKind kind) {
  core::CheckConfig check;
  check.kind = kind;
  check.path = "/health?full=1";
  return check;
}

// Answers any request with `text`.
inline Script Answer(std::string text) {
  return [text](ServerEnd& end) -> Task<void> {
    (void)co_await end.Request();
    co_await end.Send(text);
  };
}

inline std::string HttpAnswer(int status, std::string body = "",
                              std::string headers = "") {
  return absl::StrCat("HTTP/1.1 ", status,
                      " X\r\nContent-Length: ", body.size(), "\r\n", headers,
                      "\r\n", body);
}

// As servers send them: not masked.
inline std::string ServerFrame(Opcode opcode, std::string payload) {
  std::string frame = {static_cast<char>(0x80 | static_cast<int>(opcode)),
                       static_cast<char>(payload.size())};
  return frame + payload;
}

// The payload of a client's frame.
inline std::string Unmasked(const std::string& frame) {
  if (frame.size() < 6) return "";
  std::string payload = frame.substr(6);
  for (size_t i = 0; i < payload.size(); ++i)
    payload[i] = static_cast<char>(payload[i] ^ frame[2 + i % 4]);
  return payload;
}

}  // namespace fairlead::probe
