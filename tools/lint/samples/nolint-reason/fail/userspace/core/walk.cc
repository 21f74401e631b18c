int Walk();  // NOLINT
