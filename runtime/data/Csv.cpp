#include "runtime/data/Csv.h"

#include "runtime/core/Error.h"

#include <fmt/format.h>

#include <utility>

namespace moec::data {

namespace {

bool isBlank(char c) { return c == ' ' || c == '\t'; }

} // namespace

CsvReader::CsvReader(std::string_view text, char separator, std::string where) : text_(text), separator_(separator), where_(std::move(where)) {
  if (text_.starts_with("\xEF\xBB\xBF"))
    at_ = 3;
}

void CsvReader::skipLine() {
  while (at_ < text_.size() && text_[at_] != '\n')
    ++at_;
  if (at_ < text_.size()) {
    ++at_;
    ++line_;
  }
}

/// Up to the separator or the line's end.
void CsvReader::cell(std::string& cell) {
  auto wrong = [&](const std::string& what) { return Error(Fault::Data, fmt::format("{}:{}: {}", where_, line_, what)); };
  auto skipBlanks = [&] {
    while (at_ < text_.size() && isBlank(text_[at_]) && text_[at_] != separator_)
      ++at_;
  };
  auto ends = [&] {
    return at_ == text_.size() || text_[at_] == separator_ || text_[at_] == '\n' || (text_[at_] == '\r' && (at_ + 1 == text_.size() || text_[at_ + 1] == '\n'));
  };
  skipBlanks();
  if (at_ < text_.size() && text_[at_] == '"') {
    const size_t begin = at_;
    const int64_t opened = line_;
    for (++at_;; ++at_) {
      if (at_ == text_.size()) { // where it should have ended nobody knows: its own line is bad, and no other
        at_ = begin;
        line_ = opened;
        throw wrong("a quote is not closed");
      }
      if (text_[at_] == '"') {
        if (at_ + 1 == text_.size() || text_[at_ + 1] != '"')
          break;
        ++at_;
      }
      line_ += text_[at_] == '\n';
      cell.push_back(text_[at_]);
    }
    ++at_;
    skipBlanks();
    if (!ends())
      throw wrong("something stands behind a closing quote; quotes inside of quotes are doubled");
    return;
  }
  for (; !ends(); ++at_) {
    if (text_[at_] == '"')
      throw wrong("a quote inside a cell that does not begin with one");
    if (text_[at_] == '\0')
      throw wrong("a NUL byte; is this a table in text?");
    if (text_[at_] == '\r')
      throw wrong("a carriage return inside a line");
    cell.push_back(text_[at_]);
  }
  while (!cell.empty() && isBlank(cell.back()))
    cell.pop_back();
}

bool CsvReader::next(CsvLine& line) {
  line.cells.clear();
  line.line = line_;
  if (text_.find_first_not_of(" \t\r\n", at_) == std::string_view::npos)
    return false;
  try {
    do
      cell(line.cells.emplace_back());
    while (at_ < text_.size() && text_[at_] == separator_ && ++at_ <= text_.size());
  } catch (const Error&) {
    skipLine();
    throw;
  }
  skipLine();
  return true;
}

} // namespace moec::data
