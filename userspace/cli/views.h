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

// Of the result of a check: whether it speaks against the backend, or says
// nothing about it.
bool IsFailure(const Json& result);
// "success, 3.412 ms: HTTP 200".
std::string ResultText(const Json& result);
// "3.412 ms".
std::string Millis(int64_t microseconds);
// The last results, the newest first.
// "http port of the service, GET /health, every 2s, ...": what a check does.
std::string CheckText(const Json& check);
void PrintHistory(const Json& checks, std::ostream& out);

}  // namespace fairlead::cli
