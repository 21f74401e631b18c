#include "config/strict_toml.h"

#include <toml++/toml.h>

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/text.h"

namespace fairlead::config {
namespace {

struct Problem {
  toml::source_position position;
  std::string text;
};

std::string Describe(const toml::node& node) {
  if (const auto* text = node.as_string())
    return absl::StrCat("the string \"", text->get(), "\"");
  if (const auto* number = node.as_integer())
    return absl::StrCat("the integer ", number->get());
  if (const auto* number = node.as_floating_point())
    return absl::StrCat("the float ", number->get());
  if (const auto* flag = node.as_boolean())
    return flag->get() ? "true" : "false";
  if (node.is_array()) return "an array";
  if (node.is_table()) return "a table";
  return "a date or time";
}

std::string View(const toml::key& key) { return std::string(key.str()); }

}  // namespace

struct TomlDocument::State {
  toml::table root;
  std::string file;
  std::vector<Problem> problems;
  // What was asked for, by section.
  std::map<std::string, std::vector<std::string>> known;

  void Note(toml::source_position position, std::string text) {
    problems.push_back({position, std::move(text)});
  }
  // nullptr if there is no such section.
  const toml::table* Table(const std::string& name) const {
    return root.get_as<toml::table>(name);
  }
  toml::source_position PositionOf(const std::string& section) const {
    const toml::table* table = Table(section);
    return table == nullptr ? toml::source_position{0, 0}
                            : table->source().begin;
  }
  const toml::node* Find(const std::string& section, absl::string_view key,
                         Presence presence);
  void NoteUnknownKeys(const std::string& section, const toml::table& table);
  void NoteUnknownSections();
};

const toml::node* TomlDocument::State::Find(const std::string& section,
                                            absl::string_view key,
                                            Presence presence) {
  known[section].emplace_back(key);
  const toml::table* table = Table(section);
  const toml::node* node =
      table == nullptr ? nullptr : table->get(std::string(key));
  if (node == nullptr && presence == Presence::kRequired)
    Note(PositionOf(section),
         absl::StrCat("[", section, "] needs the key ", key));
  return node;
}

void TomlDocument::State::NoteUnknownKeys(const std::string& section,
                                          const toml::table& table) {
  const std::vector<std::string>& keys = known[section];
  for (const auto& [key, node] : table) {
    const std::string name = View(key);
    if (std::find(keys.begin(), keys.end(), name) != keys.end()) continue;
    Note(key.source().begin, absl::StrCat("[", section, "] has no key \"", name,
                                          "\"", base::Hint(name, keys)));
  }
}

void TomlDocument::State::NoteUnknownSections() {
  std::vector<std::string> sections;
  for (const auto& [name, keys] : known) sections.push_back(name);
  for (const auto& [key, node] : root) {
    const std::string name = View(key);
    const bool is_known = known.count(name) > 0;
    if (is_known && node.is_table()) {
      NoteUnknownKeys(name, *node.as_table());
    } else if (is_known) {
      Note(key.source().begin, absl::StrCat(name, " is a section: write [",
                                            name, "] on a line of its own"));
    } else if (node.is_table()) {
      Note(node.source().begin, absl::StrCat("there is no section [", name, "]",
                                             base::Hint(name, sections)));
    } else {
      Note(key.source().begin,
           absl::StrCat("\"", name, "\" is in no section; sections are: ",
                        absl::StrJoin(sections, ", ")));
    }
  }
}

TomlDocument::TomlDocument(std::unique_ptr<State> state)
    : state_(std::move(state)) {}
TomlDocument::TomlDocument(TomlDocument&&) noexcept = default;
TomlDocument& TomlDocument::operator=(TomlDocument&&) noexcept = default;
TomlDocument::~TomlDocument() = default;

absl::StatusOr<TomlDocument> TomlDocument::Parse(absl::string_view text,
                                                 absl::string_view file) {
  if (text.size() > kMaxConfigBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        file, ": ", text.size(), " bytes; at most ", kMaxConfigBytes));
  }
  auto state = std::make_unique<State>();
  state->file = std::string(file);
  try {  // NOLINT(exceptions): toml++ reports bad TOML by a throw
    state->root = toml::parse(std::string(text));
    // NOLINTNEXTLINE(exceptions): it stops here
  } catch (const toml::parse_error& error) {
    const toml::source_position& at = error.source().begin;
    const auto what = error.description();
    return absl::InvalidArgumentError(
        absl::StrCat(file, ":", at.line, ":", at.column, ": ",
                     absl::string_view(what.data(), what.size())));
  }
  return TomlDocument(std::move(state));
}

TomlSection TomlDocument::Section(absl::string_view name) {
  std::string copy(name);
  state_->known[copy];
  return TomlSection(*state_, std::move(copy));
}

absl::Status TomlDocument::Finish() {
  state_->NoteUnknownSections();
  if (state_->problems.empty()) return absl::OkStatus();
  std::stable_sort(state_->problems.begin(), state_->problems.end(),
                   [](const Problem& a, const Problem& b) {
                     return std::tie(a.position.line, a.position.column) <
                            std::tie(b.position.line, b.position.column);
                   });
  std::vector<std::string> lines;
  for (const Problem& problem : state_->problems) {
    // Line 0: a section that the file does not have.
    const std::string where = problem.position.line == 0
                                  ? std::string()
                                  : absl::StrCat(":", problem.position.line,
                                                 ":", problem.position.column);
    lines.push_back(absl::StrCat(state_->file, where, ": ", problem.text));
  }
  return absl::InvalidArgumentError(absl::StrJoin(lines, "\n"));
}

std::optional<std::string> TomlSection::Text(absl::string_view key,
                                             Presence presence,
                                             TextCheck check) {
  const toml::node* node = state_->Find(name_, key, presence);
  if (node == nullptr) return std::nullopt;
  const auto* text = node->as_string();
  const absl::Status status =
      text == nullptr ? absl::InvalidArgumentError(absl::StrCat(
                            "must be a string, is ", Describe(*node)))
                      : check(text->get());
  if (status.ok()) return text->get();
  state_->Note(node->source().begin,
               absl::StrCat("[", name_, "] ", key, ": ", status.message()));
  return std::nullopt;
}

std::optional<std::vector<std::string>> TomlSection::Texts(
    absl::string_view key, Presence presence, CountRange count,
    TextCheck check) {
  const toml::node* node = state_->Find(name_, key, presence);
  if (node == nullptr) return std::nullopt;
  const auto note = [&](const toml::node& at, absl::string_view what) {
    state_->Note(at.source().begin,
                 absl::StrCat("[", name_, "] ", key, ": ", what));
  };
  const toml::array* array = node->as_array();
  if (array == nullptr) {
    note(*node,
         absl::StrCat("must be an array of strings, is ", Describe(*node)));
    return std::nullopt;
  }
  if (array->size() < count.min || array->size() > count.max) {
    note(*node, absl::StrCat("must have ", count.min, " to ", count.max,
                             " elements, has ", array->size()));
    return std::nullopt;
  }
  std::vector<std::string> texts;
  for (const toml::node& element : *array) {
    const auto* text = element.as_string();
    const absl::Status status =
        text == nullptr ? absl::InvalidArgumentError(absl::StrCat(
                              "must be strings, has ", Describe(element)))
                        : check(text->get());
    if (!status.ok()) {
      note(element, status.message());
    } else if (std::find(texts.begin(), texts.end(), text->get()) !=
               texts.end()) {
      note(element, absl::StrCat("\"", text->get(), "\" comes twice"));
    } else {
      texts.push_back(text->get());
    }
  }
  if (texts.size() != array->size()) return std::nullopt;
  return texts;
}

std::optional<int64_t> TomlSection::Integer(absl::string_view key,
                                            Presence presence,
                                            IntegerRange range) {
  const toml::node* node = state_->Find(name_, key, presence);
  if (node == nullptr) return std::nullopt;
  const auto* number = node->as_integer();
  if (number != nullptr && number->get() >= range.min &&
      number->get() <= range.max) {
    return number->get();
  }
  state_->Note(
      node->source().begin,
      absl::StrCat("[", name_, "] ", key, ": must be an integer from ",
                   range.min, " to ", range.max, ", is ", Describe(*node)));
  return std::nullopt;
}

void TomlSection::Complain(absl::string_view what) {
  state_->Note(state_->PositionOf(name_), absl::StrCat("[", name_, "] ", what));
}

}  // namespace fairlead::config
