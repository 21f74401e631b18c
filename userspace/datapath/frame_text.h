// One line about an Ethernet frame, for people.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "absl/functional/function_ref.h"

namespace fairlead::datapath {

struct FrameTextOptions {
  uint16_t gue_port = 0;  // UDP to there is GUE
  // Of a hop list.
  absl::FunctionRef<std::string(uint16_t id)> backend_name;
};

// "203.0.113.7:40000 > 198.51.100.10:443 TCP SYN". The frame may be anything
// and may end anywhere.
std::string FrameText(std::span<const uint8_t> frame,
                      const FrameTextOptions& options);

}  // namespace fairlead::datapath
