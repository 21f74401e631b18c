// How services and backends look to people.
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "cli/json.h"

namespace fairlead::cli {

// The elements of `array`, by their text field `key`.
std::vector<Json> Sorted(const Json& array, const std::string& key);

// One line per service.
void PrintServices(const Json& services, std::ostream& out);
// "yes", or "no: " and why packets do not say that the table is settled.
std::string SettledText(const Json& service);
// All that is set and known about one service, then its backends.
void PrintService(const Json& service, std::ostream& out);
// The service's line, then one line per backend.
void PrintBackends(const Json& service, std::ostream& out);
// All that is set and known about one backend.
void PrintBackend(const Json& backend, std::ostream& out);

}  // namespace fairlead::cli
