#include "cli/table.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace fairlead::cli {
namespace {

constexpr absl::string_view kGap = "  ";

// Code points, not bytes: close enough to columns for what we print.
size_t Width(absl::string_view text) {
  return static_cast<size_t>(std::count_if(
      text.begin(), text.end(),
      [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

std::string Pad(const std::string& cell, size_t width, Align align) {
  const std::string space(width - std::min(width, Width(cell)), ' ');
  return align == Align::kLeft ? cell + space : space + cell;
}

}  // namespace

Table::Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

void Table::Add(std::vector<std::string> cells) {
  FL_CHECK(cells.size() == columns_.size());
  for (std::string& cell : cells) cell = cell.empty() ? "-" : Printable(cell);
  rows_.push_back(std::move(cells));
}

void Table::Print(std::ostream& out) const {
  std::vector<std::string> titles;
  for (const Column& column : columns_) titles.push_back(column.title);
  PrintLine(titles, Widths(), out);
  PrintRows(out);
}

void Table::PrintRows(std::ostream& out) const {
  const std::vector<size_t> widths = Widths();
  for (const auto& row : rows_) PrintLine(row, widths, out);
}

std::vector<size_t> Table::Widths() const {
  std::vector<size_t> widths;
  for (size_t i = 0; i < columns_.size(); ++i) {
    size_t width = std::max(columns_[i].min_width, Width(columns_[i].title));
    for (const auto& row : rows_) width = std::max(width, Width(row[i]));
    widths.push_back(width);
  }
  return widths;
}

void Table::PrintLine(const std::vector<std::string>& cells,
                      const std::vector<size_t>& widths,
                      std::ostream& out) const {
  std::string line;
  for (size_t i = 0; i < cells.size(); ++i) {
    if (i > 0) line.append(kGap.data(), kGap.size());
    line += Pad(cells[i], widths[i], columns_[i].align);
  }
  out << absl::StripTrailingAsciiWhitespace(line) << '\n';
}

std::string Thousands(int64_t number) {
  std::string digits = absl::StrCat(number);
  const size_t first = number < 0 ? 1 : 0;
  for (size_t at = digits.size(); at > first + 3;) {
    at -= 3;
    digits.insert(at, ",");
  }
  return digits;
}

std::string Printable(absl::string_view text) {
  std::string printable(text);
  for (char& c : printable) {
    if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) c = '?';
  }
  return printable;
}

std::string Count(int64_t number, absl::string_view singular) {
  return absl::StrCat(Thousands(number), " ", singular, number == 1 ? "" : "s");
}

}  // namespace fairlead::cli
