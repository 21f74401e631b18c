#include <optional>
std::optional<int> Find();
std::variant<int, bool> Value();
