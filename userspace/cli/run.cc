#include "cli/run.h"

#include <utility>

#include "base/version.h"
#include "cli/backend_commands.h"
#include "cli/check_commands.h"
#include "cli/command_line.h"
#include "cli/flow_commands.h"
#include "cli/node_commands.h"
#include "cli/service_commands.h"
#include "cli/trace_commands.h"

namespace fairlead::cli {
namespace {

constexpr char kExamples[] =
    R"(From nothing to a balanced service:
  fairlead config check /etc/fairlead/node.toml
  fairlead service add web 198.51.100.10:443 --policy least-conn
  fairlead backend add web 192.0.2.11 --name web1
  fairlead backend add web 192.0.2.12 --name web2
  fairlead backend list web

Take a backend out without breaking its connections:
  fairlead backend drain web web1 --wait
  fairlead backend delete web web1

`fairlead NOUN --help` and `fairlead NOUN VERB --help` have more examples.

Exit codes: 0 done, 1 refused or failed, 2 usage, 3 daemon unreachable,
4 not found, 5 precondition (--force overrides), 6 --wait timed out,
8 config invalid, 77 not permitted)";

}  // namespace

ExitCode Run(std::vector<std::string> arguments, Environment& environment) {
  CommandLine line(environment, std::string(base::kVersion));
  line.root().footer(kExamples);
  const ServiceCommands services(line);
  const BackendCommands backends(line);
  const CheckCommands checks(line);
  const FlowCommands flows(line);
  const NodeCommands node(line);
  const TraceCommands trace(line);
  const ExitCode code = line.Run(std::move(arguments));
  environment.out.flush();
  if (code != ExitCode::kDone || environment.out.good()) return code;
  environment.err << "fairlead: cannot write the answer\n";
  return ExitCode::kFailed;
}

}  // namespace fairlead::cli
