// How --help looks: CLI11's layout within 80 columns, without what a reader
// does not need.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace fairlead::cli {

class HelpFormatter : public CLI::Formatter {
 public:
  HelpFormatter();

  std::string make_help(const CLI::App* app, std::string name,
                        CLI::AppFormatMode mode) const override;
  std::string make_subcommand(const CLI::App* command) const override;
  std::string make_option_opts(const CLI::Option* option) const override;
  std::string make_option_desc(const CLI::Option* option) const override;
};

}  // namespace fairlead::cli
