// CHECK_THAT(bytes, IsPacket(Eth{} / Ipv4{} / ...)): all bytes equal; on a
// mismatch both frames are printed in words.
#pragma once

#include <catch2/catch.hpp>
#include <string>
#include <utility>

#include "tests/support/packet.h"
#include "tests/support/packet_text.h"

// The matcher prints frames in words; their bytes in decimal help nobody.
template <>
struct Catch::StringMaker<fairlead::test::Bytes> {
  static std::string convert(const fairlead::test::Bytes& bytes) {
    return "a frame of " + std::to_string(bytes.size()) + " bytes";
  }
};

namespace fairlead::test {

class IsPacket : public Catch::MatcherBase<Bytes> {
 public:
  explicit IsPacket(const Packet& expected) : expected_(expected.Wire()) {}

  bool match(const Bytes& actual) const override {
    difference_ = DifferenceOf(expected_, actual);
    return difference_.empty();
  }
  std::string describe() const override {
    return "is not the expected packet: " + difference_;
  }

 private:
  Bytes expected_;
  // Catch asks for the description after the match, of a const object.
  mutable std::string difference_;
};

}  // namespace fairlead::test
