#include "control/state_codec.h"

#include <cstdint>
#include <utility>

#include "absl/container/btree_set.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "control/bodies.h"
#include "control/codec.h"
#include "control/json.h"
#include "core/check_config.h"
#include "core/settings.h"
#include "core/slow_start.h"
#include "core/sources.h"
#include "core/syn_budget.h"
#include "fairlead/abi/limits.h"

namespace fairlead::control {
namespace {

constexpr Range kIds = {1, FL_MAX_BACKENDS - 1};

Json EncodeStoredBackend(const core::Backend& backend) {
  Json json;
  json["id"] = backend.id;
  json["name"] = backend.name;
  json["address"] = backend.address.ToString();
  json["weight"] = backend.weight;
  json["admin"] = std::string(core::ToString(backend.admin));
  if (backend.drain.has_value()) {
    json["drain"]["since"] = FormatExactTime(backend.drain->since);
    json["drain"]["connections_at_start"] = backend.drain->connections_at_start;
  }
  if (backend.leaving) json["leaving"] = true;
  if (backend.max_conn != 0) json["max_conn"] = backend.max_conn;
  if (backend.accept_rate != 0) json["accept_rate"] = backend.accept_rate;
  return json;
}

// What is as it always was is left out where older versions do not know it, so
// that they can read the state.
Json EncodeStoredCheck(const core::CheckConfig& check) {
  Json json = EncodeCheckConfig(check);
  const Json usual = EncodeCheckConfig(core::CheckConfig());
  for (const char* name : {"headers", "method", "body", "subprotocol", "verify",
                           "server_name", "ca_file"})
    if (json[name] == usual[name]) json.erase(name);
  return json;
}

Json EncodeStoredService(const core::Service& service) {
  Json json;
  json["id"] = service.id;
  json["name"] = service.name;
  json["vip"] = service.vip.ToString();
  json["policy"] = std::string(core::ToString(service.policy));
  json["choices"] = service.choices;
  json["encap"] = std::string(core::ToString(service.encap));
  json["need"] = service.need;
  json["syn_budget"] = core::ToString(service.syn_budget);
  json["rows"] = service.rows;
  json["rows_base"] = service.rows_base;
  json["agent_port"] = service.agent_port;
  json["guarantee"] = std::string(core::ToString(service.guarantee));
  json["check"] = EncodeStoredCheck(service.check);
  // Left out where there are none, so that older versions can read it.
  for (const auto& [name, check] : service.more_checks) {
    Json entry = EncodeStoredCheck(check);
    entry["name"] = name;
    json["more_checks"].push_back(std::move(entry));
  }
  if (service.source_rate != core::SourceRate()) {
    json["source_rate"]["rate"] = service.source_rate.rate;
    json["source_rate"]["burst"] = service.source_rate.burst;
    if (service.source_rate.most != 0)
      json["source_rate"]["most"] = service.source_rate.most;
    json["source_rate"]["length4"] = service.source_rate.length4;
    json["source_rate"]["length6"] = service.source_rate.length6;
  }
  if (service.slow_start != absl::ZeroDuration())
    json["slow_start"] = core::SlowStartText(service.slow_start);
  if (service.shed != core::Shed::kDrop)
    json["shed"] = std::string(core::ToString(service.shed));
  if (service.panic_percent != 0)
    json["panic"] = core::PanicText(service.panic_percent);
  if (service.assume_up) json["assume_up"] = true;
  if (!service.flap_damping) json["flap_damping"] = false;
  for (const auto& [prefix, rule] : service.sources)
    json[std::string(core::ToString(rule))].push_back(prefix.ToString());
  json["backends"] = Json::array();
  for (const auto& [name, backend] : service.backends)
    json["backends"].push_back(EncodeStoredBackend(backend));
  return json;
}

absl::StatusOr<core::Admin> ParseAdmin(absl::string_view text) {
  for (const core::Admin admin :
       {core::Admin::kReady, core::Admin::kDrain, core::Admin::kMaint}) {
    if (core::ToString(admin) == text) return admin;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("\"", text, "\" is not ready, drain or maint"));
}

absl::StatusOr<core::Backend> DecodeBackend(const Json& json,
                                            const std::string& path) {
  ObjectReader reader(json, path);
  core::Backend backend;
  backend.id = reader.RequiredInteger<core::BackendId>("id", kIds);
  backend.name = reader.RequiredString("name");
  backend.address =
      reader.RequiredParsed<base::IpAddress>("address", base::IpAddress::Parse);
  backend.weight = reader.RequiredInteger<int>("weight", {1, FL_MAX_WEIGHT});
  backend.admin = reader.RequiredParsed<core::Admin>("admin", ParseAdmin);
  if (const Json* drain = reader.Object("drain"); drain != nullptr) {
    ObjectReader record(*drain, reader.PathOf("drain"));
    backend.drain = {
        .since = record.RequiredParsed<absl::Time>("since", ParseTime),
        .connections_at_start =
            record.RequiredInteger<uint64_t>("connections_at_start")};
    reader.Fail(record.Finish());
  }
  backend.leaving = reader.Bool("leaving").value_or(false);
  backend.max_conn = reader.Integer<uint32_t>("max_conn").value_or(0);
  backend.accept_rate = reader.Integer<uint32_t>("accept_rate").value_or(0);
  FL_RETURN_IF_ERROR(reader.Finish());
  return backend;
}

// Of all fields, as an update of the defaults.
core::CheckConfig DecodeCheck(ObjectReader& fields) {
  core::CheckConfig check;
  core::ServiceSettings settings;
  ReadCheckSettings(fields, settings);
  core::LayCheck(settings, check);
  return check;
}

absl::StatusOr<core::CheckConfig> DecodeMainCheck(ObjectReader& reader) {
  const Json* json = reader.RequiredObject("check");
  if (json == nullptr) return core::CheckConfig();
  ObjectReader fields(*json, reader.PathOf("check"));
  core::CheckConfig check = DecodeCheck(fields);
  FL_RETURN_IF_ERROR(fields.Finish());
  return check;
}

absl::Status DecodeMoreChecks(const Json* array, const std::string& path,
                              core::Service& service) {
  if (array == nullptr) return absl::OkStatus();
  for (size_t i = 0; i < array->size(); ++i) {
    const std::string here = absl::StrCat(path, "[", i, "]");
    ObjectReader fields((*array)[i], here);
    const std::string name = fields.RequiredString("name");
    core::CheckConfig check = DecodeCheck(fields);
    FL_RETURN_IF_ERROR(fields.Finish());
    if (!service.more_checks.emplace(name, std::move(check)).second) {
      return absl::InvalidArgumentError(absl::StrCat(
          "field \"", here, ".name\": \"", name, "\" is there twice"));
    }
  }
  return absl::OkStatus();
}

absl::Status DecodeBackends(const Json& array, const std::string& path,
                            core::Service& service) {
  for (size_t i = 0; i < array.size(); ++i) {
    const std::string here = absl::StrCat(path, "[", i, "]");
    FL_ASSIGN_OR_RETURN(core::Backend backend, DecodeBackend(array[i], here));
    const std::string name = backend.name;
    if (!service.backends.emplace(name, std::move(backend)).second) {
      return absl::InvalidArgumentError(absl::StrCat(
          "field \"", here, ".name\": \"", name, "\" is there twice"));
    }
  }
  return absl::OkStatus();
}

// Absent: nobody is on that list.
void DecodeSources(ObjectReader& reader, core::SourceRule rule,
                   core::SourceList& sources) {
  const absl::string_view name = core::ToString(rule);
  for (const base::IpPrefix& prefix : ReadPrefixes(reader, name)) {
    if (!sources.emplace(prefix, rule).second)
      reader.FailField(name,
                       absl::StrCat(prefix.ToString(), " is there twice"));
  }
}

// Absent: no limit.
absl::Status DecodeSourceRate(ObjectReader& reader, core::SourceRate& source) {
  const Json* json = reader.Object("source_rate");
  if (json == nullptr) return absl::OkStatus();
  ObjectReader fields(*json, reader.PathOf("source_rate"));
  source.rate = fields.RequiredInteger<uint32_t>("rate");
  source.burst = fields.RequiredInteger<uint32_t>("burst");
  // Older states have none.
  source.most = fields.Integer<uint32_t>("most").value_or(0);
  source.length4 = fields.RequiredInteger<int>("length4");
  source.length6 = fields.RequiredInteger<int>("length6");
  return fields.Finish();
}

absl::StatusOr<core::Service> DecodeService(const Json& json,
                                            const std::string& path) {
  ObjectReader reader(json, path);
  core::Service service;
  service.id = reader.RequiredInteger<core::ServiceId>("id", kIds);
  service.name = reader.RequiredString("name");
  service.vip = reader.RequiredParsed<base::Endpoint>("vip", ParseVip);
  service.policy = reader.RequiredParsed<core::Policy>("policy", ParsePolicy);
  service.choices = reader.RequiredInteger<int>("choices", {1, FL_MAX_CHOICES});
  service.encap = reader.RequiredParsed<core::Encap>("encap", ParseEncap);
  service.need = reader.RequiredInteger<int>("need");
  // Older states have none.
  service.syn_budget =
      reader.Parsed<core::SynBudget>("syn_budget", core::ParseSynBudget)
          .value_or(core::SynBudget());
  service.rows = reader.RequiredInteger<uint32_t>("rows");
  service.rows_base = reader.RequiredInteger<uint32_t>("rows_base");
  service.agent_port = reader.RequiredInteger<uint16_t>("agent_port");
  // Written since 0.1.0; without it, agents were the guarantee.
  service.guarantee =
      reader.Parsed<core::Guarantee>("guarantee", ParseGuarantee)
          .value_or(service.agent_port == 0 ? core::Guarantee::kFlowTable
                                            : core::Guarantee::kSockets);
  absl::StatusOr<core::CheckConfig> check = DecodeMainCheck(reader);
  reader.Fail(check.status());
  if (check.ok()) service.check = *std::move(check);
  for (const core::SourceRule rule :
       {core::SourceRule::kAllow, core::SourceRule::kDeny})
    DecodeSources(reader, rule, service.sources);
  reader.Fail(DecodeSourceRate(reader, service.source_rate));
  // Absent: off.
  service.slow_start =
      reader.Parsed<absl::Duration>("slow_start", core::ParseSlowStart)
          .value_or(absl::ZeroDuration());
  service.shed =
      reader.Parsed<core::Shed>("shed", ParseShed).value_or(core::Shed::kDrop);
  service.panic_percent =
      reader.Parsed<int>("panic", core::ParsePanic).value_or(0);
  const Json* more_checks = reader.Array("more_checks");
  service.assume_up = reader.Bool("assume_up").value_or(false);
  service.flap_damping = reader.Bool("flap_damping").value_or(true);
  const Json* backends = reader.RequiredArray("backends");
  FL_RETURN_IF_ERROR(reader.Finish());
  FL_RETURN_IF_ERROR(
      DecodeMoreChecks(more_checks, reader.PathOf("more_checks"), service));
  FL_RETURN_IF_ERROR(
      DecodeBackends(*backends, reader.PathOf("backends"), service));
  FL_RETURN_IF_ERROR(core::CheckService(service), "field \"", path, "\"");
  return service;
}

absl::Status DecodeTombstone(const Json& json, const std::string& path,
                             core::DesiredState& state) {
  ObjectReader reader(json, path);
  const auto vip = reader.RequiredParsed<base::Endpoint>("vip", ParseVip);
  const core::Tombstone tombstone = {
      .id = reader.RequiredInteger<core::ServiceId>("id", kIds),
      .name = reader.RequiredString("name"),
      .since = reader.RequiredParsed<absl::Time>("since", ParseTime)};
  FL_RETURN_IF_ERROR(reader.Finish());
  if (state.tombstones.emplace(vip, tombstone).second) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "field \"", path, ".vip\": ", vip.ToString(), " is there twice"));
}

absl::Status DecodeQuarantined(const Json& json, const std::string& path,
                               core::DesiredState& state) {
  ObjectReader reader(json, path);
  const auto id = reader.RequiredInteger<core::BackendId>("id", kIds);
  const auto since = reader.RequiredParsed<absl::Time>("since", ParseTime);
  FL_RETURN_IF_ERROR(reader.Finish());
  if (state.quarantine.emplace(id, since).second) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("field \"", path, ".id\": ", id, " is there twice"));
}

absl::Status DecodeServiceInto(const Json& json, const std::string& path,
                               core::DesiredState& state) {
  FL_ASSIGN_OR_RETURN(core::Service service, DecodeService(json, path));
  const std::string name = service.name;
  if (state.services.emplace(name, std::move(service)).second)
    return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("field \"", path, ".name\": \"", name, "\" is there twice"));
}

absl::Status DecodeEach(const Json& array, absl::string_view name,
                        core::DesiredState& state,
                        absl::Status (*decode)(const Json&, const std::string&,
                                               core::DesiredState&)) {
  for (size_t i = 0; i < array.size(); ++i) {
    FL_RETURN_IF_ERROR(
        decode(array[i], absl::StrCat(name, "[", i, "]"), state));
  }
  return absl::OkStatus();
}

// Remembers what must be there once; false if it has been there before.
class UniqueIds {
 public:
  absl::Status Add(uint64_t id, absl::string_view what) {
    if (ids_.insert(id).second) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat("id ", id, " of ", what, " is there twice"));
  }

 private:
  absl::btree_set<uint64_t> ids_;
};

// Two owners of one id or VIP would share lines of the packet path.
absl::Status CheckUnique(const core::DesiredState& state) {
  UniqueIds services;
  UniqueIds backends;
  absl::btree_set<base::Endpoint> vips;
  for (const auto& [name, service] : state.services) {
    FL_RETURN_IF_ERROR(
        services.Add(service.id, absl::StrCat("service \"", name, "\"")));
    const bool fresh = vips.insert(service.vip).second;
    if (!fresh || state.tombstones.contains(service.vip)) {
      return absl::InvalidArgumentError(
          absl::StrCat("VIP ", service.vip.ToString(), " of service \"", name,
                       "\" is there twice"));
    }
    for (const auto& [backend_name, backend] : service.backends) {
      FL_RETURN_IF_ERROR(backends.Add(
          backend.id,
          absl::StrCat("backend \"", backend_name, "\" of ", name)));
    }
  }
  for (const auto& [vip, tombstone] : state.tombstones) {
    FL_RETURN_IF_ERROR(
        services.Add(tombstone.id, absl::StrCat("tombstone ", vip.ToString())));
  }
  for (const auto& [id, since] : state.quarantine)
    FL_RETURN_IF_ERROR(backends.Add(id, "the quarantine"));
  return absl::OkStatus();
}

absl::Status CheckFormat(const Json& json) {
  const auto format = json.find("format");
  if (format == json.end())
    return absl::InvalidArgumentError(
        "field \"format\" is missing: this is not a state of fairleadd");
  if (format->is_number_integer() && *format == kStateFormat)
    return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "format ", Excerpt(*format), " is not known to this fairleadd, which ",
      "reads format ", kStateFormat,
      ": start the version that wrote it, or an older copy of the state"));
}

}  // namespace

std::string EncodeState(const core::DesiredState& state) {
  Json json;
  json["format"] = kStateFormat;
  json["generation"] = state.generation;
  json["services"] = Json::array();
  for (const auto& [name, service] : state.services)
    json["services"].push_back(EncodeStoredService(service));
  json["tombstones"] = Json::array();
  for (const auto& [vip, tombstone] : state.tombstones) {
    Json entry;
    entry["vip"] = vip.ToString();
    entry["id"] = tombstone.id;
    entry["name"] = tombstone.name;
    entry["since"] = FormatExactTime(tombstone.since);
    json["tombstones"].push_back(std::move(entry));
  }
  json["quarantine"] = Json::array();
  for (const auto& [id, since] : state.quarantine) {
    Json entry;
    entry["id"] = id;
    entry["since"] = FormatExactTime(since);
    json["quarantine"].push_back(std::move(entry));
  }
  return DumpJsonIndented(json);
}

absl::StatusOr<core::DesiredState> DecodeState(absl::string_view text) {
  FL_ASSIGN_OR_RETURN(const Json json, ParseJson(text));
  // The format first: a newer one may have other fields.
  if (json.is_object()) FL_RETURN_IF_ERROR(CheckFormat(json));
  ObjectReader reader(json, "");
  core::DesiredState state;
  (void)reader.Integer<int>("format");  // is known, and has been checked
  state.generation = reader.RequiredInteger<uint64_t>("generation");
  const Json* services = reader.RequiredArray("services");
  const Json* tombstones = reader.RequiredArray("tombstones");
  const Json* quarantine = reader.RequiredArray("quarantine");
  FL_RETURN_IF_ERROR(reader.Finish());
  FL_RETURN_IF_ERROR(
      DecodeEach(*services, "services", state, DecodeServiceInto));
  FL_RETURN_IF_ERROR(
      DecodeEach(*tombstones, "tombstones", state, DecodeTombstone));
  FL_RETURN_IF_ERROR(
      DecodeEach(*quarantine, "quarantine", state, DecodeQuarantined));
  FL_RETURN_IF_ERROR(CheckUnique(state));
  return state;
}

}  // namespace fairlead::control
