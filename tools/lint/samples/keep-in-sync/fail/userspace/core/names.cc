// Keep in sync with verdict.h. <- finding
// The order must be in sync with the enum. <- finding
