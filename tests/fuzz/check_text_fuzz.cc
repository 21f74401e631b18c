// What a check meets and is told in text: a WebSocket server's bytes, and the
// rules for statuses. Frames are the same however the bytes were cut; a map
// that is read is read again from what it is written as.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/check.h"
#include "core/check_status.h"
#include "probe/websocket.h"

namespace {

using fairlead::core::StatusMap;
using fairlead::probe::Frame;
using fairlead::probe::FrameReader;

struct Outcome {
  std::vector<Frame> frames;
  bool broken = false;
};

Outcome ReadInPieces(absl::string_view data, size_t piece) {
  FrameReader reader;
  Outcome outcome;
  for (size_t at = 0; at < data.size() && !outcome.broken; at += piece) {
    reader.Feed(data.substr(at, piece));
    while (true) {
      const auto frame = reader.Next();
      outcome.broken = !frame.ok();
      if (outcome.broken || !frame->has_value()) break;
      FL_CHECK((*frame)->payload.size() <= fairlead::probe::kMostControlBytes);
      outcome.frames.push_back(**frame);
    }
  }
  return outcome;
}

void ReadFrames(absl::string_view data, size_t piece) {
  const Outcome whole = ReadInPieces(data, data.size() + 1);
  const Outcome pieces = ReadInPieces(data, piece);
  FL_CHECK(whole.broken == pieces.broken);
  FL_CHECK(whole.frames.size() == pieces.frames.size());
  for (size_t i = 0; i < whole.frames.size(); ++i) {
    FL_CHECK(whole.frames[i].opcode == pieces.frames[i].opcode);
    FL_CHECK(whole.frames[i].payload == pieces.frames[i].payload);
  }
}

void ReadMap(absl::string_view text) {
  const absl::StatusOr<StatusMap> map = StatusMap::Parse(text);
  if (!map.ok()) return;
  const absl::StatusOr<StatusMap> again = StatusMap::Parse(map->ToString());
  FL_CHECK(again.ok());
  FL_CHECK(*again == *map);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  // The first byte says what it is, and how large the pieces are.
  const absl::string_view bytes(reinterpret_cast<const char*>(data + 1),
                                size - 1);
  if (data[0] % 2 == 0) {
    ReadMap(bytes);
  } else {
    ReadFrames(bytes, size_t{data[0]} / 2 + 1);
  }
  return 0;
}
