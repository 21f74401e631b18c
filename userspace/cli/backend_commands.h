// `fairlead backend ...`: the servers behind a service.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "cli/command_line.h"
#include "cli/session.h"

namespace fairlead::cli {

class BackendCommands {
 public:
  // Declares the commands; must live as long as `line` runs.
  explicit BackendCommands(CommandLine& line);
  BackendCommands(const BackendCommands&) = delete;
  BackendCommands& operator=(const BackendCommands&) = delete;

 private:
  void DeclareReads(CommandLine& line, CLI::App& noun);
  void DeclareChanges(CommandLine& line, CLI::App& noun);
  void DeclareAdmin(CommandLine& line, CLI::App& noun);

  void AddMaxConn(CLI::App& app);
  // Those of weight and max-conn that were given.
  void PutSettings(Json& body) const;

  absl::Status Add(Session& session) const;
  absl::Status List(Session& session) const;
  absl::Status Show(Session& session) const;
  absl::Status Set(Session& session) const;
  absl::Status Delete(Session& session) const;
  absl::Status Drain(Session& session) const;
  // `verb` is drain, ready or maint, for each of `backends_`.
  absl::Status SetAdmin(Session& session, const std::string& verb) const;
  absl::Status PrecheckAll(Session& session, const std::string& verb) const;

  // Set by parsing.
  std::string service_;
  std::string backend_;
  std::vector<std::string> backends_;
  std::string address_;
  std::optional<std::string> name_;
  std::optional<uint64_t> weight_;
  std::optional<std::string> max_conn_;
  std::optional<std::string> accept_rate_;
  ChangeOptions change_;
  bool wait_ = false;
  std::string wait_limit_;
};

}  // namespace fairlead::cli
