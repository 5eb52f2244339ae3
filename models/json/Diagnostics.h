#pragma once
// The errors found in one file, all of them. Knows no model and never prints.

#include "models/json/Json.h"

#include <string>
#include <vector>

namespace moec::models {

class Diagnostics {
public:
  struct Entry {
    Position position;
    std::string message;
    auto operator<=>(const Entry&) const = default;
  };

  /// `file` is what messages call the text that is read.
  explicit Diagnostics(std::string file = "model.json") : file_(std::move(file)) {}
  void setFile(std::string file) { file_ = std::move(file); }
  const std::string& file() const { return file_; }

  /// The same message at the same place is kept once.
  void error(Position position, std::string message);
  bool hasErrors() const { return !entries_.empty(); }
  /// A thousand are kept, the others counted: nobody reads them, and a file may hold a million.
  bool isFull() const { return entries_.size() >= kMostKept; }
  /// By place.
  const std::vector<Entry>& entries() const { return entries_; }
  /// One line each, by place: `model.json:12:18: error: ...`. After a hundred it says how many more there are.
  std::string text() const;

private:
  static constexpr size_t kMostKept = 1000;

  std::string file_;
  size_t dropped_ = 0;
  std::vector<Entry> entries_;
};

} // namespace moec::models
