// Frames in words, for a person who looks at a failed test: one line per
// header, nested ones included, checksums verified, then the bytes. It believes
// nothing: whatever does not decode is shown as bytes.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace fairlead::test {

std::string DescribeFrame(std::span<const uint8_t> frame);

// Empty when both are the same; else both in words and where they part.
std::string DifferenceOf(std::span<const uint8_t> expected,
                         std::span<const uint8_t> actual);

}  // namespace fairlead::test
