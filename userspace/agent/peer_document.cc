#include "agent/peer_document.h"

#include <algorithm>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "fairlead/abi/maps.h"

namespace fairlead::agent {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxQuoted = 80;

// The value as JSON, cut to what fits a message.
std::string Quote(const Json& value) {
  std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() > kMaxQuoted) text = text.substr(0, kMaxQuoted) + "...";
  return text;
}

absl::Status Wrong(absl::string_view field, const Json& value,
                   absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat(field, ": ", Quote(value), " ", what));
}

// A library that keeps the last of two equal keys would hide a lie.
class DuplicateKeys {
 public:
  bool OnEvent(Json::parse_event_t event, const Json& parsed) {
    if (event == Json::parse_event_t::object_start) open_.emplace_back();
    if (event == Json::parse_event_t::object_end) open_.pop_back();
    if (event == Json::parse_event_t::key &&
        !open_.back().insert(parsed.get<std::string>()).second) {
      found_ = parsed.get<std::string>();
    }
    return true;
  }
  const std::optional<std::string>& found() const { return found_; }

 private:
  std::vector<std::set<std::string>> open_;
  std::optional<std::string> found_;
};

absl::StatusOr<Json> ParseJson(absl::string_view text) {
  DuplicateKeys keys;
  Json json = Json::parse(
      text.begin(), text.end(),
      [&keys](int, Json::parse_event_t event, Json& parsed) {
        return keys.OnEvent(event, parsed);
      },
      /*allow_exceptions=*/false);
  if (json.is_discarded())
    return absl::InvalidArgumentError("the body is not JSON");
  if (keys.found().has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat("field \"", *keys.found(), "\" comes twice"));
  }
  return json;
}

absl::Status CheckFields(const Json& object, absl::string_view where,
                         std::initializer_list<absl::string_view> fields) {
  if (!object.is_object()) return Wrong(where, object, "is not an object");
  for (const auto& [key, unused] : object.items()) {
    const absl::string_view name = key;
    if (std::find(fields.begin(), fields.end(), name) == fields.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat(where, ": unknown field \"", name,
                       "\" (have: ", absl::StrJoin(fields, ", "), ")"));
    }
  }
  for (const absl::string_view field : fields) {
    if (!object.contains(std::string(field))) {
      return absl::InvalidArgumentError(
          absl::StrCat(where, ": field \"", field, "\" is missing"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<uint16_t> ReadId(const Json& value, absl::string_view field) {
  if (!value.is_number_unsigned() || value.get<uint64_t>() < 1 ||
      value.get<uint64_t>() > UINT16_MAX) {
    return Wrong(field, value, "is not an integer from 1 to 65535");
  }
  return value.get<uint16_t>();
}

absl::StatusOr<std::string> ReadDigest(const Json& value,
                                       absl::string_view field) {
  if (!value.is_string()) return Wrong(field, value, "is not a string");
  std::string text = value.get<std::string>();
  const bool hex = std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return absl::ascii_isdigit(c) || (c >= 'a' && c <= 'f');
  });
  if (!hex || text.empty() || text.size() > kMaxDigestLength) {
    return Wrong(field, value,
                 absl::StrCat("is not 1 to ", kMaxDigestLength,
                              " lower-case hexadecimal digits"));
  }
  return text;
}

// Where no host can be reached.
bool IsNoHost(const base::IpAddress& address) {
  return address.is_unspecified() || address.is_loopback() ||
         address.is_multicast() ||
         (address.is_ipv4() &&
          (address.ipv4() == 0 || address.ipv4() == UINT32_MAX));
}

absl::StatusOr<base::Endpoint> ReadEndpoint(const Json& value,
                                            absl::string_view field) {
  if (!value.is_string()) return Wrong(field, value, "is not a string");
  const absl::StatusOr<base::Endpoint> vip =
      base::Endpoint::Parse(value.get_ref<const std::string&>());
  if (!vip.ok() || IsNoHost(vip->address))
    return Wrong(field, value, "is not ADDRESS:PORT of a service");
  return *vip;
}

absl::StatusOr<core::Policy> ReadPolicy(const Json& value,
                                        absl::string_view field) {
  std::optional<core::Policy> policy;
  if (value.is_string())
    policy = core::ParsePolicy(value.get_ref<const std::string&>());
  if (policy.has_value()) return *policy;
  return Wrong(field, value, "is none of hash, source, least-conn");
}

absl::StatusOr<uint32_t> ReadRows(const Json& value, absl::string_view field) {
  const uint64_t rows = value.is_number_unsigned() ? value.get<uint64_t>() : 0;
  if (rows < FL_MIN_ROW_COUNT || rows > FL_MAX_ROW_COUNT ||
      (rows & (rows - 1)) != 0) {
    return Wrong(field, value,
                 absl::StrCat("is not a power of two from ", FL_MIN_ROW_COUNT,
                              " to ", FL_MAX_ROW_COUNT));
  }
  return static_cast<uint32_t>(rows);
}

absl::StatusOr<PeerVip> ReadVip(const Json& value, absl::string_view field) {
  FL_RETURN_IF_ERROR(CheckFields(
      value, field, {"vip", "policy", "rows", "hop_lists", "table"}));
  PeerVip vip;
  FL_ASSIGN_OR_RETURN(vip.vip,
                      ReadEndpoint(value["vip"], absl::StrCat(field, ".vip")));
  FL_ASSIGN_OR_RETURN(
      vip.policy, ReadPolicy(value["policy"], absl::StrCat(field, ".policy")));
  FL_ASSIGN_OR_RETURN(vip.rows,
                      ReadRows(value["rows"], absl::StrCat(field, ".rows")));
  const Json& hop_lists = value["hop_lists"];
  if (!hop_lists.is_boolean())
    return Wrong(absl::StrCat(field, ".hop_lists"), hop_lists,
                 "is neither true nor false");
  vip.hop_lists = hop_lists.get<bool>();
  FL_ASSIGN_OR_RETURN(
      vip.table, ReadDigest(value["table"], absl::StrCat(field, ".table")));
  return vip;
}

absl::StatusOr<Peer> ReadPeer(const Json& value, absl::string_view field) {
  FL_RETURN_IF_ERROR(CheckFields(value, field, {"id", "address"}));
  Peer peer;
  FL_ASSIGN_OR_RETURN(peer.id, ReadId(value["id"], absl::StrCat(field, ".id")));
  const Json& text = value["address"];
  const std::string where = absl::StrCat(field, ".address");
  if (!text.is_string()) return Wrong(where, text, "is not a string");
  const absl::StatusOr<base::IpAddress> address =
      base::IpAddress::Parse(text.get_ref<const std::string&>());
  if (!address.ok() || IsNoHost(*address))
    return Wrong(where, text, "is not the IP address of a host");
  peer.address = *address;
  return peer;
}

absl::Status CheckCount(const Json& value, absl::string_view field,
                        size_t limit) {
  if (!value.is_array()) return Wrong(field, value, "is not an array");
  if (value.size() <= limit) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat(
      field, ": ", value.size(), " entries; the limit is ", limit));
}

absl::Status ReadVips(const Json& value, std::vector<PeerVip>& vips) {
  FL_RETURN_IF_ERROR(CheckCount(value, "vips", FL_AGENT_MAX_VIPS));
  for (size_t i = 0; i < value.size(); ++i) {
    FL_ASSIGN_OR_RETURN(const PeerVip vip,
                        ReadVip(value[i], absl::StrCat("vips[", i, "]")));
    vips.push_back(vip);
  }
  std::sort(vips.begin(), vips.end(),
            [](const PeerVip& a, const PeerVip& b) { return a.vip < b.vip; });
  const auto twice = std::adjacent_find(
      vips.begin(), vips.end(),
      [](const PeerVip& a, const PeerVip& b) { return a.vip == b.vip; });
  if (twice == vips.end()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("vips: ", twice->vip.ToString(), " comes twice"));
}

absl::Status ReadPeers(const Json& value, std::vector<Peer>& peers) {
  FL_RETURN_IF_ERROR(CheckCount(value, "peers", kMaxPeersPerDocument));
  for (size_t i = 0; i < value.size(); ++i) {
    FL_ASSIGN_OR_RETURN(const Peer peer,
                        ReadPeer(value[i], absl::StrCat("peers[", i, "]")));
    peers.push_back(peer);
  }
  std::sort(peers.begin(), peers.end());
  const auto twice = std::adjacent_find(
      peers.begin(), peers.end(),
      [](const Peer& a, const Peer& b) { return a.id == b.id; });
  if (twice == peers.end()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("peers: id ", twice->id, " comes twice"));
}

}  // namespace

absl::StatusOr<PeerDocument> ParsePeerDocument(absl::string_view json) {
  FL_ASSIGN_OR_RETURN(const Json root, ParseJson(json));
  FL_RETURN_IF_ERROR(
      CheckFields(root, "body", {"lb_id", "digest", "vips", "peers"}));
  PeerDocument document;
  FL_ASSIGN_OR_RETURN(document.lb_id, ReadId(root["lb_id"], "lb_id"));
  FL_ASSIGN_OR_RETURN(document.digest, ReadDigest(root["digest"], "digest"));
  FL_RETURN_IF_ERROR(ReadVips(root["vips"], document.vips));
  FL_RETURN_IF_ERROR(ReadPeers(root["peers"], document.peers));
  return document;
}

std::string SerializePeerDocument(const PeerDocument& document) {
  Json vips = Json::array();
  for (const PeerVip& vip : document.vips) {
    vips.push_back({{"vip", vip.vip.ToString()},
                    {"policy", std::string(core::ToString(vip.policy))},
                    {"rows", vip.rows},
                    {"hop_lists", vip.hop_lists},
                    {"table", vip.table}});
  }
  Json peers = Json::array();
  for (const Peer& peer : document.peers)
    peers.push_back({{"id", peer.id}, {"address", peer.address.ToString()}});
  return Json({{"lb_id", document.lb_id},
               {"digest", document.digest},
               {"vips", std::move(vips)},
               {"peers", std::move(peers)}})
      .dump();
}

}  // namespace fairlead::agent
