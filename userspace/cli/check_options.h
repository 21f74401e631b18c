// The options of a service's health check, and what they put into a request.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/json.h"

namespace fairlead::cli {

// Unset: not given.
struct CheckOptions {
  std::optional<std::string> type;
  std::optional<std::string> via;
  std::optional<uint64_t> port;
  std::optional<std::string> path;
  std::optional<std::string> host;
  std::vector<std::string> headers;
  std::optional<std::string> method;
  std::optional<std::string> status;
  std::optional<std::string> body;
  std::optional<std::string> subprotocol;
  std::optional<std::string> verify;
  std::optional<std::string> server_name;
  std::optional<std::string> ca_file;
  std::optional<std::string> interval;
  std::optional<std::string> timeout;
  std::optional<uint64_t> rise;
  std::optional<uint64_t> fall;

  void AddTo(CLI::App& app);
  // Adds "check" to the body of a request if anything was given.
  void PutInto(Json& body) const;

 private:
  void AddRequestOptions(CLI::App& app);
  void AddTlsOptions(CLI::App& app);
};

}  // namespace fairlead::cli
