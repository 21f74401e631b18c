int Parse(CLI::App& app, Args args) {
  try {                                 // <- finding
    app.parse(args);
  } catch (const CLI::ParseError& e) {  // <- finding
    throw;                              // <- finding
  }
  // A NOLINT for another rule, or without a reason, excuses nothing.
  // NOLINTNEXTLINE(fl-clock): wrong rule
  throw 1;  // <- finding
}
