#pragma once
// The errors found in one file, all of them. Knows no model and never prints.

#include "models/json/Json.h"

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace moec::models {

class Diagnostics {
public:
  struct Entry {
    Position position;
    std::string message;
    std::vector<Position> also = {}; // where the same name leads to the same message
  };

  /// `file` is what messages call the text that is read.
  explicit Diagnostics(std::string file = "model.json") : file_(std::move(file)) {}
  void setFile(std::string file) { file_ = std::move(file); }
  const std::string& file() const { return file_; }

  /// The same message at the same place is kept once, and so is what one name leads to at several places. Where the value at the place came in by a name,
  /// the message says where that is defined.
  void error(Position position, std::string message);
  /// The value at `use` is or was computed from the value of a name, which stands at `definition`.
  void noteName(Position use, std::string_view name, Position definition);
  bool hasErrors() const { return !entries_.empty(); }
  /// A thousand are kept, the others counted: nobody reads them, and a file may hold a million.
  bool isFull() const { return entries_.size() >= kMostKept; }
  /// By place.
  const std::vector<Entry>& entries() const { return entries_; }
  /// One line each, by place: `model.json:12:18: error: ...`. After a hundred it says how many more there are.
  std::string text() const;

private:
  static constexpr size_t kMostKept = 1000, kMostNames = 100000;
  struct Name {
    std::string name;
    Position definition;
  };

  /// Of the value at `use`, the names that it came by: its own first, then those of their values.
  std::vector<Name> namesOf(Position use) const;
  void keep(Entry entry);

  std::string file_;
  size_t dropped_ = 0;
  std::vector<Entry> entries_;
  std::map<Position, std::vector<Name>> names_; // by use
};

} // namespace moec::models
