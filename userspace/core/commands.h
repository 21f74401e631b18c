// What an operator may ask for. Each command is checked against the desired
// state as a whole: it is refused and changes nothing, or it becomes one
// Change.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/container/btree_map.h"
#include "core/model.h"

namespace fairlead::core {

// Unset means: the default when adding, unchanged when setting.
struct ServiceSettings {
  std::optional<Policy> policy;
  std::optional<int> choices;
  std::optional<Encap> encap;
  std::optional<Shed> shed;
  std::optional<int> need;
  std::optional<SynBudget> syn_budget;
  std::optional<uint32_t> rows;  // only when adding
  std::optional<uint16_t> agent_port;
  std::optional<Guarantee> guarantee;
  std::optional<uint32_t> source_rate;
  std::optional<uint32_t> source_burst;
  std::optional<uint32_t> source_conns;
  std::optional<int> source_length4;
  std::optional<int> source_length6;
  std::optional<absl::Duration> slow_start;  // 0: off
  std::optional<int> panic_percent;          // 0: off
  std::optional<bool> assume_up;
  std::optional<bool> flap_damping;
  std::optional<CheckKind> check;
  std::optional<CheckVia> check_via;
  std::optional<uint16_t> check_port;
  std::optional<std::string> check_path;
  std::optional<std::string> check_host;
  std::optional<absl::btree_map<std::string, std::string>> check_headers;
  std::optional<std::string> check_method;
  std::optional<StatusMap> check_status;
  std::optional<std::string> check_body;
  std::optional<std::string> check_subprotocol;
  std::optional<bool> check_verify;
  std::optional<std::string> check_server_name;
  std::optional<std::string> check_ca_file;
  std::optional<absl::Duration> check_interval;
  std::optional<absl::Duration> check_timeout;
  std::optional<int> check_rise;
  std::optional<int> check_fall;
};

struct AddService {
  std::string name;
  base::Endpoint vip;
  ServiceSettings settings;
};
struct SetService {
  std::string name;
  ServiceSettings settings;
};
struct DeleteService {
  std::string name;
  bool force = false;  // although flows live or backends are left
};
struct ClearTombstone {
  base::Endpoint vip;
};

struct ListSources {
  std::string service;
  SourceRule rule = SourceRule::kDeny;
  std::vector<base::IpPrefix> prefixes;
};
struct UnlistSources {
  std::string service;
  std::vector<base::IpPrefix> prefixes;
  bool all = false;  // instead of some
};

// Of the settings, only those of a check.
struct AddCheck {
  std::string service;
  std::string name;
  ServiceSettings settings;
};
struct SetCheck {
  std::string service;
  std::string name;
  ServiceSettings settings;
};
struct DeleteCheck {
  std::string service;
  std::string name;
};

struct AddBackend {
  std::string service;
  std::string name;  // empty: the address
  base::IpAddress address;
  int weight = 100;
  uint32_t max_conn = 0;
  uint32_t accept_rate = 0;
};
struct SetBackend {
  std::string service;
  std::string name;
  std::optional<int> weight;
  std::optional<uint32_t> max_conn;     // 0: any number
  std::optional<uint32_t> accept_rate;  // likewise
};
struct DeleteBackend {
  std::string service;
  std::string name;
  bool force = false;  // although flows live
};
struct SetAdmin {
  std::string service;
  std::string name;
  Admin admin = Admin::kReady;
  bool force = false;  // although fewer than `need` would remain
};

using Command =
    std::variant<AddService, SetService, DeleteService, ClearTombstone,
                 ListSources, UnlistSources, AddBackend, SetBackend,
                 DeleteBackend, SetAdmin, AddCheck, SetCheck, DeleteCheck>;

// One line of the audit log. Who and when are added by whoever carries out the
// command; events that follow from health or agents have no who.
struct Event {
  std::string type;     // "backend.drain", "backend.state", "service.add", ...
  std::string service;  // empty when not about one
  std::string backend;  // empty when not about one
  std::string before;   // human and machine readable, short
  std::string after;
  std::string reason;
  // How long it had been as `before` says; nothing: that is not known, or no
  // state.
  std::optional<absl::Duration> lasted = {};
};

// A command that has been accepted but not yet taken effect: make `next`
// durable, then commit.
struct Change {
  DesiredState next;
  std::vector<Event> events;
  std::vector<std::string> plan;  // what it will write, for --dry-run
};

}  // namespace fairlead::core
