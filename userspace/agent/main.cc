// fairlead-agent: parses the command line, reads the config, runs one command.
#include <CLI/CLI.hpp>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "agent/agent_program.h"
#include "agent/check.h"
#include "agent/privileges.h"
#include "agent/run.h"
#include "agent/status.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/text.h"
#include "base/version.h"
#include "config/agent_config.h"

namespace fairlead::agent {
namespace {

// The exit codes of the command line.
constexpr int kDone = 0;
constexpr int kFailed = 1;
constexpr int kUsage = 2;
constexpr int kUnreachable = 3;
constexpr int kPrecondition = 5;
constexpr int kConfigInvalid = 8;
constexpr int kNotPermitted = 77;

constexpr char kDefaultConfig[] = "/etc/fairlead/agent.toml";

constexpr char kExamples[] = R"(Examples:
  fairlead-agent check --vip 198.51.100.10:443
  fairlead-agent check -o json
  fairlead-agent run --config /etc/fairlead/agent.toml
  fairlead-agent status
  fairlead-agent drain
  fairlead-agent detach

`drain` reaches every LB host within a second and outlives restarts; until then
SYNs that arrive are handed to another backend. `ready` takes it back.

`run` stays in the foreground; SIGTERM stops it and leaves the program attached,
so that connections live on. `detach` takes the program off.

Exit codes: 0 done (check: nothing fails), 1 failed, 2 usage, 3 no agent
answers, 5 an agent is running, 8 config invalid, 77 not permitted)";

struct Arguments {
  std::string config_path = kDefaultConfig;
  std::vector<std::string> vips;
  std::string output = "table";
};

void Complain(absl::string_view what) {
  std::cerr << "fairlead-agent: " << what << "\n";
}

int ExitCodeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kDone;
    case absl::StatusCode::kPermissionDenied:
      return kNotPermitted;
    case absl::StatusCode::kUnavailable:
      return kUnreachable;
    default:
      return kFailed;
  }
}

int Report(const absl::Status& status) {
  if (!status.ok()) Complain(status.message());
  return ExitCodeOf(status);
}

absl::StatusOr<config::AgentConfig> ReadConfig(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file.is_open() || file.bad()) {
    return absl::NotFoundError(
        absl::StrCat(path, ": cannot be read (--config names another file)"));
  }
  return config::ParseAgentConfig(text, path);
}

int Run(const config::AgentConfig& config, const Arguments&) {
  const absl::Status status = RunAgent(config);
  if (!status.ok()) base::LogError(status.message());
  // A failure of the start is never "no agent answers".
  if (absl::IsPermissionDenied(status)) return kNotPermitted;
  return status.ok() ? kDone : kFailed;
}

int Check(const config::AgentConfig& config, const Arguments& arguments) {
  CheckOptions options;
  options.config_path = arguments.config_path;
  options.output = arguments.output == "json" ? Output::kJson : Output::kTable;
  for (const std::string& text : arguments.vips) {
    const absl::StatusOr<base::Endpoint> vip = base::Endpoint::Parse(text);
    if (!vip.ok()) {
      Complain(absl::StrCat("--vip: ", vip.status().message()));
      return kUsage;
    }
    options.vips.push_back(*vip);
  }
  if (const absl::Status allowed = CheckPrivileges(); !allowed.ok())
    return Report(allowed);
  const absl::StatusOr<bool> fine = CheckHost(config, options, std::cout);
  if (!fine.ok()) return Report(fine.status());
  return *fine ? kDone : kFailed;
}

int Status(const config::AgentConfig& config, const Arguments& arguments) {
  return Report(PrintStatus(
      config, arguments.output == "json" ? Output::kJson : Output::kTable,
      std::cout));
}

int Drain(const config::AgentConfig& config, const Arguments&) {
  return Report(SayDraining(config, true));
}

int Ready(const config::AgentConfig& config, const Arguments&) {
  return Report(SayDraining(config, false));
}

int Detach(const config::AgentConfig& config, const Arguments&) {
  if (const absl::Status allowed = CheckPrivileges(); !allowed.ok())
    return Report(allowed);
  const absl::StatusOr<Detached> detached = DetachAgent(config.pin_path);
  if (absl::IsFailedPrecondition(detached.status())) {
    Complain(absl::StrCat(detached.status().message(), "; stop it first"));
    return kPrecondition;
  }
  if (!detached.ok()) return Report(detached.status());
  if (*detached == Detached::kNothingThere)
    std::cerr << "fairlead-agent: nothing is attached\n";
  return kDone;
}

using Command = int (*)(const config::AgentConfig&, const Arguments&);

struct CommandSpec {
  const char* name;
  const char* description;
  Command command;
};

constexpr CommandSpec kCommands[] = {
    {"run", "Attach the program, report to the LB hosts", Run},
    {"check", "Test this host's set-up; each failure with what mends it",
     Check},
    {"status", "Print what the local agent knows and counts", Status},
    {"drain", "Take no new connections here; those that live go on", Drain},
    {"ready", "Take new connections again", Ready},
    {"detach", "Take the program off the interface, remove its maps", Detach},
};

int OnParseError(const CLI::App& app, const CLI::ParseError& error) {
  if (error.get_exit_code() == 0) return app.exit(error);
  std::string what = absl::StrReplaceAll(error.what(), {{"\n", "; "}});
  const std::vector<std::string> extras = app.remaining(/*recurse=*/true);
  if (!extras.empty() && !absl::StartsWith(extras.front(), "-")) {
    std::vector<std::string> names;
    for (const CommandSpec& spec : kCommands) names.push_back(spec.name);
    what = absl::StrCat("no command \"", extras.front(), "\"",
                        base::Hint(extras.front(), names));
  }
  Complain(absl::StrCat(what, " (--help explains)"));
  return kUsage;
}

int Main(int argc, char** argv) {
  CLI::App app(
      "The agent of a backend: takes packets of Fairlead's LB hosts out of "
      "their tunnel, hands on\nthose of other backends' connections, and "
      "reports which connections live here.",
      "fairlead-agent");
  app.footer(kExamples);
  app.set_version_flag("--version",
                       absl::StrCat("fairlead-agent ", base::kVersion));
  app.require_subcommand(1);
  Arguments arguments;
  for (const CommandSpec& spec : kCommands) {
    CLI::App* const command = app.add_subcommand(spec.name, spec.description);
    command->add_option("--config", arguments.config_path, "The agent's config")
        ->capture_default_str();
    const absl::string_view name = spec.name;
    if (name == "check") {
      command->add_option("--vip", arguments.vips,
                          "A service's ADDRESS:PORT to test, besides those "
                          "that the LB hosts have told");
    }
    if (name == "check" || name == "status") {
      command->add_option("-o,--output", arguments.output, "table or json")
          ->check(CLI::IsMember({"table", "json"}))
          ->capture_default_str();
    }
  }
  try {  // NOLINT(exceptions): CLI11 throws what it finds
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {  // NOLINT(exceptions): as above
    return OnParseError(app, error);
  }
  const absl::StatusOr<config::AgentConfig> config =
      ReadConfig(arguments.config_path);
  if (!config.ok()) {
    Complain(config.status().message());
    return kConfigInvalid;
  }
  for (const CommandSpec& spec : kCommands)
    if (app.got_subcommand(spec.name)) return spec.command(*config, arguments);
  return kUsage;
}

}  // namespace
}  // namespace fairlead::agent

int main(int argc, char** argv) { return fairlead::agent::Main(argc, argv); }
