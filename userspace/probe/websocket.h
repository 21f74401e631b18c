// What a WebSocket probe says and hears after its HTTP request: the handshake's
// proof and frames, between bytes. No I/O; fed with pieces of any size.
//
// Frames are wslay's, which is compiled in websocket.cc alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/model.h"
#include "http/message.h"

namespace fairlead::probe {

// Sec-WebSocket-Key: 16 random bytes.
std::string MakeWebSocketKey();
// Sec-WebSocket-Accept for it.
std::string AcceptOf(absl::string_view key);

// The request of a WebSocket's handshake, without its method and target.
http::Request UpgradeRequest(const core::CheckConfig& check,
                             absl::string_view key);
// What is wrong with an answer of 101, for people; empty: nothing.
std::string UpgradeProblem(const http::Response& response,
                           const core::CheckConfig& check,
                           absl::string_view key);

enum class Opcode : uint8_t {
  kContinuation = 0,
  kText = 1,
  kBinary = 2,
  kClose = 8,
  kPing = 9,
  kPong = 10,
};

struct Frame {
  Opcode opcode = Opcode::kText;
  std::string payload;  // of control frames alone; others are read past
};

inline constexpr uint16_t kNormalClosure = 1000;
inline constexpr size_t kMostControlBytes = 125;

// As clients send it: final and masked. Requires: at most kMostControlBytes.
std::string EncodeControlFrame(Opcode opcode, absl::string_view payload);
// The payload of a close frame.
std::string ClosePayload(uint16_t code);
// "1001", or "no code": of a close frame.
std::string CloseText(absl::string_view payload);

// Reads what a server sends.
class FrameReader {
 public:
  FrameReader();
  FrameReader(FrameReader&&) noexcept;
  FrameReader& operator=(FrameReader&&) noexcept;
  ~FrameReader();

  void Feed(absl::string_view data);
  // The next frame that is there whole; nullopt: more is needed. DATA_LOSS: no
  // frames, or none that a server may send; from then on always.
  absl::StatusOr<std::optional<Frame>> Next();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace fairlead::probe
