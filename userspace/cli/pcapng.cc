#include "cli/pcapng.h"

#include <bit>
#include <cstring>

namespace fairlead::cli {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr uint32_t kSectionHeader = 0x0a0d0d0a;
constexpr uint32_t kByteOrderMagic = 0x1a2b3c4d;
constexpr uint32_t kInterfaceDescription = 1;
constexpr uint32_t kEnhancedPacket = 6;
constexpr uint16_t kLinkEthernet = 1;

constexpr uint16_t kOptionEnd = 0;
constexpr uint16_t kOptionComment = 1;
constexpr uint16_t kInterfaceName = 2;
constexpr uint16_t kInterfaceResolution = 9;
constexpr uint16_t kPacketFlags = 2;
constexpr char kNanoseconds = 9;  // 10^-9

template <typename T>
void Append(std::string& to, T value) {
  to.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

void AppendPadded(std::string& to, absl::string_view bytes) {
  to.append(bytes.data(), bytes.size());
  to.append((4 - bytes.size() % 4) % 4, '\0');
}

void AppendOption(std::string& to, uint16_t code, absl::string_view value) {
  value = value.substr(0, UINT16_MAX);
  Append(to, code);
  Append(to, static_cast<uint16_t>(value.size()));
  AppendPadded(to, value);
}

}  // namespace

PcapngWriter::PcapngWriter(std::ostream& out) : out_(out) {
  std::string body;
  Append(body, kByteOrderMagic);
  Append(body, uint16_t{1});  // version 1.0
  Append(body, uint16_t{0});
  Append(body, int64_t{-1});  // the section's length is not known
  WriteBlock(kSectionHeader, body);
}

void PcapngWriter::Write(const CapturedFrame& frame) {
  const uint32_t interface = InterfaceId(frame.interface);
  const auto nanoseconds = static_cast<uint64_t>(absl::ToUnixNanos(frame.time));
  std::string body;
  Append(body, interface);
  Append(body, static_cast<uint32_t>(nanoseconds >> 32));
  Append(body, static_cast<uint32_t>(nanoseconds));
  Append(body, static_cast<uint32_t>(frame.bytes.size()));
  Append(body, frame.length);
  AppendPadded(body, frame.bytes);
  AppendOption(body, kOptionComment, frame.comment);
  std::string flags;
  Append(flags, static_cast<uint32_t>(frame.direction));
  AppendOption(body, kPacketFlags, flags);
  AppendOption(body, kOptionEnd, "");
  WriteBlock(kEnhancedPacket, body);
}

uint32_t PcapngWriter::InterfaceId(absl::string_view name) {
  const auto [at, added] =
      interfaces_.emplace(name, static_cast<uint32_t>(interfaces_.size()));
  if (!added) return at->second;
  std::string body;
  Append(body, kLinkEthernet);
  Append(body, uint16_t{0});
  Append(body, uint32_t{0});  // no limit to a packet's bytes
  AppendOption(body, kInterfaceName, name);
  AppendOption(body, kInterfaceResolution, absl::string_view(&kNanoseconds, 1));
  AppendOption(body, kOptionEnd, "");
  WriteBlock(kInterfaceDescription, body);
  return at->second;
}

void PcapngWriter::WriteBlock(uint32_t type, const std::string& body) {
  // The type, the length before and behind, and what is between them.
  const auto length = static_cast<uint32_t>(body.size() + 3 * sizeof(uint32_t));
  std::string block;
  Append(block, type);
  Append(block, length);
  block += body;
  Append(block, length);
  out_ << block << std::flush;
}

}  // namespace fairlead::cli
