// A table for people: a header line, columns as wide as their widest cell, and
// notes between the rows.
#pragma once

#include <ostream>
#include <string>
#include <vector>

namespace fairlead::agent {

class TextTable {
 public:
  explicit TextTable(std::vector<std::string> titles);

  // Requires: as many cells as titles. An empty cell prints as "-".
  void Add(std::vector<std::string> cells);
  // A line of its own below the last row.
  void AddNote(std::string text);
  void Print(std::ostream& out) const;

 private:
  struct Line {
    std::vector<std::string> cells;  // empty: a note
    std::string note;
  };
  std::vector<Line> lines_;
};

}  // namespace fairlead::agent
