#include "probe/websocket.h"

#include <openssl/rand.h>
#include <openssl/sha.h>
#include <wslay/wslay.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/check.h"
#include "base/text.h"

namespace fairlead::probe {
namespace {

constexpr size_t kKeyBytes = 16;
// RFC 6455, section 1.3.
constexpr absl::string_view kGuid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

void FillRandom(uint8_t* bytes, size_t size) {
  FL_CHECK(RAND_bytes(bytes, static_cast<int>(size)) == 1);
}

bool HasToken(absl::string_view list, absl::string_view token) {
  for (const absl::string_view item : absl::StrSplit(list, ',')) {
    if (absl::EqualsIgnoreCase(absl::StripAsciiWhitespace(item), token))
      return true;
  }
  return false;
}

int FillMask(uint8_t* buffer, size_t size, void*) {
  FillRandom(buffer, size);
  return 0;
}

ssize_t Append(const uint8_t* data, size_t size, int, void* out) {
  static_cast<std::string*>(out)->append(reinterpret_cast<const char*>(data),
                                         size);
  return static_cast<ssize_t>(size);
}

// Zero tells wslay that there is no more for now.
ssize_t TakeFrom(uint8_t* buffer, size_t size, int, void* input) {
  auto& text = *static_cast<std::string*>(input);
  const size_t taken = std::min(size, text.size());
  std::copy_n(text.begin(), taken, buffer);
  text.erase(0, taken);
  return static_cast<ssize_t>(taken);
}

struct FreeContext {
  void operator()(wslay_frame_context* context) const {
    wslay_frame_context_free(context);
  }
};
using ContextPtr = std::unique_ptr<wslay_frame_context, FreeContext>;

ContextPtr MakeContext(const wslay_frame_callbacks& callbacks, void* user) {
  wslay_frame_context_ptr context = nullptr;
  FL_CHECK(wslay_frame_context_init(&context, &callbacks, user) == 0);
  return ContextPtr(context);
}

bool IsControl(uint8_t opcode) { return wslay_is_ctrl_frame(opcode) != 0; }

bool IsKnown(uint8_t opcode) {
  return opcode <= WSLAY_BINARY_FRAME ||
         (opcode >= WSLAY_CONNECTION_CLOSE && opcode <= WSLAY_PONG);
}

}  // namespace

std::string MakeWebSocketKey() {
  uint8_t bytes[kKeyBytes];
  FillRandom(bytes, sizeof(bytes));
  return absl::Base64Escape(
      absl::string_view(reinterpret_cast<const char*>(bytes), sizeof(bytes)));
}

std::string AcceptOf(absl::string_view key) {
  const std::string text = absl::StrCat(key, kGuid);
  uint8_t hash[SHA_DIGEST_LENGTH];
  SHA1(reinterpret_cast<const uint8_t*>(text.data()), text.size(), hash);
  return absl::Base64Escape(
      absl::string_view(reinterpret_cast<const char*>(hash), sizeof(hash)));
}

http::Request UpgradeRequest(const core::CheckConfig& check,
                             absl::string_view key) {
  http::Request request;
  request.headers["upgrade"] = "websocket";
  request.headers["sec-websocket-version"] = "13";
  request.headers["sec-websocket-key"] = std::string(key);
  if (!check.subprotocol.empty())
    request.headers["sec-websocket-protocol"] = check.subprotocol;
  return request;
}

std::string UpgradeProblem(const http::Response& response,
                           const core::CheckConfig& check,
                           absl::string_view key) {
  if (!absl::EqualsIgnoreCase(response.header("upgrade"), "websocket") ||
      !HasToken(response.header("connection"), "upgrade"))
    return "101 without \"Upgrade: websocket\" and \"Connection: upgrade\"";
  if (response.header("sec-websocket-accept") != AcceptOf(key))
    return absl::StrCat("Sec-WebSocket-Accept ",
                        base::Quoted(response.header("sec-websocket-accept")),
                        " does not belong to the key that was sent");
  if (!response.header("sec-websocket-extensions").empty())
    return "an extension that was not asked for";
  const absl::string_view agreed = response.header("sec-websocket-protocol");
  if (agreed == check.subprotocol) return "";
  return absl::StrCat("subprotocol ", base::Quoted(agreed), ", asked for ",
                      base::Quoted(check.subprotocol));
}

std::string EncodeControlFrame(Opcode opcode, absl::string_view payload) {
  FL_CHECK(payload.size() <= kMostControlBytes);
  std::string out;
  const ContextPtr context = MakeContext({.send_callback = Append,
                                          .recv_callback = nullptr,
                                          .genmask_callback = FillMask},
                                         &out);
  wslay_frame_iocb frame = {};
  frame.fin = 1;
  frame.opcode = static_cast<uint8_t>(opcode);
  frame.mask = 1;
  frame.payload_length = payload.size();
  frame.data = reinterpret_cast<const uint8_t*>(payload.data());
  frame.data_length = payload.size();
  FL_CHECK(wslay_frame_send(context.get(), &frame) ==
           static_cast<ssize_t>(payload.size()));
  return out;
}

std::string ClosePayload(uint16_t code) {
  return {static_cast<char>(code >> 8), static_cast<char>(code & 0xff)};
}

std::string CloseText(absl::string_view payload) {
  if (payload.size() < 2) return "no code";
  return absl::StrCat(static_cast<uint8_t>(payload[0]) << 8 |
                      static_cast<uint8_t>(payload[1]));
}

struct FrameReader::State {
  State()
      : context(MakeContext({.send_callback = nullptr,
                             .recv_callback = TakeFrom,
                             .genmask_callback = nullptr},
                            &input)) {}

  std::string input;  // not yet with wslay
  ContextPtr context;
  // Of the frame that is being read.
  uint64_t received = 0;
  Frame frame;
  absl::Status broken;

  std::optional<Frame> Finish() {
    received = 0;
    return std::exchange(frame, {});
  }
};

FrameReader::FrameReader() : state_(std::make_unique<State>()) {}
FrameReader::FrameReader(FrameReader&&) noexcept = default;
FrameReader& FrameReader::operator=(FrameReader&&) noexcept = default;
FrameReader::~FrameReader() = default;

void FrameReader::Feed(absl::string_view data) {
  state_->input.append(data.data(), data.size());
}

absl::StatusOr<std::optional<Frame>> FrameReader::Next() {
  State& state = *state_;
  const auto fail = [&](absl::string_view what) {
    state.broken = absl::DataLossError(what);
    return state.broken;
  };
  while (state.broken.ok()) {
    wslay_frame_iocb part = {};
    const ssize_t got = wslay_frame_recv(state.context.get(), &part);
    if (got == WSLAY_ERR_WANT_READ) return std::optional<Frame>();
    if (got < 0) return fail("no WebSocket frame");
    if (part.mask != 0) return fail("a masked frame, which servers never send");
    if (part.rsv != 0) return fail("a frame with reserved bits");
    if (!IsKnown(part.opcode)) return fail("a frame of a reserved kind");
    state.received += part.data_length;
    state.frame.opcode = static_cast<Opcode>(part.opcode);
    if (IsControl(part.opcode))
      state.frame.payload.append(reinterpret_cast<const char*>(part.data),
                                 part.data_length);
    if (state.received == part.payload_length) return state.Finish();
  }
  return state.broken;
}

}  // namespace fairlead::probe
