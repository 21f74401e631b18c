#include "cli/service_commands.h"

#include "absl/strings/strip.h"
#include "base/status_macros.h"
#include "cli/exit_code.h"
#include "cli/table.h"
#include "cli/views.h"

namespace fairlead::cli {
namespace {

template <typename T>
CLI::Option& AddSetting(CLI::App& app, const std::string& name,
                        std::optional<T>& value, const std::string& type,
                        const std::string& description) {
  return *app.add_option(name, value, description)->type_name(type);
}

template <typename T>
void Put(Json& object, const std::string& name, const std::optional<T>& value) {
  if (value.has_value()) object[name] = *value;
}

// "on" or "off".
void PutFlag(Json& object, const std::string& name,
             const std::optional<std::string>& value) {
  if (value.has_value()) object[name] = *value == "on";
}

}  // namespace

void ServiceCommands::Settings::AddOptions(CLI::App& app) {
  AddSetting(app, "--policy", policy, "POLICY",
             "hash (default), source: by client address, or least-conn: the "
             "less loaded of --choices")
      .check(OneOf({"hash", "source", "least-conn"}));
  AddSetting(app, "--choices", choices, "N",
             "Backends that a new connection chooses from, 1 to 4")
      .check(WholeNumber(1, 4));
  AddSetting(app, "--encap", encap, "MODE",
             "gue (default): in UDP, to agents or to a kernel; ipip: in IP, to "
             "a kernel; l2: as they came, to the MAC of a backend on the link")
      .check(OneOf({"gue", "ipip", "l2"}));
  AddSetting(app, "--need", need, "N",
             "Backends that must be available (default 1)")
      .check(WholeNumber(0, UINT32_MAX));
  AddSetting(app, "--syn-budget", syn_budget, "N/s",
             "New connections a second that are recorded; those above it are "
             "served, but not recorded. default (by the flow table's size) or "
             "off");
  AddPolicyOptions(app);
  AddSetting(app, "--shed", shed, "HOW",
             "What a client gets that no backend has room for: drop (default): "
             "nothing, its next SYN may find some; reset: it is refused")
      .check(OneOf({"drop", "reset"}));
  AddSetting(app, "--agent-port", agent_port, "PORT",
             "Where the agents on the backends answer; 0: ask none")
      .check(WholeNumber(0, 65535));
  AddSetting(app, "--guarantee", guarantee, "WHAT",
             "sockets (default with agents): a connection is found wherever "
             "it lives, only backends with an agent take new ones; "
             "flow-table: only this host's table knows it")
      .check(OneOf({"flow-table", "sockets"}));
  AddSourceOptions(app);
  check.AddTo(app);
}

void ServiceCommands::Settings::AddPolicyOptions(CLI::App& app) {
  AddSetting(
      app, "--slow-start", slow_start, "DURATION",
      "A backend that begins to take new connections takes 5 % of its "
      "share first, and all of it after so long, 1s to 1h; off (default)");
  AddSetting(app, "--panic", panic, "N%",
             "Below that part of its backends, those that are down or ask to "
             "drain take new connections too; off (default): only where "
             "nobody else can");
  AddSetting(app, "--assume-up", assume_up, "on|off",
             "A backend that is added takes new connections before its first "
             "check has succeeded (default off)")
      .check(OneOf({"on", "off"}));
  AddSetting(app, "--flap-damping", flap_damping, "on|off",
             "A backend that goes down 5 times within 60 s is held down for "
             "30 s, longer each time, unless it is needed (default on)")
      .check(OneOf({"on", "off"}));
}

void ServiceCommands::Settings::AddSourceOptions(CLI::App& app) {
  AddSetting(app, "--source-rate", source_rate, "N",
             "New connections a second that one source may open; 0: any "
             "number (default)")
      .check(WholeNumber(0, 100000));
  AddSetting(app, "--source-burst", source_burst, "N",
             "How many of them at once; 0: one second's (default)")
      .check(WholeNumber(0, 1000000));
  AddSetting(app, "--source-conns", source_conns, "N",
             "Connections that one source may have on all LB hosts together; "
             "0: any number (default)")
      .check(WholeNumber(0, 1000000));
  AddSetting(app, "--source-prefix4", source_prefix4, "LENGTH",
             "Prefix length of IPv4 addresses that are one source (default "
             "32)")
      .check(WholeNumber(1, 32));
  AddSetting(app, "--source-prefix6", source_prefix6, "LENGTH",
             "The same of IPv6 addresses (default 64)")
      .check(WholeNumber(1, 128));
}

void ServiceCommands::Settings::AddTo(Json& body) const {
  Put(body, "policy", policy);
  Put(body, "choices", choices);
  Put(body, "encap", encap);
  Put(body, "need", need);
  Put(body, "syn_budget", syn_budget);
  Put(body, "slow_start", slow_start);
  Put(body, "panic", panic);
  PutFlag(body, "assume_up", assume_up);
  PutFlag(body, "flap_damping", flap_damping);
  Put(body, "shed", shed);
  Put(body, "rows", rows);
  Put(body, "agent_port", agent_port);
  Put(body, "guarantee", guarantee);
  Put(body, "source_rate", source_rate);
  Put(body, "source_burst", source_burst);
  Put(body, "source_conns", source_conns);
  Put(body, "source_prefix4", source_prefix4);
  Put(body, "source_prefix6", source_prefix6);
  check.PutInto(body);
}

ServiceCommands::ServiceCommands(CommandLine& line) {
  CLI::App& noun = line.AddNoun(
      line.root(),
      {.name = "service",
       .aliases = {"vip"},
       .description = "A VIP:port, its policy, health check and backends",
       .examples = {
           "fairlead service add web 198.51.100.10:443",
           "fairlead service add ws [2001:db8::10]:443 --policy least-conn \\",
           "    --choices 2 --check http --check-path /health --need 2",
           "fairlead service list", "fairlead service show ws",
           "fairlead service set ws --check wss --check-host ws.example",
           "fairlead service deny ws 203.0.113.0/24",
           "fairlead service delete web", "", "Then give it backends:",
           "  fairlead backend add web 192.0.2.11 --name web1"}});
  DeclareChanges(line, noun);
  DeclareReads(line, noun);
  sources_.emplace(line, noun);
  DeclareTombstones(line, noun);
}

void ServiceCommands::DeclareChanges(CommandLine& line, CLI::App& noun) {
  CLI::App& add = line.AddVerb(
      noun,
      {.command =
           {.name = "add",
            .description = "Balance a new VIP:port",
            .examples = {"fairlead service add web 198.51.100.10:443",
                         "fairlead service add ws [2001:db8::10]:443 --policy "
                         "least-conn --choices 2",
                         "fairlead service add api 198.51.100.10:8443 --check "
                         "http --check-path /health"}}},
      [this](Session& session) { return Add(session); });
  add.add_option("SERVICE", name_, "Its name")->required();
  add.add_option("VIP", vip_, "ADDRESS:PORT that clients connect to")
      ->required();
  settings_.AddOptions(add);
  AddSetting(add, "--rows", settings_.rows, "N",
             "Size of its candidate table, a power of two of 256 to 65536; "
             "fixed for its life")
      .check(WholeNumber(1, UINT32_MAX));
  AddChangeOptions(add, Force::kNone, change_);

  CLI::App& set = line.AddVerb(
      noun,
      {.command = {.name = "set",
                   .description = "Change settings; the others stay",
                   .examples = {"fairlead service set web --need 2",
                                "fairlead service set web --check http "
                                "--check-path /health --check-interval 1s"}}},
      [this](Session& session) { return Set(session); });
  set.add_option("SERVICE", name_, "Its name")->required();
  settings_.AddOptions(set);
  AddChangeOptions(set, Force::kNone, change_);

  CLI::App& remove = line.AddVerb(
      noun,
      {.command = {.name = "delete",
                   .aliases = {"rm"},
                   .description = "Stop balancing; leaves a tombstone that "
                                  "drops what still comes",
                   .examples = {"fairlead service delete web --dry-run",
                                "fairlead service delete web",
                                "fairlead service tombstone list"}}},
      [this](Session& session) { return Delete(session); });
  remove.add_option("SERVICE", name_, "Its name")->required();
  AddChangeOptions(remove, Force::kOffered, change_);
}

void ServiceCommands::DeclareReads(CommandLine& line, CLI::App& noun) {
  line.AddVerb(noun,
               {.command = {.name = "list",
                            .aliases = {"ls"},
                            .description = "All services, one line each",
                            .examples = {"fairlead service list",
                                         "fairlead service list -o json"}}},
               [this](Session& session) { return List(session); });
  CLI::App& show =
      line.AddVerb(noun,
                   {.command = {.name = "show",
                                .description = "All about one service",
                                .examples = {"fairlead service show web"}}},
                   [this](Session& session) { return Show(session); });
  show.add_option("SERVICE", name_, "Its name")->required();
}

void ServiceCommands::DeclareTombstones(CommandLine& line, CLI::App& noun) {
  CLI::App& tombstone = line.AddNoun(
      noun, {.name = "tombstone",
             .description = "VIPs of deleted services, whose packets are "
                            "dropped and counted",
             .examples = {"fairlead service tombstone list",
                          "fairlead service tombstone clear "
                          "198.51.100.10:443"}});
  line.AddVerb(tombstone,
               {.command = {.name = "list",
                            .aliases = {"ls"},
                            .description = "All tombstones",
                            .examples = {"fairlead service tombstone list"}}},
               [this](Session& session) { return ListTombstones(session); });
  CLI::App& clear = line.AddVerb(
      tombstone,
      {.command = {.name = "clear",
                   .aliases = {"rm", "delete"},
                   .description = "Hand the VIP's packets to this host again",
                   .examples = {"fairlead service tombstone clear "
                                "198.51.100.10:443"}}},
      [this](Session& session) { return ClearTombstone(session); });
  clear.add_option("VIP", vip_, "ADDRESS:PORT of the deleted service")
      ->required();
  AddChangeOptions(clear, Force::kNone, change_);
}

absl::Status ServiceCommands::Add(Session& session) const {
  Json body = BodyOf(change_);
  body["name"] = name_;
  body["vip"] = vip_;
  settings_.AddTo(body);
  FL_ASSIGN_OR_RETURN(const Json answer,
                      session.Change("POST", "/v1/services", body));
  PrintChange(session, change_, answer);
  return absl::OkStatus();
}

absl::Status ServiceCommands::List(Session& session) const {
  FL_ASSIGN_OR_RETURN(const Json answer, session.Get("/v1/services"));
  if (session.json()) {
    session.out() << Pretty(answer) << '\n';
  } else {
    PrintServices(Array(answer, "services"), session.out());
  }
  return absl::OkStatus();
}

absl::Status ServiceCommands::Show(Session& session) const {
  FL_ASSIGN_OR_RETURN(const std::string path, PathOf({"services", name_}));
  FL_ASSIGN_OR_RETURN(const Json answer, session.Get(path));
  if (session.json()) {
    session.out() << Pretty(answer) << '\n';
  } else {
    PrintService(Field(answer, "service"), session.out());
  }
  return absl::OkStatus();
}

absl::Status ServiceCommands::Set(Session& session) const {
  FL_ASSIGN_OR_RETURN(const std::string path, PathOf({"services", name_}));
  Json settings = Json::object();
  settings_.AddTo(settings);
  if (settings.empty())
    return UsageError("nothing to set; see fairlead service set --help");
  Json body = BodyOf(change_);
  settings_.AddTo(body);
  FL_ASSIGN_OR_RETURN(const Json answer, session.Change("PATCH", path, body));
  PrintChange(session, change_, answer);
  return absl::OkStatus();
}

absl::Status ServiceCommands::Delete(Session& session) const {
  FL_ASSIGN_OR_RETURN(const std::string path, PathOf({"services", name_}));
  const absl::StatusOr<Json> answer =
      session.Change("DELETE", path, BodyOf(change_));
  if (!answer.ok()) return ExplainForce(change_, answer.status());
  PrintChange(session, change_, *answer);
  return absl::OkStatus();
}

absl::Status ServiceCommands::ListTombstones(Session& session) const {
  FL_ASSIGN_OR_RETURN(const Json answer, session.Get("/v1/tombstones"));
  if (session.json()) {
    session.out() << Pretty(answer) << '\n';
    return absl::OkStatus();
  }
  Table table({{.title = "VIP"},
               {.title = "SERVICE"},
               {.title = "SINCE"},
               {.title = "DROPPED", .align = Align::kRight}});
  for (const Json& tombstone : Sorted(Array(answer, "tombstones"), "vip")) {
    table.Add({Text(tombstone, "vip"), Text(tombstone, "service"),
               Text(tombstone, "since"),
               Thousands(Number(tombstone, "packets"))});
  }
  table.Print(session.out());
  return absl::OkStatus();
}

absl::Status ServiceCommands::ClearTombstone(Session& session) const {
  FL_ASSIGN_OR_RETURN(const std::string path,
                      PathOf({"tombstones", absl::StripSuffix(vip_, "/tcp")}));
  FL_ASSIGN_OR_RETURN(const Json answer,
                      session.Change("DELETE", path, BodyOf(change_)));
  PrintChange(session, change_, answer);
  return absl::OkStatus();
}

}  // namespace fairlead::cli
