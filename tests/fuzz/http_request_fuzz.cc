// Whatever a client sends, the request parser ends in one of its states, and
// in the same one however the bytes were cut into pieces.
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "base/check.h"
#include "http/codec.h"
#include "http/message.h"

namespace {

using fairlead::http::ParseState;
using fairlead::http::Request;
using fairlead::http::RequestParser;

// A small body, so that the fuzzer meets its limit. A header of nearly the
// limit may pass whole and not in pieces; inputs are shorter than this one.
constexpr fairlead::http::MessageLimits kLimits = {.header_bytes = 1 << 16,
                                                   .body_bytes = 256};

struct Outcome {
  ParseState state = ParseState::kIncomplete;
  size_t used = 0;
  Request request;
};

Outcome ParseInPieces(absl::string_view data, size_t piece) {
  RequestParser parser(kLimits);
  Outcome outcome;
  size_t available = 0;
  while (available < data.size() && parser.state() == ParseState::kIncomplete) {
    available =
        piece < data.size() - available ? available + piece : data.size();
    const absl::string_view rest =
        data.substr(outcome.used, available - outcome.used);
    const size_t used = parser.Feed(rest);
    FL_CHECK(used <= rest.size());
    outcome.used += used;
  }
  outcome.state = parser.state();
  if (outcome.state == ParseState::kComplete)
    outcome.request = parser.TakeRequest();
  return outcome;
}

void CheckRequest(const Request& request) {
  FL_CHECK(!request.method.empty());
  FL_CHECK(!request.path.empty() && request.path[0] == '/');
  FL_CHECK(request.path.find('\0') == std::string::npos);
  FL_CHECK(request.body.size() <= kLimits.body_bytes);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  // The first byte says how large the pieces are.
  const size_t piece = size_t{data[0]} + 1;
  const absl::string_view bytes(reinterpret_cast<const char*>(data + 1),
                                size - 1);
  const Outcome whole = ParseInPieces(bytes, bytes.size() + 1);
  const Outcome pieces = ParseInPieces(bytes, piece);
  FL_CHECK((whole.state == ParseState::kComplete) ==
           (pieces.state == ParseState::kComplete));
  if (whole.state != ParseState::kComplete) return 0;
  FL_CHECK(whole.used == pieces.used);
  CheckRequest(whole.request);
  FL_CHECK(whole.request.path == pieces.request.path);
  FL_CHECK(whole.request.query == pieces.request.query);
  FL_CHECK(whole.request.headers == pieces.request.headers);
  FL_CHECK(whole.request.body == pieces.request.body);
  return 0;
}
