// `fairlead` as a function.
#pragma once

#include <string>
#include <vector>

#include "cli/environment.h"
#include "cli/exit_code.h"

namespace fairlead::cli {

// `arguments` without the program's name.
ExitCode Run(std::vector<std::string> arguments, Environment& environment);

}  // namespace fairlead::cli
