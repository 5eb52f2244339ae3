#pragma once
// Tables of numbers as text: RFC 4180 with a header line. Separated by commas, or by tabs in a file named *.tsv.

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace moec::data {

/// A line's cells. `line` counts from 1; a quoted cell may go over several.
struct CsvLine {
  std::vector<std::string> cells;
  int64_t line = 0;
};

/// Reads line by line. Cells are taken as they stand, without the blanks around them; in double quotes they may hold anything, quotes doubled.
class CsvReader {
public:
  /// `text` outlives the reader; `where` begins messages.
  CsvReader(std::string_view text, char separator, std::string where);

  /// False at the end; lines with nothing on them at the end of the text are none. Error(Data) "x.csv:7: ..." for a quote that is not closed or stands inside a
  /// cell, and for a NUL; the next call goes on with the line behind.
  bool next(CsvLine& line);

private:
  void cell(std::string& cell);
  void skipLine();

  std::string_view text_;
  size_t at_ = 0;
  int64_t line_ = 1;
  char separator_;
  std::string where_;
};

} // namespace moec::data
