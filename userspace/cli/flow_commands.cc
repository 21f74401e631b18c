#include "cli/flow_commands.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "base/status_macros.h"
#include "cli/table.h"

namespace fairlead::cli {
namespace {

std::string Seconds(const Json& object, const std::string& field) {
  return absl::FormatDuration(absl::Seconds(Number(object, field)));
}

void PrintLookup(const Json& answer, std::ostream& out) {
  out << "service  " << Printable(Text(answer, "service")) << '\n'
      << "tag      " << Printable(Text(answer, "tag")) << '\n'
      << "row      " << Number(answer, "row") << '\n';
  // Only of explain.
  if (Has(answer, "encap"))
    out << "encap    " << Printable(Text(answer, "encap")) << '\n'
        << "budget   "
        << (Flag(answer, "over_syn_budget")
                ? "exceeded: new connections are not recorded"
                : "not exceeded")
        << '\n';
  const Json& slot = Field(answer, "slot");
  if (!slot.is_object()) {
    out << "slot     none: this connection is not in the flow table\n";
    return;
  }
  out << "slot     " << Printable(Text(slot, "state")) << " to "
      << Printable(Text(slot, "backend")) << ", age "
      << Seconds(slot, "age_seconds") << ", idle "
      << Seconds(slot, "idle_seconds") << '\n';
}

// Whether the member takes new connections.
std::string TakesNew(const Json& member) {
  if (!Flag(member, "eligible")) return "no";
  return Flag(member, "full") ? "full" : "yes";
}

// "a SYN now goes to web1 (TX_SYN_NEW): least loaded; hops web1, web2"
void PrintFate(const std::string& what, const Json& fate, std::ostream& out) {
  if (!fate.is_object()) return;
  const std::string backend = Text(fate, "backend");
  std::string line =
      absl::StrCat(what, backend.empty() ? "goes to no backend"
                                         : absl::StrCat("goes to ", backend));
  absl::StrAppend(&line, " (", Text(fate, "verdict"), ")");
  if (!Text(fate, "why").empty())
    absl::StrAppend(&line, ": ", Text(fate, "why"));
  std::vector<std::string> hops;
  for (const Json& hop : Array(fate, "hops")) {
    if (hop.is_string()) hops.push_back(hop.get<std::string>());
  }
  if (!hops.empty())
    absl::StrAppend(&line, "; hops ", absl::StrJoin(hops, ", "));
  out << Printable(line) << '\n';
}

}  // namespace

FlowCommands::FlowCommands(CommandLine& line) {
  CLI::App& noun = line.AddNoun(
      line.root(),
      {.name = "flows",
       .aliases = {"flow"},
       .description = "Where one connection goes, and why",
       .examples = {"fairlead flows lookup --src 203.0.113.7:40000 --dst "
                    "198.51.100.10:443",
                    "fairlead flows explain --src 203.0.113.7:40000 --dst "
                    "198.51.100.10:443 --if-drain web1"}});
  AddTuple(line.AddVerb(
      noun,
      {.command = {.name = "lookup",
                   .description = "What the flow table holds for it",
                   .examples = {"fairlead flows lookup --src "
                                "203.0.113.7:40000 --dst 198.51.100.10:443",
                                "fairlead flows lookup --src "
                                "[2001:db8::7]:40000 --dst "
                                "[2001:db8::10]:443"}}},
      [this](Session& session) { return Lookup(session); }));
  CLI::App& explain = line.AddVerb(
      noun,
      {.command = {.name = "explain",
                   .description = "What would happen to its next packets",
                   .examples = {"fairlead flows explain --src "
                                "203.0.113.7:40000 --dst 198.51.100.10:443",
                                "fairlead flows explain --src "
                                "203.0.113.7:40000 --dst 198.51.100.10:443 "
                                "--if-drain web1"}}},
      [this](Session& session) { return Explain(session); });
  AddTuple(explain);
  explain
      .add_option("--if-drain", if_drain_, "As if this backend were draining")
      ->type_name("BACKEND");
}

void FlowCommands::AddTuple(CLI::App& app) {
  app.add_option("--src", source_, "The client's ADDRESS:PORT")
      ->type_name("A:P")
      ->check(EndpointValue())
      ->required();
  app.add_option("--dst", destination_, "The service's VIP, ADDRESS:PORT")
      ->type_name("A:P")
      ->check(EndpointValue())
      ->required();
}

absl::Status FlowCommands::Lookup(Session& session) const {
  FL_ASSIGN_OR_RETURN(const Json answer,
                      session.Get("/v1/flows/lookup",
                                  {{"src", source_}, {"dst", destination_}}));
  if (session.json()) {
    session.out() << Pretty(answer) << '\n';
  } else {
    PrintLookup(answer, session.out());
  }
  return absl::OkStatus();
}

absl::Status FlowCommands::Explain(Session& session) const {
  http::StringMap query = {{"src", source_}, {"dst", destination_}};
  if (if_drain_.has_value()) query["if_drain"] = *if_drain_;
  FL_ASSIGN_OR_RETURN(const Json answer,
                      session.Get("/v1/flows/explain", std::move(query)));
  if (session.json()) {
    session.out() << Pretty(answer) << '\n';
    return absl::OkStatus();
  }
  PrintLookup(answer, session.out());
  session.out() << '\n';
  // In the order of the row, which is the order that decides.
  Table table({{.title = "MEMBER"},
               {.title = "RANK", .align = Align::kRight},
               {.title = "ROLE"},
               {.title = "ELIGIBLE"},
               {.title = "LOAD", .align = Align::kRight},
               {.title = "WEIGHT", .align = Align::kRight},
               {.title = "SOCKET"},
               {.title = "WHY"}});
  for (const Json& member : Array(answer, "members")) {
    const std::string socket = Text(member, "socket");
    table.Add({Text(member, "backend"), Thousands(Number(member, "rank")),
               Text(member, "role"), TakesNew(member),
               Thousands(Number(member, "load")),
               Thousands(Number(member, "weight")),
               socket.empty() ? "-" : socket, Text(member, "why")});
  }
  table.Print(session.out());
  session.out() << '\n';
  if (if_drain_.has_value())
    session.out() << "if " << Printable(*if_drain_) << " were draining:\n";
  PrintFate("a SYN now ", Field(answer, "syn"), session.out());
  PrintFate("another segment now ", Field(answer, "segment"), session.out());
  return absl::OkStatus();
}

}  // namespace fairlead::cli
