#include "config/node_config.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/status_macros.h"
#include "config/strict_toml.h"

namespace fairlead::config {
namespace {

constexpr IntegerRange kFlowSlots = {.min = 1024, .max = 268435456};
constexpr IntegerRange kRows = {.min = 4096, .max = 67108864};
constexpr IntegerRange kBackends = {.min = 16, .max = 65535};
constexpr IntegerRange kServices = {.min = 4, .max = 65535};
constexpr IntegerRange kPrefixes = {.min = 16, .max = 131072};
constexpr IntegerRange kSources = {.min = 64, .max = 16777216};
constexpr IntegerRange kCountedSources = {.min = 0, .max = 1048576};
constexpr uint32_t kFewestCounted = 64;
constexpr size_t kMaxInterfaces = 16;
constexpr size_t kMaxPeers = 255;

// A slot remembers 24 bits of ticks of about a second and cannot tell more than
// half of that, 97 days, from the future.
constexpr absl::Duration kMinTimeout = absl::Seconds(2);
constexpr absl::Duration kMaxTimeout = absl::Hours(24 * 90);

void ReadNode(TomlSection section, NodeConfig& config) {
  if (auto name = section.Text("name", Presence::kOptional, CheckName))
    config.name = *std::move(name);
  if (const auto id =
          section.Integer("id", Presence::kRequired, {.min = 1, .max = 65535}))
    config.id = static_cast<uint16_t>(*id);
  if (auto names =
          section.Texts("interfaces", Presence::kRequired,
                        {.min = 1, .max = kMaxInterfaces}, CheckInterfaceName))
    config.interfaces = *std::move(names);
  ReadXdpMode(section, "xdp_mode", config.xdp_mode);
  ReadHostAddresses(section, config.addresses);
  ReadPath(section, "key_file", Presence::kRequired, config.key_file);
  ReadPath(section, "state_dir", Presence::kOptional, config.state_dir);
  ReadSocketPath(section, "socket", config.socket);
  ReadPath(section, "pin_path", Presence::kOptional, config.pin_path);
  ReadPort(section, "gue_port", config.gue_port);
}

void ReadTables(TomlSection section, NodeTables& tables) {
  ReadInteger(section, "flows", kFlowSlots, tables.flow_slots);
  tables.flow_slots = std::bit_ceil(tables.flow_slots);
  ReadInteger(section, "rows", kRows, tables.rows);
  ReadInteger(section, "backends", kBackends, tables.backends);
  ReadInteger(section, "services", kServices, tables.services);
  ReadInteger(section, "prefixes", kPrefixes, tables.prefixes);
  ReadInteger(section, "sources", kSources, tables.sources);
  tables.sources = std::bit_ceil(tables.sources);
  ReadInteger(section, "counted_sources", kCountedSources,
              tables.counted_sources);
  if (tables.counted_sources != 0)
    tables.counted_sources =
        std::max(kFewestCounted, std::bit_ceil(tables.counted_sources));
}

void ReadAccess(TomlSection section, NodeAccess& access) {
  for (const auto& [key, group] :
       {std::pair("viewer_group", &access.viewer_group),
        std::pair("operator_group", &access.operator_group),
        std::pair("admin_group", &access.admin_group)}) {
    if (auto name = section.Text(key, Presence::kOptional, CheckName))
      *group = *std::move(name);
  }
}

void ReadTimeouts(TomlSection section, FlowTimeouts& timeouts) {
  for (const auto& [key, timeout] :
       {std::pair("established", &timeouts.established),
        std::pair("closing", &timeouts.closing),
        std::pair("young", &timeouts.young),
        std::pair("embryonic", &timeouts.embryonic)}) {
    ReadDuration(section, key, kMinTimeout, kMaxTimeout, *timeout);
  }
}

// ADDRESS, or ADDRESS:PORT.
absl::StatusOr<base::Endpoint> ParsePeer(absl::string_view text,
                                         uint16_t port) {
  if (const auto address = base::IpAddress::Parse(text); address.ok())
    return base::Endpoint{*address, port};
  return base::Endpoint::Parse(text);
}

void ReadTier(TomlSection section, NodeTier& tier) {
  ReadPort(section, "port", tier.port);
  const auto peers = section.Texts(
      "peers", Presence::kOptional, {.min = 0, .max = kMaxPeers},
      [&](auto text) { return ParsePeer(text, tier.port).status(); });
  if (!peers.has_value()) return;
  for (const std::string& text : *peers)
    tier.peers.push_back(*ParsePeer(text, tier.port));
}

}  // namespace

absl::StatusOr<NodeConfig> ParseNodeConfig(absl::string_view text,
                                           absl::string_view file,
                                           absl::string_view hostname) {
  FL_ASSIGN_OR_RETURN(TomlDocument document, TomlDocument::Parse(text, file));
  NodeConfig config;
  config.name = std::string(hostname);
  ReadNode(document.Section("node"), config);
  ReadTables(document.Section("tables"), config.tables);
  ReadAccess(document.Section("access"), config.access);
  ReadTimeouts(document.Section("timeouts"), config.timeouts);
  ReadTier(document.Section("tier"), config.tier);
  FL_RETURN_IF_ERROR(document.Finish());
  return config;
}

}  // namespace fairlead::config
