#include "daemon/agent_protocol.h"

#include <openssl/evp.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "fairlead/abi/config.h"
#include "fairlead/abi/limits.h"

namespace fairlead::daemon {
namespace {

using Json = nlohmann::json;

absl::Status WrongField(absl::string_view name) {
  return absl::InvalidArgumentError(absl::StrCat(
      "the agent's report: field \"", name, "\" is missing or of wrong type"));
}

const Json* Find(const Json& object, const char* name) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(name);
  return found == object.end() ? nullptr : &*found;
}

absl::StatusOr<uint64_t> Unsigned(const Json& object, const char* name) {
  const Json* field = Find(object, name);
  if (field == nullptr || !field->is_number_unsigned()) return WrongField(name);
  return field->get<uint64_t>();
}

absl::StatusOr<std::string> Text(const Json& object, const char* name) {
  const Json* field = Find(object, name);
  if (field == nullptr || !field->is_string()) return WrongField(name);
  return field->get<std::string>();
}

absl::StatusOr<bool> Flag(const Json& object, const char* name) {
  const Json* field = Find(object, name);
  if (field == nullptr || !field->is_boolean()) return WrongField(name);
  return field->get<bool>();
}

// Nothing for null.
absl::StatusOr<std::optional<absl::Duration>> Age(const Json& object,
                                                  const char* name) {
  const Json* field = Find(object, name);
  if (field != nullptr && field->is_null())
    return std::optional<absl::Duration>();
  FL_ASSIGN_OR_RETURN(const uint64_t age, Unsigned(object, name));
  return std::optional(absl::Milliseconds(static_cast<int64_t>(age)));
}

absl::StatusOr<AgentService> DecodeService(const Json& object) {
  AgentService service;
  FL_ASSIGN_OR_RETURN(service.live_sockets, Unsigned(object, "live_sockets"));
  if (Find(object, "handshakes") != nullptr) {
    FL_ASSIGN_OR_RETURN(service.handshakes, Unsigned(object, "handshakes"));
  }
  FL_ASSIGN_OR_RETURN(const std::string row_by, Text(object, "row_by"));
  service.by_source = row_by == "source";
  FL_ASSIGN_OR_RETURN(const uint64_t rows, Unsigned(object, "rows"));
  if (rows > FL_MAX_ROW_COUNT || rows % 4 != 0) return WrongField("rows");
  FL_ASSIGN_OR_RETURN(const std::string owned, Text(object, "owned"));
  FL_ASSIGN_OR_RETURN(service.owned,
                      core::RowSet::Parse(owned, static_cast<uint32_t>(rows)));
  return service;
}

absl::StatusOr<absl::btree_map<std::string, std::vector<uint64_t>>>
DecodeLearned(const Json& document) {
  absl::btree_map<std::string, std::vector<uint64_t>> learned;
  const Json* vips = Find(document, "learned");
  if (vips == nullptr || !vips->is_object()) return WrongField("learned");
  for (const auto& [vip, hashes] : vips->items()) {
    if (!hashes.is_array()) return WrongField("learned");
    for (const Json& hash : hashes) {
      uint64_t value = 0;
      if (!hash.is_string() ||
          !absl::SimpleHexAtoi(hash.get_ref<const std::string&>(), &value))
        return WrongField("learned");
      learned[vip].push_back(value);
    }
  }
  return learned;
}

std::string HexDigest(absl::string_view text) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  FL_CHECK(EVP_Digest(text.data(), text.size(), digest, &size, EVP_sha256(),
                      nullptr) == 1);
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(digest), size));
}

}  // namespace

absl::StatusOr<AgentState> DecodeAgentState(absl::string_view json) {
  const Json document = Json::parse(json.begin(), json.end(), nullptr,
                                    /*allow_exceptions=*/false);
  if (document.is_discarded())
    return absl::InvalidArgumentError("the agent's report is not JSON");
  AgentState state;
  FL_ASSIGN_OR_RETURN(state.boot_id, Text(document, "boot_id"));
  FL_ASSIGN_OR_RETURN(state.scan, Unsigned(document, "scan"));
  FL_ASSIGN_OR_RETURN(const uint64_t age,
                      Unsigned(document, "scan_begun_age_ms"));
  state.scan_begun_age = absl::Milliseconds(static_cast<int64_t>(age));
  FL_ASSIGN_OR_RETURN(state.peer_map_digest, Text(document, "peer_map_digest"));
  FL_ASSIGN_OR_RETURN(state.previous_scan_begun_age,
                      Age(document, "previous_scan_begun_age_ms"));
  FL_ASSIGN_OR_RETURN(state.syn_cookie_age, Age(document, "syn_cookie_age_ms"));
  FL_ASSIGN_OR_RETURN(const uint64_t tick, Unsigned(document, "tick"));
  state.tick = static_cast<uint32_t>(tick & FL_TICK_MASK);
  FL_ASSIGN_OR_RETURN(state.draining, Flag(document, "draining"));
  FL_ASSIGN_OR_RETURN(state.hot, Flag(document, "hot"));
  const Json* services = Find(document, "services");
  if (services == nullptr || !services->is_array())
    return WrongField("services");
  for (const Json& service : *services) {
    FL_ASSIGN_OR_RETURN(const std::string vip, Text(service, "vip"));
    FL_ASSIGN_OR_RETURN(state.services[vip], DecodeService(service));
  }
  FL_ASSIGN_OR_RETURN(state.learned, DecodeLearned(document));
  return state;
}

absl::StatusOr<std::string> DecodeSocketState(absl::string_view json) {
  const Json document = Json::parse(json.begin(), json.end(), nullptr,
                                    /*allow_exceptions=*/false);
  if (document.is_discarded())
    return absl::InvalidArgumentError("the agent's answer is not JSON");
  return Text(document, "socket");
}

std::string TableDigest(const core::Service& service) {
  absl::btree_map<std::string, int> weights;
  for (const auto& [name, backend] : service.backends)
    if (!backend.leaving) weights[backend.address.ToString()] = backend.weight;
  Json members = Json::array();
  for (const auto& [address, weight] : weights)
    members.push_back({address, weight});
  const bool by_source = service.policy == core::Policy::kSource;
  return HexDigest(Json({{"vip", service.vip.ToString()},
                         {"row_by", by_source ? "source" : "flow"},
                         {"rows", service.rows},
                         {"members", std::move(members)}})
                       .dump());
}

PeerMap EncodePeerMap(
    const core::DesiredState& desired,
    const absl::btree_map<core::BackendId, base::IpAddress>& peers,
    uint16_t lb_id) {
  Json vips = Json::array();
  for (const auto& [name, service] : desired.services) {
    vips.push_back(
        {{"vip", service.vip.ToString()},
         {"policy", std::string(core::ToString(service.policy))},
         {"rows", service.rows},
         {"hop_lists", service.guarantee == core::Guarantee::kSockets},
         {"table", TableDigest(service)}});
  }
  Json document = {{"lb_id", lb_id}, {"vips", vips}, {"peers", Json::array()}};
  for (const auto& [id, address] : peers)
    document["peers"].push_back({{"id", id}, {"address", address.ToString()}});
  PeerMap map;
  map.digest = HexDigest(document.dump());
  document["digest"] = map.digest;
  map.json = document.dump();
  return map;
}

}  // namespace fairlead::daemon
