#include "cli/check_commands.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "cli/exit_code.h"
#include "cli/table.h"
#include "cli/views.h"

namespace fairlead::cli {
namespace {

constexpr char kFirstCheck[] =
    "The first check of a service is called main; service set changes it, too.";

void PrintSteps(const Json& result, std::ostream& out) {
  const Json& steps = Array(result, "steps");
  const std::string reason = Text(result, "reason");
  Table table({{.title = "STEP"},
               {.title = "TIME", .align = Align::kRight},
               {.title = "RESULT"}});
  for (size_t i = 0; i < steps.size(); ++i) {
    const bool failed = i + 1 == steps.size() && IsFailure(result);
    table.Add({Text(steps[i], "step"), Millis(Number(steps[i], "duration_us")),
               failed ? reason : "ok"});
  }
  table.Print(out);
}

}  // namespace

CheckCommands::CheckCommands(CommandLine& line) {
  CLI::App& noun = line.AddNoun(
      line.root(),
      {.name = "check",
       .description = "The health checks of a service",
       .examples = {"fairlead check add web live --check ws --check-path /live",
                    "fairlead check list web",
                    "fairlead check set web live --fall 2",
                    "fairlead check delete web live",
                    "fairlead check run web web1 -v", "", kFirstCheck}});
  DeclareChanges(line, noun);
  DeclareList(line, noun);
  DeclareRun(line, noun);
}

void CheckCommands::AddNames(CLI::App& verb) {
  verb.add_option("SERVICE", service_, "The service's name")->required();
  verb.add_option("CHECK", check_, "The check's name")->required();
}

void CheckCommands::DeclareChanges(CommandLine& line, CLI::App& noun) {
  CLI::App& add = line.AddVerb(
      noun,
      {.command = {.name = "add",
                   .description = "One more check: a backend is up while all "
                                  "succeed",
                   .examples = {"fairlead check add web live --check ws "
                                "--check-path /live",
                                "fairlead check add web db --check http "
                                "--check-path /db --check-interval 10s"}}},
      [this](Session& session) { return Add(session); });
  AddNames(add);
  options_.AddTo(add);
  AddChangeOptions(add, Force::kNone, change_);

  CLI::App& set = line.AddVerb(
      noun,
      {.command = {.name = "set",
                   .description = "Change settings of a check; the others stay",
                   .examples = {"fairlead check set web live --check-interval "
                                "1s --fall 2"}}},
      [this](Session& session) { return Set(session); });
  AddNames(set);
  options_.AddTo(set);
  AddChangeOptions(set, Force::kNone, change_);

  CLI::App& remove = line.AddVerb(
      noun,
      {.command = {.name = "delete",
                   .aliases = {"rm"},
                   .description = "One check less; the last one stays",
                   .examples = {"fairlead check delete web live"}}},
      [this](Session& session) { return Delete(session); });
  AddNames(remove);
  AddChangeOptions(remove, Force::kNone, change_);
}

void CheckCommands::DeclareList(CommandLine& line, CLI::App& noun) {
  CLI::App& list = line.AddVerb(
      noun,
      {.command = {.name = "list",
                   .aliases = {"ls"},
                   .description = "The checks of a service",
                   .examples = {"fairlead check list web",
                                "fairlead check list web -o json"}}},
      [this](Session& session) { return List(session); });
  list.add_option("SERVICE", service_, "The service's name")->required();
}

void CheckCommands::DeclareRun(CommandLine& line, CLI::App& noun) {
  CLI::App& run = line.AddVerb(
      noun,
      {.command = {.name = "run",
                   .description = "Check a backend now, from this LB host; its "
                                  "health does not change by it. Exit code 1 "
                                  "if it fails; `backend show` has the last "
                                  "results",
                   .examples = {"fairlead check run web web1",
                                "fairlead check run web web1 -v",
                                "fairlead check run web web1 --check live",
                                "fairlead check run web web1 -o json"}}},
      [this](Session& session) { return Run(session); });
  run.add_option("SERVICE", service_, "The service's name")->required();
  run.add_option("BACKEND", backend_, "The backend's name or address")
      ->required();
  run.add_option("--check", only_, "That one; default: all of the service")
      ->type_name("CHECK");
  run.add_flag("-v,--verbose", verbose_, "Each step, with its time");
}

absl::Status CheckCommands::Run(Session& session) const {
  FL_ASSIGN_OR_RETURN(
      const std::string path,
      PathOf({"services", service_, "backends", backend_, "check"}));
  Json body = Json::object();
  if (only_.has_value()) body["check"] = *only_;
  FL_ASSIGN_OR_RETURN(const Json answer, session.Change("POST", path, body));
  std::vector<std::string> failures;
  // An older daemon makes one check, and does not name it.
  Json results = Array(answer, "results");
  if (results.empty()) results.push_back(Field(answer, "result"));
  const bool several = results.size() > 1;
  if (session.json()) session.out() << Pretty(answer) << '\n';
  for (const Json& result : results) {
    const std::string name = Text(result, "check");
    if (!session.json()) {
      if (verbose_) PrintSteps(result, session.out());
      session.out() << Printable(absl::StrCat(several ? name + ": " : "",
                                              ResultText(result)))
                    << '\n';
    }
    if (IsFailure(result))
      failures.push_back(absl::StrCat(Text(result, "reason"),
                                      several ? " [" : "", several ? name : "",
                                      several ? "]" : ""));
  }
  if (failures.empty()) return absl::OkStatus();
  return Failed(absl::StrCat(backend_, ": ", absl::StrJoin(failures, ", ")));
}

absl::Status CheckCommands::List(Session& session) const {
  FL_ASSIGN_OR_RETURN(const std::string path,
                      PathOf({"services", service_, "checks"}));
  FL_ASSIGN_OR_RETURN(const Json answer, session.Get(path));
  if (session.json()) {
    session.out() << Pretty(answer) << '\n';
    return absl::OkStatus();
  }
  Table table({{.title = "CHECK"}, {.title = "WHAT"}});
  for (const Json& check : Array(answer, "checks"))
    table.Add({Text(check, "name"), CheckText(check)});
  table.Print(session.out());
  return absl::OkStatus();
}

Json CheckCommands::Settings() const {
  Json nested = Json::object();
  options_.PutInto(nested);
  return nested.contains("check") ? nested["check"] : Json::object();
}

absl::Status CheckCommands::Add(Session& session) const {
  FL_ASSIGN_OR_RETURN(const std::string path,
                      PathOf({"services", service_, "checks"}));
  Json body = BodyOf(change_);
  body.update(Settings());
  body["name"] = check_;
  FL_ASSIGN_OR_RETURN(const Json answer, session.Change("POST", path, body));
  PrintChange(session, change_, answer);
  return absl::OkStatus();
}

absl::Status CheckCommands::Set(Session& session) const {
  FL_ASSIGN_OR_RETURN(const std::string path,
                      PathOf({"services", service_, "checks", check_}));
  const Json settings = Settings();
  if (settings.empty())
    return UsageError("nothing to set; see fairlead check set --help");
  Json body = BodyOf(change_);
  body.update(settings);
  FL_ASSIGN_OR_RETURN(const Json answer, session.Change("PATCH", path, body));
  PrintChange(session, change_, answer);
  return absl::OkStatus();
}

absl::Status CheckCommands::Delete(Session& session) const {
  FL_ASSIGN_OR_RETURN(const std::string path,
                      PathOf({"services", service_, "checks", check_}));
  FL_ASSIGN_OR_RETURN(const Json answer,
                      session.Change("DELETE", path, BodyOf(change_)));
  PrintChange(session, change_, answer);
  return absl::OkStatus();
}

}  // namespace fairlead::cli
