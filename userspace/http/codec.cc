#include "http/codec.h"

#include <boost/asio/buffer.hpp>
#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/http/fields.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/optional.hpp>
#include <cstdint>
#include <exception>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/check.h"
#include "base/status_macros.h"

namespace fairlead::http {
namespace {

namespace beast = boost::beast::http;
using boost::system::error_code;

absl::string_view View(boost::beast::string_view text) {
  return absl::string_view(text.data(), text.size());
}

// A body that grows with what has come. Beast's own makes room for what the
// header announces: gigabytes, if the peer likes.
struct GrowingBody {
  using value_type = std::string;

  class reader {  // NOLINT(readability-identifier-naming): Beast names it
   public:
    template <bool kIsRequest, typename Fields>
    reader(beast::header<kIsRequest, Fields>& /*header*/, value_type& body)
        : body_(body) {}

    void init(const boost::optional<uint64_t>& /*announced*/,
              error_code& error) {
      error = {};
    }
    template <typename Buffers>
    size_t put(const Buffers& buffers, error_code& error) {
      const std::string piece = boost::beast::buffers_to_string(buffers);
      body_ += piece;
      error = {};
      return piece.size();
    }
    void finish(error_code& error) { error = {}; }

   private:
    value_type& body_;
  };
};

struct Progress {
  ParseState state = ParseState::kIncomplete;
  std::string problem;
  size_t body_limit = kUnlimitedBody;

  void Fail(absl::string_view what) {
    state = ParseState::kMalformed;
    problem = std::string(what);
  }
};

void RecordError(const error_code& error, Progress& progress) {
  if (error == beast::error::need_more) return;
  if (error == beast::error::header_limit) {
    progress.state = ParseState::kHeaderTooLarge;
  } else if (error == beast::error::body_limit) {
    progress.state = ParseState::kBodyTooLarge;
  } else {
    progress.Fail(error.message());
  }
}

template <typename Parser>
void SetLimits(const MessageLimits& limits, Parser& parser,
               Progress& progress) {
  progress.body_limit = limits.body_bytes;
  parser.eager(true);
  parser.header_limit(static_cast<uint32_t>(limits.header_bytes));
  if (limits.body_bytes == kUnlimitedBody) {
    parser.body_limit(boost::none);
  } else {
    parser.body_limit(limits.body_bytes);
  }
}

// Beast throws only when memory or its own sizes run out; neither may pass
// through a coroutine.
template <typename Parser>
size_t FeedParser(absl::string_view data, Parser& parser, Progress& progress) {
  if (data.empty() || progress.state != ParseState::kIncomplete) return 0;
  try {  // NOLINT(fl-exceptions): Beast throws
    error_code error;
    const size_t used =
        parser.put(boost::asio::const_buffer(data.data(), data.size()), error);
    if (error) RecordError(error, progress);
    // Beast 1.74 forgets that a body is too long if some of it came with its
    // header.
    if (progress.state == ParseState::kIncomplete && parser.is_header_done() &&
        (parser.get().body().size() > progress.body_limit ||
         (!parser.is_done() &&
          parser.content_length().value_or(0) > progress.body_limit)))
      progress.state = ParseState::kBodyTooLarge;
    return used;
  } catch (const std::exception& e) {  // NOLINT(fl-exceptions): Beast throws
    progress.Fail(e.what());
    return 0;
  }
}

StringMap CopyHeaders(const beast::fields& fields) {
  StringMap headers;
  for (const auto& field : fields) {
    const absl::string_view value = View(field.value());
    std::string& joined =
        headers[absl::AsciiStrToLower(View(field.name_string()))];
    absl::StrAppend(&joined, joined.empty() ? "" : ", ", value);
  }
  return headers;
}

absl::Status ParseQuery(absl::string_view text, StringMap& query) {
  for (const absl::string_view pair :
       absl::StrSplit(text, '&', absl::SkipEmpty())) {
    std::pair<std::string, std::string> parts =
        absl::StrSplit(pair, absl::MaxSplits('=', 1));
    for (std::string* part : {&parts.first, &parts.second}) {
      for (char& c : *part)
        if (c == '+') c = ' ';
      FL_ASSIGN_OR_RETURN(*part, PercentDecode(*part));
    }
    if (!query.emplace(std::move(parts)).second)
      return absl::InvalidArgumentError("a query parameter comes twice");
  }
  return absl::OkStatus();
}

absl::Status ParseTarget(absl::string_view target, Request& request) {
  // "http://host/path" is what a client sends to a proxy, and allowed.
  if (!absl::StartsWith(target, "/")) {
    const size_t scheme = target.find("://");
    const size_t slash = scheme == absl::string_view::npos
                             ? scheme
                             : target.find('/', scheme + 3);
    if (slash == absl::string_view::npos)
      return absl::InvalidArgumentError("the path does not begin with /");
    target.remove_prefix(slash);
  }
  target = target.substr(0, target.find('#'));
  const size_t question = target.find('?');
  if (question != absl::string_view::npos)
    FL_RETURN_IF_ERROR(ParseQuery(target.substr(question + 1), request.query));
  FL_ASSIGN_OR_RETURN(request.path, PercentDecode(target.substr(0, question)));
  return absl::OkStatus();
}

bool IsHexDigit(char c) {
  return absl::ascii_isxdigit(static_cast<unsigned char>(c));
}

bool IsToken(absl::string_view text) {
  if (text.empty()) return false;
  for (const char c : text) {
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) &&
        !absl::StrContains("!#$%&'*+-.^_`|~", c))
      return false;
  }
  return true;
}

// A line break in a value would start a header of its own.
bool IsHeaderValue(absl::string_view text) {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && byte != '\t') || byte == 0x7f) return false;
  }
  return true;
}

bool IsFraming(absl::string_view lower_case_name) {
  return lower_case_name == "connection" ||
         lower_case_name == "content-length" ||
         lower_case_name == "transfer-encoding";
}

bool IsTarget(absl::string_view text) {
  if (!absl::StartsWith(text, "/")) return false;
  for (const char c : text)
    if (!absl::ascii_isgraph(static_cast<unsigned char>(c))) return false;
  return true;
}

absl::string_view ToString(Connection connection) {
  switch (connection) {
    case Connection::kKeepAlive:
      return "keep-alive";
    case Connection::kClose:
      return "close";
    case Connection::kUpgrade:
      return "upgrade";
  }
  return "";
}

void AppendHeader(absl::string_view name, absl::string_view value,
                  std::string& out) {
  absl::StrAppend(&out, name, ": ", value, "\r\n");
}

std::string EncodeTarget(const Request& request) {
  std::string target = PercentEncode(request.path);
  char separator = '?';
  for (const auto& [name, value] : request.query) {
    target.push_back(separator);
    absl::StrAppend(&target, PercentEncode(name), "=", PercentEncode(value));
    separator = '&';
  }
  return target;
}

}  // namespace

struct RequestParser::State {
  beast::request_parser<GrowingBody> parser;
  Progress progress;
  Request request;  // complete once progress.state says so

  void Finish() {
    auto& message = parser.get();
    request.method = std::string(View(message.method_string()));
    request.headers = CopyHeaders(message);
    request.body = std::move(message.body());
    const absl::Status status = ParseTarget(View(message.target()), request);
    if (!status.ok()) return progress.Fail(status.message());
    progress.state = ParseState::kComplete;
  }
};

RequestParser::RequestParser(const MessageLimits& limits)
    : state_(std::make_unique<State>()) {
  SetLimits(limits, state_->parser, state_->progress);
}
RequestParser::RequestParser(RequestParser&&) noexcept = default;
RequestParser& RequestParser::operator=(RequestParser&&) noexcept = default;
RequestParser::~RequestParser() = default;

size_t RequestParser::Feed(absl::string_view data) {
  const size_t used = FeedParser(data, state_->parser, state_->progress);
  if (state_->progress.state == ParseState::kIncomplete &&
      state_->parser.is_done())
    state_->Finish();
  return used;
}

ParseState RequestParser::state() const { return state_->progress.state; }

absl::string_view RequestParser::problem() const {
  return state_->progress.problem;
}

bool RequestParser::wants_continue() const {
  const auto& parser = state_->parser;
  if (!parser.is_header_done() || parser.is_done()) return false;
  const auto& message = parser.get();
  return message.version() >= 11 &&
         absl::EqualsIgnoreCase(View(message[beast::field::expect]),
                                "100-continue");
}

Request RequestParser::TakeRequest() {
  FL_CHECK(state() == ParseState::kComplete);
  return std::move(state_->request);
}

bool RequestParser::keep_alive() const { return state_->parser.keep_alive(); }

bool RequestParser::understands_chunks() const {
  return state_->parser.get().version() >= 11;
}

struct ResponseParser::State {
  State(absl::string_view method, const MessageLimits& message_limits)
      : is_head(method == "HEAD"), limits(message_limits) {
    Restart();
  }

  void Restart() {
    parser.emplace();
    SetLimits(limits, *parser, progress);
    parser->skip(is_head);
  }

  // 100 and 103 announce the response proper; 101 is one.
  bool is_interim() const {
    const unsigned status = parser->get().result_int();
    return status / 100 == 1 && status != 101;
  }

  const bool is_head;
  const MessageLimits limits;
  std::optional<beast::response_parser<GrowingBody>> parser;
  Progress progress;
};

ResponseParser::ResponseParser(absl::string_view method,
                               const MessageLimits& limits)
    : state_(std::make_unique<State>(method, limits)) {}
ResponseParser::ResponseParser(ResponseParser&&) noexcept = default;
ResponseParser& ResponseParser::operator=(ResponseParser&&) noexcept = default;
ResponseParser::~ResponseParser() = default;

size_t ResponseParser::Feed(absl::string_view data) {
  size_t used = 0;
  while (true) {
    used += FeedParser(data.substr(used), *state_->parser, state_->progress);
    if (state_->progress.state != ParseState::kIncomplete ||
        !state_->parser->is_done())
      return used;
    if (!state_->is_interim()) {
      state_->progress.state = ParseState::kComplete;
      return used;
    }
    state_->Restart();
  }
}

void ResponseParser::FeedEnd() {
  if (state() != ParseState::kIncomplete) return;
  if (!state_->parser->got_some())
    return state_->progress.Fail("closed without an answer");
  error_code error;
  state_->parser->put_eof(error);
  if (error) return state_->progress.Fail("cut short");
  state_->progress.state = ParseState::kComplete;
}

ParseState ResponseParser::state() const { return state_->progress.state; }

absl::string_view ResponseParser::problem() const {
  return state_->progress.problem;
}

bool ResponseParser::header_complete() const {
  return state_->parser->is_header_done() && !state_->is_interim();
}

std::string ResponseParser::TakeBody() {
  FL_CHECK(header_complete());
  return std::exchange(state_->parser->get().body(), {});
}

Response ResponseParser::TakeResponse() {
  FL_CHECK(header_complete());
  const auto& message = state_->parser->get();
  Response response;
  response.status = static_cast<int>(message.result_int());
  response.headers = CopyHeaders(message);
  response.content_type = std::string(response.header("content-type"));
  response.body = TakeBody();
  return response;
}

absl::StatusOr<std::string> EncodeRequest(const Request& request,
                                          absl::string_view host,
                                          const RequestOptions& options) {
  const std::string target =
      options.target.empty() ? EncodeTarget(request) : options.target;
  if (!IsToken(request.method) || !IsTarget(target))
    return absl::InvalidArgumentError("bad method or path");
  std::string out = absl::StrCat(request.method, " ", target, " HTTP/1.1\r\n");
  if (request.header("host").empty()) AppendHeader("host", host, out);
  for (const auto& [name, value] : request.headers) {
    if (!IsToken(name) || !IsHeaderValue(value))
      return absl::InvalidArgumentError("bad header");
    if (!IsFraming(absl::AsciiStrToLower(name))) AppendHeader(name, value, out);
  }
  AppendHeader("connection", ToString(options.connection), out);
  if (!request.body.empty() ||
      (request.method != "GET" && request.method != "HEAD"))
    AppendHeader("content-length", absl::StrCat(request.body.size()), out);
  absl::StrAppend(&out, "\r\n", request.body);
  return out;
}

std::string EncodeResponseHead(const Response& response,
                               const ResponseOptions& options) {
  std::string out = absl::StrCat("HTTP/1.1 ", response.status, " ",
                                 ReasonPhrase(response.status), "\r\n");
  for (const auto& [name, value] : response.headers) {
    const std::string lower = absl::AsciiStrToLower(name);
    if (IsToken(name) && IsHeaderValue(value) && !IsFraming(lower) &&
        lower != "content-type")
      AppendHeader(name, value, out);
  }
  if (response.status != 204 && response.status != 304) {
    if (IsHeaderValue(response.content_type) && !response.content_type.empty())
      AppendHeader("content-type", response.content_type, out);
    if (options.framing == BodyFraming::kLength)
      AppendHeader("content-length", absl::StrCat(response.body.size()), out);
    if (options.framing == BodyFraming::kChunked)
      AppendHeader("transfer-encoding", "chunked", out);
  }
  AppendHeader("connection", ToString(options.connection), out);
  out += "\r\n";
  return out;
}

std::string EncodeChunk(absl::string_view data) {
  FL_CHECK(!data.empty());
  return absl::StrCat(absl::Hex(data.size()), "\r\n", data, "\r\n");
}

absl::StatusOr<std::string> PercentDecode(absl::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      const absl::string_view digits = text.substr(i + 1, 2);
      if (digits.size() != 2 || !IsHexDigit(digits[0]) ||
          !IsHexDigit(digits[1]))
        return absl::InvalidArgumentError("broken percent escape");
      c = absl::HexStringToBytes(digits)[0];
      i += 2;
    }
    if (c == '\0') return absl::InvalidArgumentError("NUL in the path");
    out.push_back(c);
  }
  return out;
}

std::string PercentEncode(absl::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    if (absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
        absl::StrContains("/-._~:@,", c)) {
      out.push_back(c);
    } else {
      absl::StrAppend(&out, "%",
                      absl::AsciiStrToUpper(
                          absl::BytesToHexString(absl::string_view(&c, 1))));
    }
  }
  return out;
}

}  // namespace fairlead::http
