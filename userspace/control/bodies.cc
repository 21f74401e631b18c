#include "control/bodies.h"

#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/duration.h"
#include "base/status_macros.h"
#include "base/text.h"
#include "core/conn_limit.h"
#include "core/settings.h"
#include "core/slow_start.h"
#include "core/syn_budget.h"
#include "fairlead/abi/limits.h"
#include "fairlead/abi/maps.h"

namespace fairlead::control {
namespace {

constexpr Range kAcceptRate = {0, FL_MAX_ACCEPT_RATE};
constexpr Range kMaxConn = {0, core::kMostConnections};

// Names in lower case, whatever they are given in.
std::optional<absl::btree_map<std::string, std::string>> ReadHeaders(
    ObjectReader& check) {
  const Json* json = check.Object("headers");
  if (json == nullptr) return std::nullopt;
  absl::btree_map<std::string, std::string> headers;
  for (const auto& [name, value] : json->items()) {
    if (!value.is_string()) {
      check.FailField(absl::StrCat("headers.", name), "is not a string");
      continue;
    }
    const std::string lower = absl::AsciiStrToLower(name);
    if (!headers.emplace(lower, value.get<std::string>()).second)
      check.FailField("headers", absl::StrCat(lower, " is there twice"));
  }
  return headers;
}

template <typename T>
absl::StatusOr<T> OneOf(absl::string_view text, std::optional<T> value,
                        absl::string_view all) {
  if (value.has_value()) return *value;
  return absl::InvalidArgumentError(
      absl::StrCat(base::Quoted(text), " is not one of ", all));
}

// What every body starts with. An empty body is an empty object.
absl::StatusOr<Json> ReadBody(absl::string_view body) {
  if (body.empty()) return Json::object();
  if (body.size() > kMaxChangeBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("the body has ", body.size(), " bytes, at most ",
                     kMaxChangeBytes, " are taken"));
  }
  FL_ASSIGN_OR_RETURN(Json json, ParseJson(body), "the body is no JSON");
  return json;
}

ChangeOptions ReadOptions(ObjectReader& body) {
  return {.if_generation = body.Integer<uint64_t>("if_generation"),
          .dry_run = body.Bool("dry_run").value_or(false)};
}

bool ReadForce(ObjectReader& body) {
  return body.Bool("force").value_or(false);
}

core::ServiceSettings ReadSettings(ObjectReader& body) {
  core::ServiceSettings settings;
  settings.policy = body.Parsed<core::Policy>("policy", ParsePolicy);
  settings.choices = body.Integer<int>("choices", {1, FL_MAX_CHOICES});
  settings.encap = body.Parsed<core::Encap>("encap", ParseEncap);
  settings.shed = body.Parsed<core::Shed>("shed", ParseShed);
  settings.need = body.Integer<int>("need");
  settings.syn_budget =
      body.Parsed<core::SynBudget>("syn_budget", core::ParseSynBudget);
  settings.rows = body.Integer<uint32_t>("rows");
  settings.agent_port = body.Integer<uint16_t>("agent_port");
  settings.guarantee =
      body.Parsed<core::Guarantee>("guarantee", ParseGuarantee);
  settings.source_rate =
      body.Integer<uint32_t>("source_rate", {0, FL_MAX_SOURCE_RATE});
  settings.source_burst =
      body.Integer<uint32_t>("source_burst", {0, FL_MAX_SOURCE_BURST});
  settings.source_conns =
      body.Integer<uint32_t>("source_conns", {0, FL_MAX_SOURCE_CONNS});
  settings.source_length4 = body.Integer<int>("source_prefix4", {1, 32});
  settings.source_length6 = body.Integer<int>("source_prefix6", {1, 128});
  settings.panic_percent = body.Parsed<int>("panic", core::ParsePanic);
  settings.assume_up = body.Bool("assume_up");
  settings.flap_damping = body.Bool("flap_damping");
  settings.slow_start =
      body.Parsed<absl::Duration>("slow_start", core::ParseSlowStart);
  if (const Json* json = body.Object("check"); json != nullptr) {
    ObjectReader check(*json, body.PathOf("check"));
    ReadCheckSettings(check, settings);
    body.Fail(check.Finish());
  }
  return settings;
}

// `read` fills the command from the body's own fields.
template <typename Command, typename Read>
absl::StatusOr<ChangeRequest> ReadChange(absl::string_view body,
                                         Command command, const Read& read) {
  FL_ASSIGN_OR_RETURN(const Json json, ReadBody(body));
  ObjectReader reader(json, "");
  read(reader, command);
  ChangeRequest request = {.options = ReadOptions(reader)};
  FL_RETURN_IF_ERROR(reader.Finish());
  request.command = std::move(command);
  return request;
}

}  // namespace

absl::StatusOr<base::Endpoint> ParseVip(absl::string_view text) {
  const size_t slash = text.rfind('/');
  const absl::string_view protocol =
      slash == absl::string_view::npos ? "tcp" : text.substr(slash + 1);
  if (protocol != "tcp") {
    return absl::InvalidArgumentError(absl::StrCat(
        base::Quoted(text), " is not a VIP: only /tcp may follow the port"));
  }
  return base::Endpoint::Parse(text.substr(0, slash));
}

absl::StatusOr<base::IpAddress> ParseBackendAddress(absl::string_view text) {
  if (base::Endpoint::Parse(text).ok()) {
    return absl::InvalidArgumentError(absl::StrCat(
        base::Quoted(text),
        " has a port: write the address alone; with direct server return the "
        "backend answers on the service's own port"));
  }
  return base::IpAddress::Parse(text);
}

absl::StatusOr<core::Policy> ParsePolicy(absl::string_view text) {
  return OneOf(text, core::ParsePolicy(text), "hash, source, least-conn");
}

absl::StatusOr<core::Encap> ParseEncap(absl::string_view text) {
  return OneOf(text, core::ParseEncap(text), "gue, ipip, l2");
}

absl::StatusOr<core::Shed> ParseShed(absl::string_view text) {
  return OneOf(text, core::ParseShed(text), "drop, reset");
}

absl::StatusOr<core::Guarantee> ParseGuarantee(absl::string_view text) {
  return OneOf(text, core::ParseGuarantee(text), "flow-table, sockets");
}

absl::StatusOr<core::CheckVia> ParseCheckVia(absl::string_view text) {
  return OneOf(text, core::ParseCheckVia(text), "vip, direct");
}

absl::StatusOr<core::CheckKind> ParseCheckKind(absl::string_view text) {
  if (text == "exec") {
    return absl::InvalidArgumentError(
        "\"exec\" is no check: nothing is run on an LB host; let the backend "
        "run it and answer by HTTP, and ask for that with http or https");
  }
  return OneOf(text, core::ParseCheckKind(text),
               "tcp, http, https, ws, wss, none");
}

std::vector<base::IpPrefix> ReadPrefixes(ObjectReader& reader,
                                         absl::string_view name) {
  std::vector<base::IpPrefix> prefixes;
  const Json* array = reader.Array(name);
  if (array == nullptr) return prefixes;
  for (size_t i = 0; i < array->size(); ++i) {
    const std::string at = absl::StrCat(name, "[", i, "]");
    const Json& text = (*array)[i];
    if (!text.is_string()) {
      reader.FailField(at, "is not a string");
      continue;
    }
    const auto prefix = base::IpPrefix::Parse(text.get<std::string>());
    if (prefix.ok()) {
      prefixes.push_back(*prefix);
    } else {
      reader.FailField(at, prefix.status().message());
    }
  }
  return prefixes;
}

void ReadCheckSettings(ObjectReader& check, core::ServiceSettings& settings) {
  settings.check = check.Parsed<core::CheckKind>("type", ParseCheckKind);
  settings.check_via = check.Parsed<core::CheckVia>("via", ParseCheckVia);
  settings.check_port = check.Integer<uint16_t>("port");
  settings.check_path = check.String("path");
  settings.check_host = check.String("host");
  settings.check_headers = ReadHeaders(check);
  settings.check_method = check.String("method");
  settings.check_status =
      check.Parsed<core::StatusMap>("status", core::StatusMap::Parse);
  settings.check_body = check.String("body");
  settings.check_subprotocol = check.String("subprotocol");
  settings.check_verify = check.Bool("verify");
  settings.check_server_name = check.String("server_name");
  settings.check_ca_file = check.String("ca_file");
  settings.check_interval =
      check.Parsed<absl::Duration>("interval", base::ParseDuration);
  settings.check_timeout =
      check.Parsed<absl::Duration>("timeout", base::ParseDuration);
  settings.check_rise = check.Integer<int>("rise");
  settings.check_fall = check.Integer<int>("fall");
}

absl::StatusOr<ChangeRequest> ReadAddService(absl::string_view body) {
  return ReadChange(body, core::AddService(),
                    [](ObjectReader& reader, core::AddService& command) {
                      command.name = reader.RequiredString("name");
                      command.vip = reader.RequiredParsed<base::Endpoint>(
                          "vip", ParseVip);
                      command.settings = ReadSettings(reader);
                    });
}

absl::StatusOr<ChangeRequest> ReadSetService(const std::string& service,
                                             absl::string_view body) {
  return ReadChange(body, core::SetService{.name = service},
                    [](ObjectReader& reader, core::SetService& command) {
                      command.settings = ReadSettings(reader);
                    });
}

absl::StatusOr<ChangeRequest> ReadDeleteService(const std::string& service,
                                                absl::string_view body) {
  return ReadChange(body, core::DeleteService{.name = service},
                    [](ObjectReader& reader, core::DeleteService& command) {
                      command.force = ReadForce(reader);
                    });
}

absl::StatusOr<ChangeRequest> ReadClearTombstone(const std::string& vip,
                                                 absl::string_view body) {
  FL_ASSIGN_OR_RETURN(const base::Endpoint endpoint, ParseVip(vip));
  return ReadChange(body, core::ClearTombstone{.vip = endpoint},
                    [](ObjectReader&, core::ClearTombstone&) {});
}

absl::StatusOr<ChangeRequest> ReadListSources(const std::string& service,
                                              core::SourceRule rule,
                                              absl::string_view body) {
  return ReadChange(body, core::ListSources{.service = service, .rule = rule},
                    [](ObjectReader& reader, core::ListSources& command) {
                      command.prefixes = ReadPrefixes(reader, "prefixes");
                    });
}

absl::StatusOr<ChangeRequest> ReadUnlistSources(const std::string& service,
                                                absl::string_view body) {
  return ReadChange(body, core::UnlistSources{.service = service},
                    [](ObjectReader& reader, core::UnlistSources& command) {
                      command.prefixes = ReadPrefixes(reader, "prefixes");
                      command.all = reader.Bool("all").value_or(false);
                    });
}

absl::StatusOr<ChangeRequest> ReadAddBackend(const std::string& service,
                                             absl::string_view body) {
  return ReadChange(
      body, core::AddBackend{.service = service},
      [](ObjectReader& reader, core::AddBackend& command) {
        command.address = reader.RequiredParsed<base::IpAddress>(
            "address", ParseBackendAddress);
        command.name = reader.String("name").value_or("");
        command.weight = reader.Integer<int>("weight", {1, FL_MAX_WEIGHT})
                             .value_or(command.weight);
        command.max_conn = reader.Integer<uint32_t>("max_conn", kMaxConn)
                               .value_or(command.max_conn);
        command.accept_rate =
            reader.Integer<uint32_t>("accept_rate", kAcceptRate)
                .value_or(command.accept_rate);
      });
}

absl::StatusOr<ChangeRequest> ReadSetBackend(const BackendPath& path,
                                             absl::string_view body) {
  return ReadChange(
      body, core::SetBackend{.service = path.service, .name = path.backend},
      [](ObjectReader& reader, core::SetBackend& command) {
        command.weight = reader.Integer<int>("weight", {1, FL_MAX_WEIGHT});
        command.max_conn = reader.Integer<uint32_t>("max_conn", kMaxConn);
        command.accept_rate =
            reader.Integer<uint32_t>("accept_rate", kAcceptRate);
      });
}

absl::StatusOr<ChangeRequest> ReadDeleteBackend(const BackendPath& path,
                                                absl::string_view body) {
  return ReadChange(
      body, core::DeleteBackend{.service = path.service, .name = path.backend},
      [](ObjectReader& reader, core::DeleteBackend& command) {
        command.force = ReadForce(reader);
      });
}

absl::StatusOr<ChangeRequest> ReadSetAdmin(const BackendPath& path,
                                           core::Admin admin,
                                           absl::string_view body) {
  return ReadChange(
      body,
      core::SetAdmin{
          .service = path.service, .name = path.backend, .admin = admin},
      [](ObjectReader& reader, core::SetAdmin& command) {
        command.force = ReadForce(reader);
      });
}

absl::StatusOr<ChangeRequest> ReadAddCheck(const std::string& service,
                                           absl::string_view body) {
  return ReadChange(body, core::AddCheck{.service = service},
                    [](ObjectReader& reader, core::AddCheck& command) {
                      command.name = reader.RequiredString("name");
                      ReadCheckSettings(reader, command.settings);
                    });
}

absl::StatusOr<ChangeRequest> ReadSetCheck(const CheckPath& path,
                                           absl::string_view body) {
  return ReadChange(body,
                    core::SetCheck{.service = path.service, .name = path.check},
                    [](ObjectReader& reader, core::SetCheck& command) {
                      ReadCheckSettings(reader, command.settings);
                    });
}

absl::StatusOr<ChangeRequest> ReadDeleteCheck(const CheckPath& path,
                                              absl::string_view body) {
  return ReadChange(
      body, core::DeleteCheck{.service = path.service, .name = path.check},
      [](ObjectReader&, core::DeleteCheck&) {});
}

absl::StatusOr<std::optional<std::string>> ReadCheckRunBody(
    absl::string_view body) {
  FL_ASSIGN_OR_RETURN(const Json json, ReadBody(body));
  ObjectReader reader(json, "");
  std::optional<std::string> check = reader.String("check");
  FL_RETURN_IF_ERROR(reader.Finish());
  return check;
}

absl::StatusOr<DetachRequest> ReadDetach(absl::string_view body) {
  FL_ASSIGN_OR_RETURN(const Json json, ReadBody(body));
  ObjectReader reader(json, "");
  const DetachRequest request = {.force = ReadForce(reader),
                                 .options = ReadOptions(reader)};
  FL_RETURN_IF_ERROR(reader.Finish());
  return request;
}

}  // namespace fairlead::control
