#include "cli/command_line.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/duration.h"
#include "base/ip_address.h"
#include "base/status_macros.h"
#include "base/text.h"
#include "cli/help_formatter.h"
#include "cli/table.h"
#include "config/node_config.h"

namespace fairlead::cli {
namespace {

std::string Footer(const std::vector<std::string>& examples) {
  if (examples.empty()) return "";
  std::string footer = "Examples:";
  for (const std::string& line : examples)
    absl::StrAppend(&footer, line.empty() ? "\n" : "\n  ", line);
  return footer;
}

void Describe(CLI::App& app, const CommandSpec& spec) {
  for (const std::string& alias : spec.aliases) app.alias(alias);
  app.footer(Footer(spec.examples));
  app.group("Commands");
}

// The innermost command that the arguments named.
const CLI::App& Innermost(const CLI::App& root) {
  const CLI::App* app = &root;
  while (!app->get_subcommands().empty()) app = app->get_subcommands().back();
  return *app;
}

// "backend drain"; empty for the root.
std::string NameOf(const CLI::App& app) {
  if (app.get_parent() == nullptr) return "";
  const std::string parent = NameOf(*app.get_parent());
  return parent.empty() ? app.get_name()
                        : absl::StrCat(parent, " ", app.get_name());
}

std::vector<std::string> CommandsOf(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands(nullptr)) {
    names.push_back(command->get_name());
  }
  return names;
}

std::vector<std::string> OptionsOf(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames())
      names.push_back(absl::StrCat("--", name));
  }
  return names;
}

// What CLI11 could not place: in the innermost command or, handed up by it, in
// one of its parents.
std::string FirstExtra(const CLI::App& innermost) {
  for (const CLI::App* app = &innermost; app != nullptr;
       app = app->get_parent()) {
    const std::vector<std::string> extras = app->remaining();
    if (!extras.empty()) return extras.front();
  }
  return "";
}

std::string ExtraProblem(const CLI::App& app, const std::string& extra) {
  const std::string quoted = absl::StrCat("\"", Printable(extra), "\"");
  if (absl::StartsWith(extra, "-") && extra.size() > 1) {
    const std::string word = extra.substr(0, extra.find('='));
    const std::string nearest = base::Nearest(word, OptionsOf(app));
    return absl::StrCat(
        "there is no option \"", Printable(word), "\"",
        nearest.empty() ? "" : absl::StrCat("; did you mean ", nearest, "?"));
  }
  const std::vector<std::string> commands = CommandsOf(app);
  if (commands.empty()) return absl::StrCat("unexpected argument ", quoted);
  // A noun's alias is as good a guess as its name.
  std::vector<std::string> words = commands;
  for (const CLI::App* command : app.get_subcommands(nullptr)) {
    const auto& aliases = command->get_aliases();
    words.insert(words.end(), aliases.begin(), aliases.end());
  }
  const std::string nearest = base::Nearest(extra, words);
  const std::string end =
      nearest.empty()
          ? absl::StrCat("; there are: ", absl::StrJoin(commands, ", "))
          : absl::StrCat("; did you mean \"", nearest, "\"?");
  return absl::StrCat("there is no command ", quoted, end);
}

std::string Problem(const CLI::App& app, const CLI::ParseError& error) {
  const std::string extra = FirstExtra(app);
  const std::vector<std::string> commands = CommandsOf(app);
  if (!extra.empty()) return ExtraProblem(app, extra);
  if (!commands.empty() && error.get_name() == "RequiredError") {
    return absl::StrCat("which command? There are: ",
                        absl::StrJoin(commands, ", "));
  }
  return error.what();
}

// `fairlead help backend drain` is `fairlead backend drain --help`.
void RewriteHelp(std::vector<std::string>& arguments) {
  if (arguments.empty() || arguments.front() != "help") return;
  arguments.erase(arguments.begin());
  arguments.emplace_back("--help");
}

}  // namespace

CommandLine::CommandLine(Environment& environment, std::string version)
    : environment_(environment),
      root_("Fairlead balances TCP connections and does not break them.",
            "fairlead"),
      version_(std::move(version)) {
  // NOLINTNEXTLINE(shared-ptr): the form in which CLI11 takes its formatter
  root_.formatter(std::make_shared<HelpFormatter>());
  root_.require_subcommand(0, 1);
  root_.set_help_flag("-h,--help", "Say how to use it, with examples");
  root_.add_flag("--version", wants_version_, "Print the version");
  AddSharedOptions(root_, TimeoutOption::kShared);
}

void CommandLine::AddSharedOptions(CLI::App& app, TimeoutOption timeout) {
  app.add_option("-o,--output", output_, "table (default) or json")
      ->type_name("FORMAT")
      ->check(OneOf({"table", "json"}))
      ->group("Common options");
  app.add_option("--socket", socket_,
                 absl::StrCat("The daemon's control socket, else "
                              "$FAIRLEAD_SOCKET, else ",
                              config::kDefaultControlSocket))
      ->type_name("PATH")
      ->group("Common options");
  if (timeout == TimeoutOption::kShared) {
    app.add_option("--timeout", timeout_,
                   "How long the daemon may be silent (default 30s)")
        ->type_name("DURATION")
        ->check(DurationValue())
        ->group("Common options");
  }
}

CLI::App& CommandLine::AddNoun(CLI::App& parent, CommandSpec spec) {
  CLI::App& noun = *parent.add_subcommand(spec.name, spec.description);
  Describe(noun, spec);
  noun.require_subcommand(1);
  // So that `fairlead backend -o json list` works too.
  noun.fallthrough();
  return noun;
}

CLI::App& CommandLine::AddVerb(CLI::App& parent, VerbSpec spec, Action action) {
  const CommandSpec& command = spec.command;
  CLI::App& verb = *parent.add_subcommand(command.name, command.description);
  Describe(verb, command);
  AddSharedOptions(verb, spec.timeout);
  verbs_.push_back({&verb, std::move(action)});
  return verb;
}

ExitCode CommandLine::Run(std::vector<std::string> arguments) {
  RewriteHelp(arguments);
  std::reverse(arguments.begin(), arguments.end());
  try {  // NOLINT(exceptions): CLI11 reports every bad argument by a throw
    root_.parse(std::move(arguments));
    // NOLINTNEXTLINE(exceptions): it stops here
  } catch (const CLI::ParseError& error) {
    return OnParseError(error);
  }
  if (wants_version_) {
    environment_.out << "fairlead " << version_ << '\n';
    return ExitCode::kDone;
  }
  for (const Verb& verb : verbs_) {
    if (verb.app->parsed()) return RunVerb(verb);
  }
  environment_.err << root_.help();
  return ExitCode::kUsage;
}

ExitCode CommandLine::OnParseError(const CLI::ParseError& error) {
  if (error.get_exit_code() == 0) {
    environment_.out << root_.help();
    return ExitCode::kDone;
  }
  const CLI::App& app = Innermost(root_);
  const std::string name = NameOf(app);
  environment_.err << "fairlead: " << name << (name.empty() ? "" : ": ")
                   << Problem(app, error) << "\nTry: fairlead " << name
                   << (name.empty() ? "" : " ") << "--help\n";
  return ExitCode::kUsage;
}

absl::StatusOr<SessionOptions> CommandLine::Options() const {
  SessionOptions options;
  options.format = output_ == "json" ? Format::kJson : Format::kTable;
  options.socket = socket_;
  if (options.socket.empty()) {
    options.socket = environment_.getenv("FAIRLEAD_SOCKET")
                         .value_or(std::string(config::kDefaultControlSocket));
  }
  if (!timeout_.empty()) {
    FL_ASSIGN_OR_RETURN(options.timeout, base::ParseDuration(timeout_));
    // For a socket, zero would mean "no limit".
    options.timeout = std::max(options.timeout, absl::Milliseconds(1));
  }
  return options;
}

ExitCode CommandLine::RunVerb(const Verb& verb) {
  const absl::StatusOr<SessionOptions> options = Options();
  absl::Status status = options.status();
  if (status.ok()) {
    Session session(environment_, *options);
    status = verb.action(session);
  }
  if (!status.ok()) {
    environment_.err << "fairlead: " << NameOf(*verb.app) << ": "
                     << status.message() << '\n';
  }
  return ExitCodeOf(status);
}

void AddChangeOptions(CLI::App& app, Force force, ChangeOptions& options) {
  app.add_flag("--dry-run", options.dry_run,
               "Print what would be done, change nothing");
  app.add_option("--if-generation", options.if_generation,
                 "Refuse if something has changed since generation N")
      ->type_name("N")
      ->check(WholeNumber(0, UINT64_MAX));
  if (force == Force::kOffered)
    app.add_flag("--force", options.force, "Do it although it is refused");
}

Json BodyOf(const ChangeOptions& options) {
  Json body = Json::object();
  if (options.force) body["force"] = true;
  if (options.if_generation.has_value())
    body["if_generation"] = *options.if_generation;
  if (options.dry_run) body["dry_run"] = true;
  return body;
}

void PrintChange(const Session& session, const ChangeOptions& options,
                 const Json& answer) {
  if (session.json()) {
    session.out() << Pretty(answer) << '\n';
  } else if (options.dry_run) {
    const Json& plan = Array(answer, "plan");
    if (plan.empty()) session.out() << "nothing to do\n";
    for (const Json& step : plan) {
      if (step.is_string())
        session.out() << Printable(step.get<std::string>()) << '\n';
    }
  }
}

absl::Status ExplainForce(const ChangeOptions& options,
                          const absl::Status& status) {
  if (status.code() != absl::StatusCode::kFailedPrecondition || options.force ||
      options.if_generation.has_value() ||
      absl::StrContains(status.message(), "--force")) {
    return status;
  }
  return absl::Status(status.code(),
                      absl::StrCat(status.message(), " (--force overrides)"));
}

CLI::Validator OneOf(std::vector<std::string> words) {
  return CLI::Validator(
      [words = std::move(words)](std::string& value) -> std::string {
        if (std::find(words.begin(), words.end(), value) != words.end())
          return "";
        const std::string nearest = base::Nearest(value, words);
        return absl::StrCat(
            "\"", Printable(value), "\" is none of ",
            absl::StrJoin(words, ", "),
            nearest.empty() ? ""
                            : absl::StrCat("; did you mean ", nearest, "?"));
      },
      "");
}

CLI::Validator WholeNumber(uint64_t min, uint64_t max) {
  return CLI::Validator(
      [min, max](std::string& value) -> std::string {
        uint64_t number = 0;
        // SimpleAtoi takes spaces and signs; CLI11 would read 0x10 and 010.
        const bool digits =
            !value.empty() &&
            value.find_first_not_of("0123456789") == std::string::npos &&
            (value.size() == 1 || value[0] != '0');
        if (digits && absl::SimpleAtoi(value, &number) && number >= min &&
            number <= max) {
          return "";
        }
        const std::string range =
            max == UINT64_MAX ? "" : absl::StrCat(" from ", min, " to ", max);
        return absl::StrCat("\"", Printable(value), "\" is not a whole number",
                            range);
      },
      "");
}

CLI::Validator DurationValue() {
  return CLI::Validator(
      [](std::string& value) {
        return std::string(base::ParseDuration(value).status().message());
      },
      "");
}

CLI::Validator EndpointValue() {
  return CLI::Validator(
      [](std::string& value) {
        return std::string(base::Endpoint::Parse(value).status().message());
      },
      "");
}

}  // namespace fairlead::cli
