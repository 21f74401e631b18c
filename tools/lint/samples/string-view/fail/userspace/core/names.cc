std::string_view Name();  // <- finding
