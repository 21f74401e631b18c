// Tables for people: a header line, columns as wide as their widest cell.
#pragma once

#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace fairlead::cli {

enum class Align { kLeft, kRight };

struct Column {
  std::string title;
  Align align = Align::kLeft;
  // For tables that grow while they are read.
  size_t min_width = 0;
};

class Table {
 public:
  explicit Table(std::vector<Column> columns);

  // Requires: as many cells as columns. An empty cell prints as "-".
  void Add(std::vector<std::string> cells);
  void Print(std::ostream& out) const;
  // Without the header: more of a table whose header stands already.
  void PrintRows(std::ostream& out) const;

 private:
  std::vector<size_t> Widths() const;
  void PrintLine(const std::vector<std::string>& cells,
                 const std::vector<size_t>& widths, std::ostream& out) const;

  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

// 1234567 -> "1,234,567".
std::string Thousands(int64_t number);

// `text` with '?' for each control character: what a backend said must not
// speak to the operator's terminal.
std::string Printable(absl::string_view text);

// "1 connection", "2 connections", with thousands separators.
std::string Count(int64_t number, absl::string_view singular);

}  // namespace fairlead::cli
