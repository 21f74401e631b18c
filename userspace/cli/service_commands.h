// `fairlead service ...`: services and the tombstones of deleted ones.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "cli/check_options.h"
#include "cli/command_line.h"
#include "cli/session.h"
#include "cli/source_commands.h"

namespace fairlead::cli {

class ServiceCommands {
 public:
  // Declares the commands; must live as long as `line` runs.
  explicit ServiceCommands(CommandLine& line);
  ServiceCommands(const ServiceCommands&) = delete;
  ServiceCommands& operator=(const ServiceCommands&) = delete;

 private:
  // Unset: not given.
  struct Settings {
    std::optional<std::string> policy;
    std::optional<uint64_t> choices;
    std::optional<std::string> encap;
    std::optional<std::string> guarantee;
    std::optional<uint64_t> need;
    std::optional<std::string> syn_budget;
    std::optional<std::string> slow_start;
    std::optional<std::string> panic;
    std::optional<std::string> assume_up;
    std::optional<std::string> flap_damping;
    std::optional<std::string> shed;
    std::optional<uint64_t> rows;
    std::optional<uint64_t> agent_port;
    std::optional<uint64_t> source_rate;
    std::optional<uint64_t> source_conns;
    std::optional<uint64_t> source_burst;
    std::optional<uint64_t> source_prefix4;
    std::optional<uint64_t> source_prefix6;
    CheckOptions check;

    void AddOptions(CLI::App& app);
    // Puts what was given into the body of a request.
    void AddTo(Json& body) const;

   private:
    void AddPolicyOptions(CLI::App& app);
    void AddSourceOptions(CLI::App& app);
  };

  void DeclareChanges(CommandLine& line, CLI::App& noun);
  void DeclareReads(CommandLine& line, CLI::App& noun);
  void DeclareTombstones(CommandLine& line, CLI::App& noun);

  absl::Status Add(Session& session) const;
  absl::Status List(Session& session) const;
  absl::Status Show(Session& session) const;
  absl::Status Set(Session& session) const;
  absl::Status Delete(Session& session) const;
  absl::Status ListTombstones(Session& session) const;
  absl::Status ClearTombstone(Session& session) const;

  // Set by parsing.
  std::string name_;
  std::string vip_;
  Settings settings_;
  ChangeOptions change_;
  std::optional<SourceCommands> sources_;
};

}  // namespace fairlead::cli
