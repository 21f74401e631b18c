// Any frame that arrives can be traced: the line about it stays inside the
// frame, and is one line.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "datapath/frame_text.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // No byte to spare behind the frame.
  const auto frame = std::make_unique<uint8_t[]>(size);
  std::copy_n(data, size, frame.get());
  const std::string text = fairlead::datapath::FrameText(
      {frame.get(), size}, {.gue_port = 6080, .backend_name = [](uint16_t id) {
                              return absl::StrCat("#", id);
                            }});
  FL_CHECK(!text.empty());
  FL_CHECK(text.find('\n') == std::string::npos);
  return 0;
}
