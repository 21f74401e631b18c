#include "cli/node_commands.h"

#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "base/status_macros.h"
#include "cli/exit_code.h"
#include "cli/table.h"
#include "cli/views.h"
#include "config/agent_config.h"
#include "config/node_config.h"

namespace fairlead::cli {
namespace {

void PrintNode(const Json& answer, std::ostream& out) {
  const Json& node = Field(answer, "node");
  out << Printable(absl::StrCat(
             Text(node, "name"), "  id ", Number(node, "id"), "  fairleadd ",
             Text(answer, "version"), "  pid ", Number(node, "pid"), "  up ",
             absl::FormatDuration(
                 absl::Seconds(Number(node, "uptime_seconds"))),
             "  generation ", Number(answer, "generation")))
      << '\n';
  for (const Json& interface : Array(answer, "interfaces")) {
    out << Printable(absl::StrCat("interface ", Text(interface, "name"),
                                  "  XDP ", Text(interface, "mode"), "  MTU ",
                                  Number(interface, "mtu")))
        << '\n';
  }
}

// The other LB hosts of the tier.
void PrintPeers(const Json& peers, std::ostream& out) {
  Table table({{.title = "LB HOST"},
               {.title = "ENDPOINT"},
               {.title = "TABLES"},
               {.title = "DIFFERING"}});
  for (const Json& peer : peers) {
    std::vector<std::string> differing;
    for (const Json& service : Array(peer, "differing"))
      if (service.is_string()) differing.push_back(service.get<std::string>());
    const std::string name = Text(peer, "name");
    table.Add({name.empty() ? "-" : name, Text(peer, "endpoint"),
               Text(peer, "state"),
               differing.empty() ? "-" : absl::StrJoin(differing, ", ")});
  }
  table.Print(out);
  out << '\n';
}

std::string Mebibytes(int64_t bytes) {
  return absl::StrFormat("%.1f MiB", static_cast<double>(bytes) / (1 << 20));
}

void PrintTableSizes(const Json& tables, std::ostream& out) {
  Table table({{.title = "TABLE"},
               {.title = "USED", .align = Align::kRight},
               {.title = "SIZE", .align = Align::kRight},
               {.title = "FULL", .align = Align::kRight},
               {.title = "MEMORY", .align = Align::kRight}});
  int64_t total = 0;
  for (const std::string name : {"backends", "counted_sources", "flows",
                                 "prefixes", "rows", "services", "sources"}) {
    const Json& fill = Field(tables, name);
    if (!fill.is_object()) continue;
    const int64_t used = Number(fill, "used");
    const int64_t size = Number(fill, "size");
    const int64_t bytes = Number(fill, "bytes");
    total += bytes;
    const bool counted = Has(fill, "used");
    table.Add({name, counted ? Thousands(used) : "-", Thousands(size),
               counted && size > 0 ? absl::StrCat(used * 100 / size, "%") : "-",
               Mebibytes(bytes)});
  }
  table.Add({"all", "", "", "", Mebibytes(total)});
  table.Print(out);
}

void PrintServiceStates(const Json& services, std::ostream& out) {
  Table table({{.title = "SERVICE"},
               {.title = "VIP"},
               {.title = "AVAILABLE", .align = Align::kRight},
               {.title = "NEED", .align = Align::kRight},
               {.title = "ACTIVE", .align = Align::kRight},
               {.title = "GUARANTEE"},
               {.title = "SETTLED"}});
  for (const Json& service : Sorted(services, "name")) {
    table.Add({Text(service, "name"), Text(service, "vip"),
               absl::StrCat(Number(service, "available"), "/",
                            Number(service, "backends")),
               Thousands(Number(service, "need")),
               Thousands(Number(service, "active")), Text(service, "guarantee"),
               SettledText(service)});
  }
  table.Print(out);
}

// Columns of fixed least width: events are printed one by one as they come.
Table EventTable() {
  return Table({{.title = "SEQ", .align = Align::kRight, .min_width = 6},
                {.title = "TIME", .min_width = 24},
                {.title = "BY", .min_width = 9},
                {.title = "TYPE", .min_width = 15},
                {.title = "OBJECT", .min_width = 12},
                {.title = "CHANGE", .min_width = 16},
                {.title = "AFTER", .min_width = 9},
                {.title = "REASON"}});
}

std::string Change(const Json& event) {
  const std::string before = Text(event, "before");
  std::string after = Text(event, "after");
  if (before.empty()) return after;
  return absl::StrCat(before, " -> ", after.empty() ? "-" : after);
}

// How long it had been as it was: "850ms", "12.3s", "3h2m5s".
std::string LastedText(const Json& event) {
  if (!Has(event, "lasted_ms")) return "-";
  const absl::Duration lasted = absl::Milliseconds(Number(event, "lasted_ms"));
  absl::Duration unit = absl::Seconds(1);
  if (lasted < absl::Seconds(1))
    unit = absl::Milliseconds(1);
  else if (lasted < absl::Minutes(1))
    unit = absl::Milliseconds(100);
  return absl::FormatDuration(absl::Trunc(lasted, unit));
}

void AddEvent(const Json& event, Table& table) {
  const std::string service = Text(event, "service");
  const std::string backend = Text(event, "backend");
  table.Add({absl::StrCat(Number(event, "seq")), Text(event, "time"),
             Has(event, "uid") ? absl::StrCat("uid ", Number(event, "uid"))
                               : "fairleadd",
             Text(event, "type"),
             absl::StrCat(service, backend.empty() ? "" : "/", backend),
             Change(event), LastedText(event), Text(event, "reason")});
}

void PrintEventLine(const Json& event, std::ostream& out) {
  Table table = EventTable();
  AddEvent(event, table);
  table.PrintRows(out);
}

}  // namespace

NodeCommands::NodeCommands(CommandLine& line) {
  line.AddVerb(
      line.root(),
      {.command = {.name = "status",
                   .description = "This host, its tables, services "
                                  "and alarms",
                   .examples = {"fairlead status", "fairlead status -o json"}}},
      [this](Session& session) { return Status(session); });
  line.AddVerb(line.root(),
               {.command = {.name = "verdicts",
                            .description = "How many packets left the packet "
                                           "path in which way",
                            .examples = {"fairlead verdicts",
                                         "fairlead verdicts -o json"}}},
               [this](Session& session) { return Verdicts(session); });
  DeclareEvents(line);
  DeclareConfig(line);
  DeclareNode(line);
}

void NodeCommands::DeclareEvents(CommandLine& line) {
  CLI::App& events = line.AddVerb(
      line.root(),
      {.command = {.name = "events",
                   .description = "Who changed what, and what changed by "
                                  "itself",
                   .examples = {"fairlead events", "fairlead events -f",
                                "fairlead events --since 1200 --limit 50",
                                "fairlead events -f -o json"}}},
      [this](Session& session) { return Events(session); });
  events.add_flag("-f,--follow", follow_, "Go on as they happen, until Ctrl-C");
  events.add_option("--since", since_, "Those after number SEQ")
      ->type_name("SEQ")
      ->check(WholeNumber(0, UINT64_MAX));
  events.add_option("--limit", limit_, "At most N")
      ->type_name("N")
      ->check(WholeNumber(1, UINT32_MAX));
}

void NodeCommands::DeclareConfig(CommandLine& line) {
  CLI::App& config = line.AddNoun(
      line.root(),
      {.name = "config",
       .description = "Config files of this host",
       .examples = {"fairlead config check /etc/fairlead/node.toml"}});
  CLI::App& check = line.AddVerb(
      config,
      {.command = {.name = "check",
                   .description = "Say what is wrong with a node config, "
                                  "with line and column; needs no daemon",
                   .examples = {"fairlead config check "
                                "/etc/fairlead/node.toml",
                                "fairlead config check --agent "
                                "/etc/fairlead/agent.toml"}}},
      [this](Session& session) { return CheckConfig(session); });
  check.add_option("FILE", file_, "The file")->required();
  check.add_flag("--agent", agent_config_, "It is the config of an agent");
}

void NodeCommands::DeclareNode(CommandLine& line) {
  CLI::App& node = line.AddNoun(
      line.root(),
      {.name = "node",
       .description = "This LB host",
       .examples = {"fairlead node detach --dry-run", "fairlead node detach"}});
  CLI::App& detach = line.AddVerb(
      node,
      {.command = {.name = "detach",
                   .description = "Take the program off the interfaces: this "
                                  "host balances no more",
                   .examples = {"fairlead node detach",
                                "fairlead node detach --force", "",
                                "Stopping fairleadd does not do this: traffic "
                                "goes on without it."}}},
      [this](Session& session) { return Detach(session); });
  AddChangeOptions(detach, Force::kOffered, change_);
}

absl::Status NodeCommands::Status(Session& session) const {
  FL_ASSIGN_OR_RETURN(const Json answer, session.Get("/v1/status"));
  if (session.json()) {
    session.out() << Pretty(answer) << '\n';
    return absl::OkStatus();
  }
  std::ostream& out = session.out();
  PrintNode(answer, out);
  out << '\n';
  PrintTableSizes(Field(answer, "tables"), out);
  out << '\n';
  if (const Json& peers = Array(answer, "peers"); !peers.empty())
    PrintPeers(peers, out);
  const Json& services = Array(answer, "services");
  if (services.empty()) {
    out << "no services; see fairlead service add --help\n";
  } else {
    PrintServiceStates(services, out);
  }
  const Json& alarms = Array(answer, "alarms");
  if (!alarms.empty()) out << '\n';
  for (const Json& alarm : alarms) {
    if (alarm.is_string())
      out << "ALARM  " << Printable(alarm.get<std::string>()) << '\n';
  }
  return absl::OkStatus();
}

absl::Status NodeCommands::Verdicts(Session& session) const {
  FL_ASSIGN_OR_RETURN(const Json answer, session.Get("/v1/verdicts"));
  if (session.json()) {
    session.out() << Pretty(answer) << '\n';
    return absl::OkStatus();
  }
  Table table({{.title = "VERDICT"},
               {.title = "ACTION"},
               {.title = "COUNT", .align = Align::kRight},
               {.title = "MEANING"}});
  for (const Json& verdict : Sorted(Array(answer, "verdicts"), "name")) {
    table.Add({Text(verdict, "name"), Text(verdict, "action"),
               Thousands(Number(verdict, "count")), Text(verdict, "help")});
  }
  table.Print(session.out());
  session.out() << "\n"
                << Count(Number(answer, "packets"), "packet") << " in all\n";
  if (Array(answer, "checks").empty()) return absl::OkStatus();
  Table checks({{.title = "CHECKS, ON THEIR WAY OUT"},
                {.title = "ACTION"},
                {.title = "COUNT", .align = Align::kRight},
                {.title = "MEANING"}});
  for (const Json& verdict : Sorted(Array(answer, "checks"), "name")) {
    checks.Add({Text(verdict, "name"), Text(verdict, "action"),
                Thousands(Number(verdict, "count")), Text(verdict, "help")});
  }
  session.out() << "\n";
  checks.Print(session.out());
  return absl::OkStatus();
}

absl::Status NodeCommands::Events(Session& session) const {
  http::StringMap query;
  if (since_.has_value()) query["since"] = absl::StrCat(*since_);
  if (limit_.has_value()) query["limit"] = absl::StrCat(*limit_);
  if (follow_) return FollowEvents(session, std::move(query));
  FL_ASSIGN_OR_RETURN(const Json answer,
                      session.Get("/v1/events", std::move(query)));
  if (session.json()) {
    session.out() << Pretty(answer) << '\n';
    return absl::OkStatus();
  }
  Table table = EventTable();
  for (const Json& event : Array(answer, "events")) AddEvent(event, table);
  table.Print(session.out());
  return absl::OkStatus();
}

absl::Status NodeCommands::FollowEvents(Session& session,
                                        http::StringMap query) const {
  query["follow"] = "true";
  if (!session.json()) EventTable().Print(session.out());
  session.out() << std::flush;
  const auto print = [&](absl::string_view line) {
    if (session.json()) {
      session.out() << line << '\n' << std::flush;
    } else if (const absl::StatusOr<Json> event = ParseJson(line); event.ok()) {
      PrintEventLine(*event, session.out());
      session.out() << std::flush;
    }
    return session.out().good();
  };
  return session.Follow("/v1/events", std::move(query), print);
}

absl::Status NodeCommands::CheckConfig(Session& session) const {
  FL_ASSIGN_OR_RETURN(const std::string text,
                      session.environment().read_file(file_));
  const absl::Status status =
      agent_config_
          ? config::ParseAgentConfig(text, file_).status()
          : config::ParseNodeConfig(text, file_, "localhost").status();
  if (absl::StrContains(status.message(), "no section [agent]")) {
    return BadConfig(absl::StrCat(
        status.message(), "\nif it is the config of an agent: --agent"));
  }
  if (!status.ok()) return BadConfig(status.message());
  if (session.json()) session.out() << Pretty({{"ok", true}}) << '\n';
  return absl::OkStatus();
}

absl::Status NodeCommands::Detach(Session& session) const {
  const absl::StatusOr<Json> answer =
      session.Change("POST", "/v1/node/detach", BodyOf(change_));
  if (!answer.ok()) return ExplainForce(change_, answer.status());
  PrintChange(session, change_, *answer);
  return absl::OkStatus();
}

}  // namespace fairlead::cli
