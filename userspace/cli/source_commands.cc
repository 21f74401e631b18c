#include "cli/source_commands.h"

#include <utility>

#include "base/status_macros.h"
#include "cli/exit_code.h"
#include "cli/table.h"

namespace fairlead::cli {
namespace {

constexpr char kPrefixHelp[] =
    "ADDRESS/LENGTH, or an address alone, of the VIP's family";

}  // namespace

SourceCommands::SourceCommands(CommandLine& line, CLI::App& service) {
  DeclareLists(line, service);
  DeclareUnlist(line, service);
  CLI::App& show = line.AddVerb(
      service,
      {.command = {.name = "sources",
                   .description = "Who may open connections to it",
                   .examples = {"fairlead service sources web",
                                "fairlead service sources web -o json"}}},
      [this](Session& session) { return Show(session); });
  show.add_option("SERVICE", service_, "Its name")->required();
}

void SourceCommands::DeclareLists(CommandLine& line, CLI::App& service) {
  const auto arguments = [this](CLI::App& app) {
    app.add_option("SERVICE", service_, "Its name")->required();
    app.add_option("PREFIX", prefixes_, kPrefixHelp)->required();
    AddChangeOptions(app, Force::kNone, change_);
  };
  arguments(line.AddVerb(
      service,
      {.command = {.name = "deny",
                   .description = "Refuse new connections from these sources",
                   .examples = {"fairlead service deny web 203.0.113.0/24 "
                                "198.51.100.7",
                                "fairlead service unlist web 203.0.113.0/24",
                                "",
                                "The longest prefix that matches decides. "
                                "Connections that live go on."}}},
      [this](Session& session) { return Change(session, "deny"); }));
  arguments(line.AddVerb(
      service,
      {.command =
           {.name = "allow",
            .description = "Take new connections from these sources, "
                           "and from no others",
            .examples = {"fairlead service allow web 203.0.113.0/24",
                         "fairlead service deny web 203.0.113.66", "",
                         ("The longest prefix that matches decides; who is "
                          "in none is refused as long"),
                         ("as the service allows any. Connections that "
                          "live go on.")}}},
      [this](Session& session) { return Change(session, "allow"); }));
}

void SourceCommands::DeclareUnlist(CommandLine& line, CLI::App& service) {
  CLI::App& unlist = line.AddVerb(
      service,
      {.command = {.name = "unlist",
                   .description = "Take these sources off its lists",
                   .examples = {"fairlead service unlist web 203.0.113.0/24",
                                "fairlead service unlist web --all"}}},
      [this](Session& session) {
        if (prefixes_.empty() == !all_)
          return UsageError(
              "name prefixes, or give --all; see fairlead "
              "service unlist --help");
        return Change(session, "unlist");
      });
  unlist.add_option("SERVICE", service_, "Its name")->required();
  unlist.add_option("PREFIX", prefixes_, kPrefixHelp);
  unlist.add_flag("--all", all_, "All: everybody may connect again");
  AddChangeOptions(unlist, Force::kNone, change_);
}

absl::Status SourceCommands::Change(Session& session,
                                    const std::string& verb) const {
  FL_ASSIGN_OR_RETURN(const std::string path,
                      PathOf({"services", service_, "sources", verb}));
  Json body = BodyOf(change_);
  if (!prefixes_.empty()) body["prefixes"] = prefixes_;
  if (all_) body["all"] = true;
  FL_ASSIGN_OR_RETURN(const Json answer, session.Change("POST", path, body));
  PrintChange(session, change_, answer);
  return absl::OkStatus();
}

absl::Status SourceCommands::Show(Session& session) const {
  FL_ASSIGN_OR_RETURN(const std::string path,
                      PathOf({"services", service_, "sources"}));
  FL_ASSIGN_OR_RETURN(const Json answer, session.Get(path));
  if (session.json()) {
    session.out() << Pretty(answer) << '\n';
    return absl::OkStatus();
  }
  const Json& sources = Field(answer, "sources");
  Table table({{.title = "SOURCE"}, {.title = "NEW CONNECTIONS"}});
  for (const std::string rule : {"allow", "deny"}) {
    for (const Json& prefix : Array(sources, rule)) {
      if (!prefix.is_string()) continue;
      table.Add({prefix.get<std::string>(), rule});
    }
  }
  table.Add({"all others", Text(sources, "others")});
  table.Print(session.out());
  session.out() << Thousands(Number(sources, "denied")) << " SYNs refused\n";
  for (const auto& [name, text] :
       {std::pair("over_rate", " SYNs above a source's rate"),
        std::pair("over_source_conns",
                  " SYNs of sources with as many connections as they may have"),
        std::pair("uncounted",
                  " connections not counted: raise counted_sources")}) {
    if (const int64_t count = Number(sources, name); count > 0)
      session.out() << Thousands(count) << text << '\n';
  }
  return absl::OkStatus();
}

}  // namespace fairlead::cli
