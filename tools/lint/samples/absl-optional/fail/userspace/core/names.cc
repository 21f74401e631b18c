#include "absl/types/optional.h"  // <- finding
absl::optional<int> Find();       // <- finding
absl::variant<int, bool> Value();  // <- finding
