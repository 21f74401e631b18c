#include "cli/check_commands.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "cli/exit_code.h"
#include "cli/table.h"
#include "cli/views.h"

namespace fairlead::cli {
namespace {

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
      line.root(), {.name = "check",
                    .description = "Health checks, made by hand",
                    .examples = {"fairlead check run web web1 -v"}});
  CLI::App& run = line.AddVerb(
      noun,
      {.command = {.name = "run",
                   .description = "Check a backend now, from this LB host; its "
                                  "health does not change by it. Exit code 1 "
                                  "if it fails; `backend show` has the last "
                                  "results",
                   .examples = {"fairlead check run web web1",
                                "fairlead check run web web1 -v",
                                "fairlead check run web web1 -o json"}}},
      [this](Session& session) { return Run(session); });
  run.add_option("SERVICE", service_, "The service's name")->required();
  run.add_option("BACKEND", backend_, "The backend's name or address")
      ->required();
  run.add_flag("-v,--verbose", verbose_, "Each step, with its time");
}

absl::Status CheckCommands::Run(Session& session) const {
  FL_ASSIGN_OR_RETURN(
      const std::string path,
      PathOf({"services", service_, "backends", backend_, "check"}));
  FL_ASSIGN_OR_RETURN(const Json answer,
                      session.Change("POST", path, Json::object()));
  const Json& result = Field(answer, "result");
  if (session.json()) {
    session.out() << Pretty(answer) << '\n';
  } else {
    if (verbose_) PrintSteps(result, session.out());
    session.out() << Printable(ResultText(result)) << '\n';
  }
  if (!IsFailure(result)) return absl::OkStatus();
  return Failed(absl::StrCat(backend_, ": ", Text(result, "reason")));
}

}  // namespace fairlead::cli
