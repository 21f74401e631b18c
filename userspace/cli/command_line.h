// The tree of nouns and verbs over CLI11: declares commands, parses arguments,
// and turns every parse error into a sentence with "did you mean". CLI11's
// exceptions stop here.
//
// Grammar: `fairlead [noun...] verb [arguments]`. What all verbs share (-o,
// --socket, --timeout) may stand before or behind them.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "cli/environment.h"
#include "cli/exit_code.h"
#include "cli/json.h"
#include "cli/session.h"

namespace fairlead::cli {

struct CommandSpec {
  std::string name;
  std::vector<std::string> aliases;
  std::string description;
  // Lines of examples, shown by --help.
  std::vector<std::string> examples;
};

enum class TimeoutOption { kShared, kOwn };

struct VerbSpec {
  CommandSpec command;
  // kOwn: the verb gives --timeout a meaning of its own.
  TimeoutOption timeout = TimeoutOption::kShared;
};

using Action = std::function<absl::Status(Session& session)>;

class CommandLine {
 public:
  CommandLine(Environment& environment, std::string version);
  CommandLine(const CommandLine&) = delete;
  CommandLine& operator=(const CommandLine&) = delete;

  CLI::App& root() { return root_; }
  CLI::App& AddNoun(CLI::App& parent, CommandSpec spec);
  // `action` runs if this verb is the one that was given.
  CLI::App& AddVerb(CLI::App& parent, VerbSpec spec, Action action);

  // Runs what `arguments` ask for; they do not include the program's name.
  ExitCode Run(std::vector<std::string> arguments);

 private:
  struct Verb {
    CLI::App* app;
    Action action;
  };

  void AddSharedOptions(CLI::App& app, TimeoutOption timeout);
  ExitCode OnParseError(const CLI::ParseError& error);
  ExitCode RunVerb(const Verb& verb);
  absl::StatusOr<SessionOptions> Options() const;

  Environment& environment_;
  CLI::App root_;
  std::vector<Verb> verbs_;

  // Set by parsing.
  std::string output_ = "table";
  std::string socket_;
  std::string timeout_;
  bool wants_version_ = false;
  std::string version_;
};

// Fields that every change takes.
struct ChangeOptions {
  bool dry_run = false;
  bool force = false;
  std::optional<uint64_t> if_generation;
};
enum class Force { kNone, kOffered };
void AddChangeOptions(CLI::App& app, Force force, ChangeOptions& options);

// The fields of a request's body that `options` ask for.
Json BodyOf(const ChangeOptions& options);
// What a change prints: nothing, its plan, or with -o json its answer.
void PrintChange(const Session& session, const ChangeOptions& options,
                 const Json& answer);
// Adds how to override to a refusal that --force would override.
absl::Status ExplainForce(const ChangeOptions& options,
                          const absl::Status& status);

// Validators whose messages name the value and what is allowed.
CLI::Validator OneOf(std::vector<std::string> words);
CLI::Validator WholeNumber(uint64_t min, uint64_t max);
CLI::Validator DurationValue();
CLI::Validator EndpointValue();

}  // namespace fairlead::cli
