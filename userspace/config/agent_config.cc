#include "config/agent_config.h"

#include <optional>
#include <utility>

#include "base/status_macros.h"
#include "config/strict_toml.h"

namespace fairlead::config {
namespace {

constexpr size_t kMaxListen = 16;
constexpr size_t kMaxLbs = 256;

void ReadAgent(TomlSection section, AgentConfig& config) {
  if (auto name =
          section.Text("interface", Presence::kRequired, CheckInterfaceName))
    config.interface = *std::move(name);
  ReadHostAddresses(section, config.addresses);
  const auto listen = section.Texts(
      "listen", Presence::kRequired, {.min = 1, .max = kMaxListen},
      [](auto text) { return base::Endpoint::Parse(text).status(); });
  if (listen.has_value()) {
    for (const std::string& text : *listen)
      config.listen.push_back(*base::Endpoint::Parse(text));
  }
  const auto lbs = section.Texts(
      "lbs", Presence::kRequired, {.min = 1, .max = kMaxLbs},
      [](auto text) { return base::IpAddress::Parse(text).status(); });
  if (lbs.has_value()) {
    for (const std::string& text : *lbs)
      config.lbs.push_back(*base::IpAddress::Parse(text));
  }
  ReadPath(section, "key_file", Presence::kRequired, config.key_file);
  ReadXdpMode(section, "xdp_mode", config.xdp_mode);
  ReadPath(section, "pin_path", Presence::kOptional, config.pin_path);
  ReadPath(section, "state_dir", Presence::kOptional, config.state_dir);
  ReadPort(section, "gue_port", config.gue_port);
}

}  // namespace

absl::StatusOr<AgentConfig> ParseAgentConfig(absl::string_view text,
                                             absl::string_view file) {
  FL_ASSIGN_OR_RETURN(TomlDocument document, TomlDocument::Parse(text, file));
  AgentConfig config;
  ReadAgent(document.Section("agent"), config);
  FL_RETURN_IF_ERROR(document.Finish());
  return config;
}

}  // namespace fairlead::config
