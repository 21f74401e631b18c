// Declares them.
#pragma once
void LogLine(LogLevel level, absl::string_view message);
