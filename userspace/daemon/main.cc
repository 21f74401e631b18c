// fairleadd: reads the node config, runs the daemon.
#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/version.h"
#include "config/node_config.h"
#include "daemon/daemon.h"

namespace fairlead::daemon {
namespace {

// The exit codes of the command line, as far as a daemon has them.
constexpr int kFailed = 1;
constexpr int kUsage = 2;
constexpr int kConfigInvalid = 8;
constexpr int kNotPermitted = 77;

std::string Hostname() {
  char name[256] = {};
  if (gethostname(name, sizeof(name) - 1) != 0) return "localhost";
  return name;
}

absl::StatusOr<config::NodeConfig> ReadConfig(const std::string& path) {
  std::ifstream file(path);
  if (!file)
    return absl::NotFoundError(
        absl::StrCat(path,
                     ": cannot be read (--config names another file; an "
                     "example is node.toml of the documentation)"));
  std::stringstream text;
  text << file.rdbuf();
  return config::ParseNodeConfig(text.str(), path, Hostname());
}

// One for each API connection, probe and agent; the default of 1024 is soon
// reached. Keeping the old limit is survivable.
void RaiseFileLimit() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  (void)setrlimit(RLIMIT_NOFILE, &limit);
}

int Fail(int code, const absl::Status& status) {
  base::LogError(status.message());
  return code;
}

int RunDaemon(const std::string& config_path) {
  absl::StatusOr<config::NodeConfig> config = ReadConfig(config_path);
  if (!config.ok()) return Fail(kConfigInvalid, config.status());
  RaiseFileLimit();
  absl::StatusOr<std::unique_ptr<Daemon>> daemon =
      Daemon::Create(*std::move(config));
  absl::Status status = daemon.status();
  if (status.ok()) status = (*daemon)->Run();
  if (absl::IsPermissionDenied(status)) {
    if (!absl::StrContains(status.message(), "CAP_") && geteuid() != 0)
      status = base::Annotate(status, "not run as root");
    return Fail(kNotPermitted, status);
  }
  return status.ok() ? 0 : Fail(kFailed, status);
}

int Main(int argc, char** argv) {
  CLI::App app(
      "The daemon of a Fairlead LB host: keeps the kernel's tables, checks "
      "health, serves the control socket.\nStopping it leaves the packet path "
      "in place; `fairlead node detach` takes it off.");
  std::string config_path = "/etc/fairlead/node.toml";
  app.add_option("--config", config_path, "the node's config file")
      ->capture_default_str();
  app.set_version_flag("--version", absl::StrCat("fairleadd ", base::kVersion));
  try {  // NOLINT(fl-exceptions): CLI11 throws
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {  // NOLINT(fl-exceptions): CLI11
    return app.exit(error) == 0 ? 0 : kUsage;
  }
  return RunDaemon(config_path);
}

}  // namespace
}  // namespace fairlead::daemon

int main(int argc, char** argv) { return fairlead::daemon::Main(argc, argv); }
