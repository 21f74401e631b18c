#include "cli/help_formatter.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"

namespace fairlead::cli {
namespace {

constexpr size_t kLineColumns = 80;
constexpr size_t kNameColumns = 32;

// Breaks `text` into lines that fit right of the names.
std::string Wrapped(const std::string& text) {
  constexpr size_t kWidth = kLineColumns - kNameColumns;
  std::string wrapped;
  size_t column = 0;
  for (const absl::string_view word : absl::StrSplit(text, ' ')) {
    if (column > 0 && column + 1 + word.size() > kWidth) {
      wrapped += '\n';
      column = 0;
    } else if (column > 0) {
      wrapped += ' ';
      ++column;
    }
    absl::StrAppend(&wrapped, word);
    column += word.size();
  }
  return wrapped;
}

std::string Entry(const std::string& name, const std::string& description) {
  std::ostringstream out;
  CLI::detail::format_help(out, name, Wrapped(description), kNameColumns);
  return out.str();
}

}  // namespace

HelpFormatter::HelpFormatter() {
  column_width(kNameColumns);
  label("SUBCOMMAND", "COMMAND");
  label("Positionals", "Arguments");
}

std::string HelpFormatter::make_help(const CLI::App* app, std::string name,
                                     CLI::AppFormatMode mode) const {
  std::string help = CLI::Formatter::make_help(app, std::move(name), mode);
  absl::StrReplaceAll({{"\nUsage: ", "\n\nUsage: "}, {"\n\n\n", "\n\n"}},
                      &help);
  return help;
}

std::string HelpFormatter::make_subcommand(const CLI::App* command) const {
  return Entry(command->get_display_name(true), command->get_description());
}

// What stands in the usage line says already that it is required.
std::string HelpFormatter::make_option_opts(const CLI::Option* option) const {
  if (option->get_positional() || option->get_type_size() == 0) return "";
  return absl::StrCat(" ", option->get_type_name());
}

std::string HelpFormatter::make_option_desc(const CLI::Option* option) const {
  const bool required = option->get_required() && !option->get_positional();
  return Wrapped(
      absl::StrCat(option->get_description(), required ? " (required)" : ""));
}

}  // namespace fairlead::cli
