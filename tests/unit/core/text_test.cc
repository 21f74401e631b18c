#include "core/text.h"

#include <catch2/catch.hpp>

namespace fairlead::core {
namespace {

TEST_CASE("a swapped pair, a missing and a wrong letter are one edit each",
          "[core][text]") {
  CHECK(EditDistance("web", "web") == 0);
  CHECK(EditDistance("wbe", "web") == 1);
  CHECK(EditDistance("wb", "web") == 1);
  CHECK(EditDistance("wet", "web") == 1);
  CHECK(EditDistance("", "web") == 3);
  CHECK(EditDistance("mail", "web") == 4);
}

TEST_CASE("an unknown name close to one of them asks whether that is meant",
          "[core][text]") {
  CHECK(Hint("wbe", {"api", "web"}) == " (did you mean \"web\"?)");
  CHECK(Hint("web", {"api", "mail"}) == " (have: api, mail)");
  CHECK(Hint("b", {"a", "c"}) == " (have: a, c)");
  CHECK(Hint("web", {}) == " (have: none)");
}

TEST_CASE("a long list of names is cut", "[core][text]") {
  const std::vector<std::string> names = {
      "aaaa", "bbbb", "cccc", "dddd", "eeee", "ffff", "gggg", "hhhh", "iiii"};
  CHECK(Hint("zzzz", names) ==
        " (have: aaaa, bbbb, cccc, dddd, eeee, ffff, gggg, hhhh, ...)");
}

TEST_CASE("a quoted name is one short printable line whatever it was",
          "[core][text]") {
  CHECK(Quoted("a\n\x01\"b") == "\"a\\n\\001\\\"b\"");
  CHECK(Quoted(std::string(1000, 'x')).size() == 85);
}

}  // namespace
}  // namespace fairlead::core
