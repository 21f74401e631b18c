#include "datapath/prefix_lists.h"

#include <bpf/bpf.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/errors.h"
#include "base/status_macros.h"
#include "core/sources.h"
#include "fairlead/abi/maps.h"

namespace fairlead::datapath {
namespace {

fl_prefix_key KeyOf(core::ServiceId service, uint8_t number,
                    const base::IpPrefix& prefix) {
  fl_prefix_key key = {};
  key.bits = FL_PREFIX_SERVICE_BITS + static_cast<uint32_t>(prefix.bits);
  key.service = service;
  key.list = number;
  std::memcpy(key.address, prefix.address.bytes().data(), sizeof(key.address));
  return key;
}

base::IpPrefix PrefixOf(const fl_prefix_key& key) {
  std::array<uint8_t, 16> bytes;
  std::memcpy(bytes.data(), key.address, sizeof(key.address));
  return {.address = base::IpAddress(bytes),
          .bits = static_cast<int>(key.bits - FL_PREFIX_SERVICE_BITS)};
}

// An entry of no service's list: not written by a daemon.
bool IsStrange(const fl_prefix_key& key) {
  return key.bits < FL_PREFIX_SERVICE_BITS || key.list == 0 ||
         key.list > FL_PREFIX_LISTS;
}

uint8_t Other(uint8_t number) { return number == 1 ? 2 : 1; }

}  // namespace

absl::Status PrefixLists::Adopt(
    const absl::btree_map<core::ServiceId, uint8_t>& in_force) {
  std::vector<fl_prefix_key> strays;
  fl_prefix_key key = {};
  uint32_t value = 0;
  int result = bpf_map_get_next_key(map_, nullptr, &key);
  for (; result == 0; result = bpf_map_get_next_key(map_, &key, &key)) {
    if (bpf_map_lookup_elem(map_, &key, &value) != 0) continue;
    const auto found = in_force.find(key.service);
    if (IsStrange(key) || found == in_force.end() ||
        found->second != key.list) {
      strays.push_back(key);
      continue;
    }
    lists_[key.service].list[PrefixOf(key)] = value == FL_PREFIX_ALLOW
                                                  ? core::SourceRule::kAllow
                                                  : core::SourceRule::kDeny;
  }
  if (result != -ENOENT) return base::BpfError(result, "list fl_prefixes");
  for (const auto& [service, number] : in_force)
    if (number != 0) lists_[service].number = number;
  for (const fl_prefix_key& stray : strays) bpf_map_delete_elem(map_, &stray);
  return absl::OkStatus();
}

absl::StatusOr<uint8_t> PrefixLists::Stage(core::ServiceId service,
                                           const core::SourceList& list) {
  if (list.empty()) return uint8_t{0};
  const Lists& lists = lists_[service];
  if (lists.number != 0 && lists.list == list) return lists.number;
  const uint8_t number = Other(lists.number);
  FL_RETURN_IF_ERROR(Write(service, number, list));
  return number;
}

absl::Status PrefixLists::Write(core::ServiceId service, uint8_t number,
                                const core::SourceList& list) {
  for (const auto& [prefix, rule] : list) {
    const fl_prefix_key key = KeyOf(service, number, prefix);
    const uint32_t value =
        rule == core::SourceRule::kAllow ? FL_PREFIX_ALLOW : FL_PREFIX_DENY;
    const int result = bpf_map_update_elem(map_, &key, &value, BPF_ANY);
    if (result == 0) continue;
    Remove(service, number, list);
    const std::string what =
        absl::StrCat("put ", prefix.ToString(), " into fl_prefixes");
    // What this kind of map answers when it is full.
    if (result == -ENOSPC) return base::BpfError(-E2BIG, what);
    return base::BpfError(result, what);
  }
  return absl::OkStatus();
}

// Those that are not there are no loss.
void PrefixLists::Remove(core::ServiceId service, uint8_t number,
                         const core::SourceList& list) {
  for (const auto& [prefix, rule] : list) {
    const fl_prefix_key key = KeyOf(service, number, prefix);
    bpf_map_delete_elem(map_, &key);
  }
}

void PrefixLists::Commit(core::ServiceId service, uint8_t number,
                         const core::SourceList& list) {
  const auto found = lists_.find(service);
  if (found == lists_.end()) return;
  Lists& lists = found->second;
  if (lists.number == number) return;
  Remove(service, lists.number, lists.list);
  lists = {.number = number, .list = list};
}

void PrefixLists::TakeBack(core::ServiceId service, uint8_t number,
                           const core::SourceList& list) {
  const auto found = lists_.find(service);
  if (number == 0 || found == lists_.end() || found->second.number == number)
    return;
  Remove(service, number, list);
}

}  // namespace fairlead::datapath
