absl::string_view Name();  // never std::string_view
// NOLINTNEXTLINE(fl-string-view): what the TOML library hands out
std::string_view FromLibrary();
