#include "base/text.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

namespace fairlead::base {
namespace {

const std::vector<std::string> kWords = {"add", "list", "drain", "address"};

TEST_CASE("a typing error is near the word that was meant", "[base][text]") {
  CHECK(Nearest("drian", kWords) == "drain");
  CHECK(Nearest("lst", kWords) == "list");
  CHECK(Nearest("DRAIN", kWords) == "drain");
  CHECK(Nearest("addr", kWords) == "add");
  CHECK(Nearest("addre", kWords) == "address");
  CHECK(Nearest("frobnicate", kWords).empty());
  CHECK(Nearest("", kWords).empty());
  CHECK(Nearest(std::string(1000, 'a'), kWords).empty());
}

TEST_CASE("an unknown name close to one of them asks whether that is meant",
          "[base][text]") {
  CHECK(Hint("wbe", std::vector<std::string>{"api", "web"}) ==
        " (did you mean \"web\"?)");
  CHECK(Hint("web", std::vector<std::string>{"api", "mail"}) ==
        " (have: api, mail)");
  CHECK(Hint("b", std::vector<std::string>{"a", "c"}) == " (have: a, c)");
  CHECK(Hint("web", std::vector<std::string>{}) == " (have: none)");
}

TEST_CASE("a long list of names is cut", "[base][text]") {
  const std::vector<std::string> names = {
      "aaaa", "bbbb", "cccc", "dddd", "eeee", "ffff", "gggg", "hhhh", "iiii"};
  CHECK(Hint("zzzz", names) ==
        " (have: aaaa, bbbb, cccc, dddd, eeee, ffff, gggg, hhhh, ...)");
}

TEST_CASE("a quoted name is one short printable line whatever it was",
          "[base][text]") {
  CHECK(Quoted("a\n\x01\"b") == "\"a\\n\\001\\\"b\"");
  CHECK(Quoted(std::string(1000, 'x')).size() == 85);
}

}  // namespace
}  // namespace fairlead::base
