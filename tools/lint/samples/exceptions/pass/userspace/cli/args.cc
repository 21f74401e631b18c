// A catch is named in a comment, and try_next() is a name.
int Parse(CLI::App& app, Args args) {
  // NOLINTNEXTLINE(fl-exceptions): CLI11 reports usage errors by throwing
  try {
    app.parse(args);
  } catch (const CLI::ParseError& e) {  // NOLINT(fl-exceptions): see above
    return 2;
  }
  return try_next();
}
