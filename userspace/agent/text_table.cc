#include "agent/text_table.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "base/check.h"

namespace fairlead::agent {
namespace {

constexpr size_t kGap = 2;

}  // namespace

TextTable::TextTable(std::vector<std::string> titles) {
  lines_.push_back({.cells = std::move(titles), .note = ""});
}

void TextTable::Add(std::vector<std::string> cells) {
  FL_CHECK(cells.size() == lines_.front().cells.size());
  for (std::string& cell : cells)
    if (cell.empty()) cell = "-";
  lines_.push_back({.cells = std::move(cells), .note = ""});
}

void TextTable::AddNote(std::string text) {
  lines_.push_back({.cells = {}, .note = std::move(text)});
}

void TextTable::Print(std::ostream& out) const {
  std::vector<size_t> widths(lines_.front().cells.size(), 0);
  for (const Line& line : lines_)
    for (size_t i = 0; i < line.cells.size(); ++i)
      widths[i] = std::max(widths[i], line.cells[i].size());
  for (const Line& line : lines_) {
    if (line.cells.empty()) out << std::string(kGap, ' ') << line.note;
    for (size_t i = 0; i < line.cells.size(); ++i) {
      out << line.cells[i];
      // Nothing behind the last column.
      if (i + 1 < line.cells.size())
        out << std::string(widths[i] - line.cells[i].size() + kGap, ' ');
    }
    out << "\n";
  }
}

}  // namespace fairlead::agent
