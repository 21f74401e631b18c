// A TOML file of sections, read strictly: the caller asks for each key by name
// and type, and whatever it did not ask for is an error. Every problem is
// collected, with line and column, so that one look mends the whole file.
//
// No I/O: the text is given. The only user of toml++, which throws; nothing
// leaves this file as an exception.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace fairlead::config {

inline constexpr size_t kMaxConfigBytes = size_t{1} << 20;

enum class Presence { kRequired, kOptional };

struct IntegerRange {
  int64_t min = 0;
  int64_t max = 0;
};
struct CountRange {
  size_t min = 0;
  size_t max = 0;
};

// Says what is wrong with a text, or OK.
using TextCheck = absl::FunctionRef<absl::Status(absl::string_view text)>;

class TomlSection;

class TomlDocument {
 public:
  // `file` is put in front of every problem. INVALID_ARGUMENT with line and
  // column if the text is no TOML.
  static absl::StatusOr<TomlDocument> Parse(absl::string_view text,
                                            absl::string_view file);
  TomlDocument(TomlDocument&&) noexcept;
  TomlDocument& operator=(TomlDocument&&) noexcept;
  ~TomlDocument();

  // A section that is not in the file is one without keys. Valid as long as
  // the document.
  TomlSection Section(absl::string_view name);

  // After everything has been asked for: OK, or INVALID_ARGUMENT with each
  // problem on its own line, in the order of the file.
  absl::Status Finish();

 private:
  friend class TomlSection;
  struct State;
  explicit TomlDocument(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Each reader gives nothing if the key is absent or wrong; what is wrong has
// been noted then.
class TomlSection {
 public:
  std::optional<std::string> Text(absl::string_view key, Presence presence,
                                  TextCheck check);
  std::optional<std::vector<std::string>> Texts(absl::string_view key,
                                                Presence presence,
                                                CountRange count,
                                                TextCheck check);
  std::optional<int64_t> Integer(absl::string_view key, Presence presence,
                                 IntegerRange range);

  // A problem with the section as a whole: "[node] needs an address".
  void Complain(absl::string_view what);

 private:
  friend class TomlDocument;
  TomlSection(TomlDocument::State& state, std::string name)
      : state_(&state), name_(std::move(name)) {}

  TomlDocument::State* state_;
  std::string name_;
};

}  // namespace fairlead::config
