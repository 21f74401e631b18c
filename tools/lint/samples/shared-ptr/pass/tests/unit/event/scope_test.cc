TEST_CASE("a scope lets go", "[event]") {
  auto token = std::make_shared<int>(0);
  CHECK(token.use_count() == 1);
}
