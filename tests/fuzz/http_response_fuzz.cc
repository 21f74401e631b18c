// Whatever a server sends, the response parser ends in one of its states, and
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
using fairlead::http::Response;
using fairlead::http::ResponseParser;

// A small body, so that the fuzzer meets its limit. A header of nearly the
// limit may pass whole and not in pieces; inputs are shorter than this one.
constexpr fairlead::http::MessageLimits kLimits = {.header_bytes = 1 << 16,
                                                   .body_bytes = 256};

struct Outcome {
  ParseState state = ParseState::kIncomplete;
  Response response;
};

Outcome ParseInPieces(const std::string& method, absl::string_view data,
                      size_t piece) {
  ResponseParser parser(method, kLimits);
  size_t used = 0;
  size_t available = 0;
  while (available < data.size() && parser.state() == ParseState::kIncomplete) {
    available =
        piece < data.size() - available ? available + piece : data.size();
    const absl::string_view rest = data.substr(used, available - used);
    const size_t taken = parser.Feed(rest);
    FL_CHECK(taken <= rest.size());
    used += taken;
  }
  if (parser.state() == ParseState::kIncomplete) parser.FeedEnd();
  Outcome outcome;
  outcome.state = parser.state();
  if (outcome.state == ParseState::kComplete)
    outcome.response = parser.TakeResponse();
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  // The first byte says how large the pieces are, and its lowest bit what was
  // asked for.
  const size_t piece = size_t{data[0]} / 2 + 1;
  const std::string method = data[0] % 2 == 0 ? "GET" : "HEAD";
  const absl::string_view bytes(reinterpret_cast<const char*>(data + 1),
                                size - 1);
  const Outcome whole = ParseInPieces(method, bytes, bytes.size() + 1);
  const Outcome pieces = ParseInPieces(method, bytes, piece);
  FL_CHECK((whole.state == ParseState::kComplete) ==
           (pieces.state == ParseState::kComplete));
  if (whole.state != ParseState::kComplete) return 0;
  FL_CHECK(whole.response.status == pieces.response.status);
  FL_CHECK(whole.response.headers == pieces.response.headers);
  FL_CHECK(whole.response.body == pieces.response.body);
  FL_CHECK(whole.response.body.size() <= kLimits.body_bytes);
  FL_CHECK(method != "HEAD" || whole.response.body.empty());
  return 0;
}
