#include "daemon/peer_protocol.h"

#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "daemon/agent_protocol.h"

namespace fairlead::daemon {
namespace {

using Json = nlohmann::json;

absl::Status WrongField(absl::string_view name) {
  return absl::InvalidArgumentError(
      absl::StrCat("the LB host's tables: field \"", name,
                   "\" is missing or of wrong type"));
}

}  // namespace

PeerTables TablesOf(const core::DesiredState& desired, absl::string_view node,
                    uint16_t lb_id) {
  PeerTables tables{.node = std::string(node), .lb_id = lb_id, .digests = {}};
  for (const auto& [name, service] : desired.services)
    tables.digests[service.vip.ToString()] = TableDigest(service);
  return tables;
}

std::string EncodeTables(const PeerTables& tables) {
  Json digests = Json::object();
  for (const auto& [vip, digest] : tables.digests) digests[vip] = digest;
  Json stuck = Json::object();
  for (const auto& [vip, addresses] : tables.stuck)
    for (const base::IpAddress& address : addresses)
      stuck[vip].push_back(address.ToString());
  return Json({{"node", tables.node},
               {"lb_id", tables.lb_id},
               {"tables", std::move(digests)},
               {"stuck", std::move(stuck)}})
      .dump();
}

absl::StatusOr<PeerTables> DecodeTables(absl::string_view json) {
  const Json document = Json::parse(json.begin(), json.end(), nullptr,
                                    /*allow_exceptions=*/false);
  if (!document.is_object())
    return absl::InvalidArgumentError("the LB host's tables are no object");
  PeerTables tables;
  const auto node = document.find("node");
  if (node == document.end() || !node->is_string()) return WrongField("node");
  tables.node = node->get<std::string>();
  const auto lb_id = document.find("lb_id");
  if (lb_id == document.end() || !lb_id->is_number_unsigned() ||
      lb_id->get<uint64_t>() > UINT16_MAX)
    return WrongField("lb_id");
  tables.lb_id = lb_id->get<uint16_t>();
  const auto digests = document.find("tables");
  if (digests == document.end() || !digests->is_object())
    return WrongField("tables");
  for (const auto& [vip, digest] : digests->items()) {
    if (!digest.is_string()) return WrongField("tables");
    tables.digests[vip] = digest.get<std::string>();
  }
  const auto stuck = document.find("stuck");
  if (stuck == document.end()) return tables;
  if (!stuck->is_object()) return WrongField("stuck");
  for (const auto& [vip, addresses] : stuck->items()) {
    if (!addresses.is_array()) return WrongField("stuck");
    for (const Json& address : addresses) {
      if (!address.is_string()) return WrongField("stuck");
      const absl::StatusOr<base::IpAddress> parsed =
          base::IpAddress::Parse(address.get<std::string>());
      if (!parsed.ok()) return WrongField("stuck");
      tables.stuck[vip].insert(*parsed);
    }
  }
  return tables;
}

}  // namespace fairlead::daemon
