// HTTP/1.1 between bytes and messages. No I/O, no clock: fed with what has
// arrived, in pieces of any size.
//
// The grammar is Boost.Beast's, which is compiled in codec.cc alone.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "http/message.h"

namespace fairlead::http {

inline constexpr size_t kMaxHeaderBytes = 16 * 1024;
inline constexpr size_t kMaxBodyBytes = 4 * 1024 * 1024;

struct MessageLimits {
  size_t header_bytes = kMaxHeaderBytes;
  size_t body_bytes = kMaxBodyBytes;
};
inline constexpr size_t kUnlimitedBody = ~size_t{0};

enum class ParseState {
  kIncomplete,
  kComplete,
  kMalformed,
  kHeaderTooLarge,
  kBodyTooLarge,
};

// Reads one request.
class RequestParser {
 public:
  explicit RequestParser(const MessageLimits& limits = {});
  RequestParser(RequestParser&&) noexcept;
  RequestParser& operator=(RequestParser&&) noexcept;
  ~RequestParser();

  // Takes from the front of `data` and gives the number of bytes taken. The
  // rest comes again, with more behind it, in the next call; once complete()
  // it belongs to the next request.
  size_t Feed(absl::string_view data);
  ParseState state() const;
  // Valid after kMalformed: what is wrong, for people.
  absl::string_view problem() const;
  // The client sends the body only after "100 Continue".
  bool wants_continue() const;

  // These require kComplete.
  Request TakeRequest();
  bool keep_alive() const;
  // An HTTP/1.0 client does not know chunks.
  bool understands_chunks() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Reads one response.
class ResponseParser {
 public:
  // `method` of the request: a HEAD has no body in its answer.
  explicit ResponseParser(absl::string_view method,
                          const MessageLimits& limits = {});
  ResponseParser(ResponseParser&&) noexcept;
  ResponseParser& operator=(ResponseParser&&) noexcept;
  ~ResponseParser();

  size_t Feed(absl::string_view data);
  // The peer has closed: completes a body that has no length.
  void FeedEnd();
  ParseState state() const;
  absl::string_view problem() const;
  bool header_complete() const;

  // Requires: header_complete(). What has arrived of the body since the last
  // call, for those who read it as it comes.
  std::string TakeBody();
  // Requires: header_complete(). `body` is what TakeBody() has not taken.
  Response TakeResponse();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

enum class Connection { kKeepAlive, kClose, kUpgrade };

struct RequestOptions {
  Connection connection = Connection::kClose;
  // As it stands in the first line, encoded; empty: made of path and query.
  std::string target = {};
};
// The request as bytes. `host` is used if there is no such header. Asks the
// server to close afterwards, unless told otherwise. INVALID_ARGUMENT if the
// method, the target or a header cannot be sent.
absl::StatusOr<std::string> EncodeRequest(const Request& request,
                                          absl::string_view host,
                                          const RequestOptions& options = {});

enum class BodyFraming { kLength, kChunked, kUntilClose };

struct ResponseOptions {
  Connection connection = Connection::kClose;
  BodyFraming framing = BodyFraming::kLength;
};
// Status line and headers, with the empty line. Headers that cannot be sent
// are left out.
std::string EncodeResponseHead(const Response& response,
                               const ResponseOptions& options);
// Requires: !data.empty(), since an empty chunk ends the body.
std::string EncodeChunk(absl::string_view data);
inline constexpr absl::string_view kLastChunk = "0\r\n\r\n";

// "%2F" and the like. INVALID_ARGUMENT if it is broken or hides a NUL.
absl::StatusOr<std::string> PercentDecode(absl::string_view text);
std::string PercentEncode(absl::string_view text);

}  // namespace fairlead::http
