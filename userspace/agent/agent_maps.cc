#include "agent/agent_maps.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <netinet/in.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <variant>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/errors.h"
#include "base/status_macros.h"
#include "datapath/stats.h"
#include "fairlead/abi/maps.h"
#include "fairlead/abi/verdict.h"

namespace fairlead::agent {
namespace {

using AddressBytes = std::array<uint8_t, 16>;

template <typename Words>
void StoreAddress(const base::IpAddress& address, Words& words) {
  static_assert(sizeof(words) == sizeof(AddressBytes));
  std::memcpy(&words, address.bytes().data(), sizeof(words));
}

template <typename Words>
base::IpAddress LoadAddress(const Words& words) {
  static_assert(sizeof(words) == sizeof(AddressBytes));
  AddressBytes bytes;
  std::memcpy(bytes.data(), &words, sizeof(words));
  return base::IpAddress(bytes);
}

fl_service_key ToKey(const base::Endpoint& vip) {
  fl_service_key key = {};
  StoreAddress(vip.address, key.address);
  key.port = htons(vip.port);
  key.proto = IPPROTO_TCP;
  return key;
}

fl_vip ToValue(const VipLine& line) {
  fl_vip vip = {};
  vip.index = line.index;
  vip.row_mask = line.rows - 1;
  vip.policy = line.by_source ? FL_POLICY_SOURCE : FL_POLICY_HASH;
  if (line.disputed) vip.flags |= FL_VIP_DISPUTED;
  if (line.plain) vip.flags |= FL_VIP_PLAIN;
  return vip;
}

VipLine FromValue(const fl_vip& vip) {
  return {.index = vip.index,
          .rows = vip.row_mask + 1,
          .by_source = vip.policy == FL_POLICY_SOURCE,
          .disputed = (vip.flags & FL_VIP_DISPUTED) != 0,
          .plain = (vip.flags & FL_VIP_PLAIN) != 0};
}

fl_peer_key ToKey(const PeerKey& key) { return {key.lb_id, key.backend}; }

fl_peer ToValue(const PeerLine& line) {
  fl_peer peer = {};
  StoreAddress(line.address, peer.address);
  if (line.self) peer.flags |= FL_PEER_SELF;
  if (line.next_hop.has_value()) {
    peer.flags |= FL_PEER_NEXT_HOP;
    peer.egress = line.next_hop->egress;
    if (line.next_hop->vlan.has_value())
      peer.vlan = FL_VLAN | *line.next_hop->vlan;
    std::memcpy(peer.destination_mac, line.next_hop->destination_mac.data(),
                sizeof(peer.destination_mac));
    std::memcpy(peer.source_mac, line.next_hop->source_mac.data(),
                sizeof(peer.source_mac));
  }
  return peer;
}

PeerLine FromValue(const fl_peer& peer) {
  PeerLine line;
  line.address = LoadAddress(peer.address);
  line.self = (peer.flags & FL_PEER_SELF) != 0;
  if ((peer.flags & FL_PEER_NEXT_HOP) != 0) {
    NextHopLine hop;
    hop.egress = peer.egress;
    if (peer.vlan != 0)
      hop.vlan = static_cast<uint16_t>(peer.vlan & FL_VLAN_MASK);
    std::memcpy(hop.destination_mac.data(), peer.destination_mac,
                sizeof(peer.destination_mac));
    std::memcpy(hop.source_mac.data(), peer.source_mac,
                sizeof(peer.source_mac));
    line.next_hop = hop;
  }
  return line;
}

template <typename Key, typename Value>
absl::Status Put(int fd, const Key& key, const Value& value,
                 absl::string_view what) {
  const int error = bpf_map_update_elem(fd, &key, &value, BPF_ANY);
  return error == 0 ? absl::OkStatus() : base::BpfError(error, what);
}

// OK too if there was none.
template <typename Key>
absl::Status Remove(int fd, const Key& key, absl::string_view what) {
  const int error = bpf_map_delete_elem(fd, &key);
  if (error == 0 || error == -ENOENT) return absl::OkStatus();
  return base::BpfError(error, what);
}

template <typename Key, typename Value>
absl::Status ForEach(
    int fd, absl::string_view name,
    absl::FunctionRef<void(const Key& key, const Value& value)> visit) {
  Key key;
  const void* previous = nullptr;
  while (true) {
    Key next;
    const int error = bpf_map_get_next_key(fd, previous, &next);
    if (error == -ENOENT) return absl::OkStatus();
    if (error != 0) return base::BpfError(error, absl::StrCat("read ", name));
    Value value;
    const int found = bpf_map_lookup_elem(fd, &next, &value);
    if (found != 0) return base::BpfError(found, absl::StrCat("read ", name));
    visit(next, value);
    key = next;
    previous = &key;
  }
}

struct MapWriter {
  const AgentMapFds& fds;

  absl::Status operator()(const PutSource& step) const {
    const uint32_t kind =
        step.kind == SourceKind::kLb ? FL_SOURCE_LB : FL_SOURCE_BACKEND;
    return Put(fds.sources, step.address.bytes(), kind,
               absl::StrCat("write fl_sources ", step.address.ToString()));
  }
  absl::Status operator()(const PutPeer& step) const {
    return Put(
        fds.peers, ToKey(step.key), ToValue(step.line),
        absl::StrCat("write fl_peers ", step.key.lb_id, "/", step.key.backend));
  }
  absl::Status operator()(const PutVip& step) const {
    return Put(fds.vips, ToKey(step.vip), ToValue(step.line),
               absl::StrCat("write fl_vips ", step.vip.ToString()));
  }
  absl::Status operator()(const RemoveVip& step) const {
    return Remove(fds.vips, ToKey(step.vip),
                  absl::StrCat("remove fl_vips ", step.vip.ToString()));
  }
  absl::Status operator()(const RemovePeer& step) const {
    return Remove(fds.peers, ToKey(step.key),
                  absl::StrCat("remove fl_peers ", step.key.lb_id, "/",
                               step.key.backend));
  }
  absl::Status operator()(const RemoveSource& step) const {
    return Remove(fds.sources, step.address.bytes(),
                  absl::StrCat("remove fl_sources ", step.address.ToString()));
  }
};

}  // namespace

absl::StatusOr<Tables> AgentMaps::Read() const {
  Tables tables;
  FL_RETURN_IF_ERROR((ForEach<fl_service_key, fl_vip>(
      fds_.vips, "fl_vips", [&](const auto& key, const auto& value) {
        tables.vips[{LoadAddress(key.address), ntohs(key.port)}] =
            FromValue(value);
      })));
  FL_RETURN_IF_ERROR((ForEach<fl_peer_key, fl_peer>(
      fds_.peers, "fl_peers", [&](const auto& key, const auto& value) {
        tables.peers[{key.lb_id, key.backend}] = FromValue(value);
      })));
  FL_RETURN_IF_ERROR((ForEach<AddressBytes, uint32_t>(
      fds_.sources, "fl_sources", [&](const auto& key, uint32_t kind) {
        tables.sources[base::IpAddress(key)] =
            kind == FL_SOURCE_LB ? SourceKind::kLb : SourceKind::kBackend;
      })));
  return tables;
}

absl::Status AgentMaps::Apply(const Step& step) {
  return std::visit(MapWriter{fds_}, step);
}

absl::StatusOr<std::vector<uint64_t>> AgentMaps::Verdicts() const {
  return datapath::SumPerCpu(fds_.verdicts, FL_AGENT_VERDICT_COUNT,
                             "fl_averdicts");
}

}  // namespace fairlead::agent
