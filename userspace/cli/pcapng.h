// Writes packets as pcapng, for Wireshark and tcpdump
// (draft-ietf-opsawg-pcapng): one section, little-endian blocks, one
// interface description for each interface that packets name.
#pragma once

#include <cstdint>
#include <ostream>
#include <string>

#include "absl/container/btree_map.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace fairlead::cli {

enum class Direction : uint32_t { kIn = 1, kOut = 2 };

struct CapturedFrame {
  absl::Time time;
  absl::string_view interface;
  Direction direction = Direction::kIn;
  uint32_t length = 0;  // on the wire; `bytes` may be less
  absl::string_view bytes;
  absl::string_view comment;
};

class PcapngWriter {
 public:
  // Borrows `out`, and begins the file. Whether it can be written is out's to
  // tell.
  explicit PcapngWriter(std::ostream& out);

  void Write(const CapturedFrame& frame);

 private:
  uint32_t InterfaceId(absl::string_view name);
  void WriteBlock(uint32_t type, const std::string& body);

  std::ostream& out_;
  absl::btree_map<std::string, uint32_t> interfaces_;
};

}  // namespace fairlead::cli
