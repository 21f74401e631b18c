#include "probe/websocket.h"

#include <catch2/catch.hpp>
#include <string>

#include "tests/unit/probe/fixture.h"

namespace fairlead::probe {
namespace {

TEST_CASE("the proof is the one of RFC 6455's example", "[probe][ws]") {
  CHECK(AcceptOf("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

TEST_CASE("no key comes twice", "[probe][ws]") {
  CHECK(MakeWebSocketKey().size() == 24);
  CHECK(MakeWebSocketKey() != MakeWebSocketKey());
}

TEST_CASE("a client's frame is masked and final", "[probe][ws]") {
  const std::string frame = EncodeControlFrame(Opcode::kPing, "abc");
  REQUIRE(frame.size() == 9);
  CHECK(frame[0] == '\x89');
  CHECK(frame[1] == '\x83');
  CHECK(Unmasked(frame) == "abc");
  CHECK(EncodeControlFrame(Opcode::kPing, std::string(125, 'x')).size() == 131);
}

TEST_CASE("frames are read in pieces of any size", "[probe][ws]") {
  const std::string bytes =
      ServerFrame(Opcode::kText, "") + ServerFrame(Opcode::kPing, "p") +
      std::string("\x82\x7e\x01\x00", 4) + std::string(256, 'b') +
      ServerFrame(Opcode::kClose, ClosePayload(1000)) +
      ServerFrame(Opcode::kPong, std::string(125, 'q'));
  for (const size_t piece : {1u, 2u, 3u, 7u, 500u}) {
    FrameReader reader;
    std::string seen;
    for (size_t at = 0; at < bytes.size(); at += piece) {
      reader.Feed(absl::string_view(bytes).substr(at, piece));
      while (true) {
        const auto frame = reader.Next();
        REQUIRE(frame.ok());
        if (!frame->has_value()) break;
        absl::StrAppend(&seen, static_cast<int>((*frame)->opcode), ":",
                        (*frame)->payload.size(), " ");
      }
    }
    CHECK(seen == "1:0 9:1 2:0 8:2 10:125 ");
  }
}

TEST_CASE("a reader that met nonsense reads no more", "[probe][ws]") {
  FrameReader reader;
  reader.Feed("\xff\xff");
  CHECK(absl::IsDataLoss(reader.Next().status()));
  reader.Feed(ServerFrame(Opcode::kPong, "x"));
  CHECK(absl::IsDataLoss(reader.Next().status()));
}

}  // namespace
}  // namespace fairlead::probe
