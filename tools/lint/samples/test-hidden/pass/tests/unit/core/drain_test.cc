TEST_CASE("a drain ends", "[core][drain]") { CHECK(text == "[.]"); }
