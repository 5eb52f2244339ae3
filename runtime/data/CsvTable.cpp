#include "runtime/data/Csv.h"
#include "runtime/data/Sources.h"

#include "runtime/core/Digest.h"
#include "runtime/core/NearestName.h"
#include "runtime/core/Printable.h"
#include "runtime/data/SourceFile.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <numeric>
#include <set>

namespace moec::data {

namespace {

constexpr size_t kMostWords = 10000;
constexpr double kMostExact = 9007199254740992.0; // 2^53

/// A field of a table: columns by number.
struct Group {
  std::string name;
  std::vector<size_t> columns;
  bool list = false;   // has a size, also when it is one column
  bool floats = false; // asked for as f64
};

/// "x.3" is {"x", 3}.
std::optional<std::pair<std::string, size_t>> numbered(const std::string& column) {
  size_t dot = column.rfind('.'), number = 0;
  if (dot == std::string::npos || dot == 0)
    return std::nullopt;
  const char *begin = column.data() + dot + 1, *end = column.data() + column.size();
  auto [stop, error] = std::from_chars(begin, end, number);
  if (begin == end || stop != end || error != std::errc() || (*begin == '0' && end - begin > 1))
    return std::nullopt;
  return std::pair(column.substr(0, dot), number);
}

/// Columns x.0, x.1 .. are one field x; every other is a field of its own.
std::vector<Group> groupsOf(const std::vector<std::string>& columns, const std::string& where) {
  std::vector<Group> groups;
  std::map<std::string, std::map<size_t, size_t>> lists; // name: number: column
  for (size_t i = 0; i < columns.size(); ++i) {
    auto part = numbered(columns[i]);
    if (!part) {
      groups.push_back({columns[i], {i}, false, false});
      continue;
    }
    if (!lists.contains(part->first))
      groups.push_back({part->first, {}, true, false});
    lists[part->first][part->second] = i;
  }
  for (Group& group : groups)
    if (group.list) {
      for (size_t n = 0; const auto& [number, column] : lists[group.name]) {
        if (number != n++)
          throw Error(Fault::Data, fmt::format("{}:1: column \"{}.{}\" is missing; the columns of one field are counted from 0", where, group.name, n - 1));
        group.columns.push_back(column);
      }
      if (std::count_if(groups.begin(), groups.end(), [&](const Group& other) { return other.name == group.name; }) > 1)
        throw Error(Fault::Data, fmt::format("{}:1: there is a column \"{}\" and columns \"{}.0\" ..", where, group.name, group.name));
    }
  return groups;
}

/// "a,b,c": these columns; "pixel*": all that begin so, in their order.
std::optional<Group> listed(const std::string& name, const std::vector<std::string>& columns) {
  Group group{name, {}, true, false};
  if (name.size() > 1 && name.ends_with('*')) {
    for (size_t i = 0; i < columns.size(); ++i)
      if (columns[i].starts_with(name.substr(0, name.size() - 1)))
        group.columns.push_back(i);
  } else if (name.find(',') != std::string::npos) {
    for (size_t begin = 0; begin <= name.size();) {
      size_t end = std::min(name.find(',', begin), name.size());
      auto found = std::find(columns.begin(), columns.end(), name.substr(begin, end - begin));
      if (found == columns.end())
        return std::nullopt;
      group.columns.push_back(static_cast<size_t>(found - columns.begin()));
      begin = end + 1;
    }
  }
  return group.columns.empty() ? std::nullopt : std::optional(group);
}

/// Nothing for what is no number. Infinities and NaN are none.
std::optional<double> numberIn(const std::string& cell, bool& whole) {
  const char *begin = cell.data(), *end = begin + cell.size();
  if (begin != end && *begin == '+' && end - begin > 1 && begin[1] != '-')
    ++begin;
  double value = 0;
  auto [stop, error] = std::from_chars(begin, end, value);
  if (begin == end || stop != end || error != std::errc() || !std::isfinite(value))
    return std::nullopt;
  whole = std::all_of(begin, end, [](char c) { return (c >= '0' && c <= '9') || c == '-'; });
  return value;
}

class Table : public Dataset {
public:
  explicit Table(std::filesystem::path path) : path_(std::move(path)) {}

  void add(Group group, const CsvField& field) {
    group.floats = field.floats;
    for (size_t column : group.columns) {
      used_.push_back(column);
      kinds_.push_back(field.words.empty() ? Kind::Unknown : Kind::Words);
      vocabularies_.push_back({field.words, !field.words.empty()});
    }
    groups_.push_back(std::move(group));
  }

  void load(CsvReader& reader, const std::vector<std::string>& columns, std::string digest) {
    digest_ = std::move(digest);
    CsvLine line;
    for (bool more = true; more;) {
      try {
        if (!(more = reader.next(line)))
          break;
        values_.resize(values_.size() + used_.size());
        take(line, columns);
      } catch (const Error& error) {
        values_.resize((lines_.size() + 1) * used_.size());
        bad_.emplace(static_cast<int64_t>(lines_.size()), error.what());
      }
      lines_.push_back(line.line);
    }
    if (lines_.empty())
      throw Error(Fault::Data, fmt::format("{}: there are no records behind the header line", path_.string()));
    if (bad_.size() == lines_.size())
      throw Error(Fault::Data, bad_.begin()->second);
    sortWords();
    makeFields();
  }

  const std::vector<Field>& fields() const override { return fields_; }
  int64_t size() const override { return static_cast<int64_t>(lines_.size()); }

  void read(int64_t record, std::span<std::byte* const> fields) const override {
    if (record < 0 || record >= size())
      throw Error(Fault::Usage, fmt::format("{}: there is no record {}", path_.string(), record));
    if (auto bad = bad_.find(record); bad != bad_.end())
      throw Error(Fault::Data, bad->second);
    const double* values = values_.data() + static_cast<size_t>(record) * used_.size();
    for (size_t g = 0; g < groups_.size(); ++g)
      for (size_t i = 0; i < groups_[g].columns.size(); ++i, ++values)
        if (fields_[g].dtype == DType::I64) {
          auto value = static_cast<int64_t>(*values);
          std::memcpy(fields[g] + i * sizeof value, &value, sizeof value);
        } else {
          std::memcpy(fields[g] + i * sizeof *values, values, sizeof *values);
        }
  }

  std::string digest() const override {
    std::string parts = "csv " + digest_;
    for (size_t i = 0; i < used_.size(); ++i)
      parts += fmt::format(" {}", used_[i]);
    for (const Field& field : fields_)
      parts += fmt::format("\n{} {}", field.name, fmt::join(field.words, "\n"));
    return digestOf(parts).hex();
  }
  std::string describe() const override {
    std::string names;
    for (const Field& field : fields_)
      names += fmt::format("{}{} {}", names.empty() ? "" : ", ", field.name, moec::describe(field.dtype, field.shape));
    return fmt::format("{}: {} records of {}", path_.filename().string(), size(), names);
  }
  std::string placeOf(int64_t record) const override {
    return fmt::format("{}:{}", path_.string(), record >= 0 && record < size() ? lines_[static_cast<size_t>(record)] : 0);
  }

private:
  enum class Kind { Unknown, Whole, Real, Words };
  /// Words of a column by the number that stands for each until they are sorted.
  struct Vocabulary {
    std::vector<std::string> words;
    bool fixed = false; // those of a part seen before
    std::map<std::string, size_t, std::less<>> numbers = {};
  };

  void take(const CsvLine& line, const std::vector<std::string>& columns) {
    auto wrong = [&](const std::string& what) { return Error(Fault::Data, fmt::format("{}:{}: {}", path_.string(), line.line, what)); };
    if (line.cells.size() != columns.size())
      throw wrong(fmt::format("{} cells, but the header names {} columns", line.cells.size(), columns.size()));
    double* values = &values_[lines_.size() * used_.size()];
    for (size_t i = 0; i < used_.size(); ++i) { // first everything that may be wrong: a bad line says nothing of its columns
      const std::string& cell = line.cells[used_[i]];
      auto wrongCell = [&](const std::string& what) { return wrong(fmt::format("column \"{}\": {}", printable(columns[used_[i]]), what)); };
      if (cell.empty())
        throw wrongCell("the cell is empty");
      bool whole = false;
      std::optional<double> number = numberIn(cell, whole);
      if (kinds_[i] == Kind::Words) {
        if (number && !vocabularies_[i].fixed)
          throw wrongCell(fmt::format("{} is a number; those above are words", cell));
        if (vocabularies_[i].fixed && !numberOf(vocabularies_[i], cell))
          throw wrongCell(fmt::format("\"{}\" is no word of the data to learn from: {}", printable(cell), fmt::join(vocabularies_[i].words, ", ")));
        if (vocabularies_[i].words.size() == kMostWords && !numberOf(vocabularies_[i], cell))
          throw wrongCell(fmt::format("more than {} different words stand in it; is it text?", kMostWords));
      } else if (!number) {
        if (kinds_[i] != Kind::Unknown || groupOf(i).list || groupOf(i).floats)
          throw wrongCell(fmt::format("\"{}\" is no finite number", printable(cell)));
      } else if (whole && std::abs(*number) >= kMostExact && !groupOf(i).floats) {
        throw wrongCell(fmt::format("{} is 2^53 or more, where not every integer can be told from the next", cell));
      }
    }
    for (size_t i = 0; i < used_.size(); ++i) {
      const std::string& cell = line.cells[used_[i]];
      bool whole = false;
      std::optional<double> number = kinds_[i] == Kind::Words ? std::nullopt : numberIn(cell, whole);
      if (number) {
        values[i] = *number;
        kinds_[i] = whole && kinds_[i] != Kind::Real ? Kind::Whole : Kind::Real;
      } else {
        kinds_[i] = Kind::Words;
        values[i] = static_cast<double>(taken(vocabularies_[i], cell));
      }
    }
  }

  static std::optional<size_t> numberOf(Vocabulary& vocabulary, const std::string& word) {
    if (vocabulary.numbers.empty())
      for (size_t i = 0; i < vocabulary.words.size(); ++i)
        vocabulary.numbers.emplace(vocabulary.words[i], i);
    auto found = vocabulary.numbers.find(word);
    return found == vocabulary.numbers.end() ? std::nullopt : std::optional(found->second);
  }

  static size_t taken(Vocabulary& vocabulary, const std::string& word) {
    if (auto known = numberOf(vocabulary, word))
      return *known;
    vocabulary.words.push_back(word);
    vocabulary.numbers.emplace(word, vocabulary.words.size() - 1);
    return vocabulary.words.size() - 1;
  }

  const Group& groupOf(size_t used) const {
    size_t group = 0;
    for (; used >= groups_[group].columns.size(); ++group)
      used -= groups_[group].columns.size();
    return groups_[group];
  }

  /// Numbers of words become their places in the alphabet.
  void sortWords() {
    for (size_t i = 0; i < used_.size(); ++i) {
      Vocabulary& vocabulary = vocabularies_[i];
      if (kinds_[i] != Kind::Words || vocabulary.fixed)
        continue;
      std::vector<size_t> order(vocabulary.words.size()), places(order.size());
      std::iota(order.begin(), order.end(), size_t{0});
      std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return vocabulary.words[a] < vocabulary.words[b]; });
      for (size_t place = 0; place < order.size(); ++place)
        places[order[place]] = place;
      for (size_t row = 0; row < lines_.size(); ++row)
        if (!bad_.contains(static_cast<int64_t>(row))) {
          double& value = values_[row * used_.size() + i];
          value = static_cast<double>(places[static_cast<size_t>(value)]);
        }
      std::sort(vocabulary.words.begin(), vocabulary.words.end());
    }
  }

  void makeFields() {
    for (size_t first = 0; const Group& group : groups_) {
      size_t count = group.columns.size();
      Field field{group.name, DType::I64, {}, std::nullopt, {}};
      if (group.list)
        field.shape = {static_cast<int64_t>(count)};
      double least = 0, most = 0;
      for (size_t i = first; i < first + count; ++i) {
        if (kinds_[i] == Kind::Real || group.floats)
          field.dtype = DType::F64;
        for (size_t row = 0; row < lines_.size(); ++row) {
          least = std::min(least, values_[row * used_.size() + i]);
          most = std::max(most, values_[row * used_.size() + i]);
        }
      }
      if (kinds_[first] == Kind::Words) {
        field.words = vocabularies_[first].words;
        field.below = static_cast<int64_t>(field.words.size());
      } else if (field.dtype == DType::I64 && least >= 0) {
        field.below = static_cast<int64_t>(most) + 1;
      }
      fields_.push_back(std::move(field));
      first += count;
    }
  }

  std::filesystem::path path_;
  std::vector<Group> groups_;
  std::vector<size_t> used_; // columns, group by group; what follows is counted as these are
  std::vector<Kind> kinds_;
  std::vector<Vocabulary> vocabularies_;
  std::vector<double> values_;         // (records, used); of a bad record zeros, which count for nothing
  std::vector<int64_t> lines_;         // by record
  std::map<int64_t, std::string> bad_; // by record: its message
  std::vector<Field> fields_;
  std::string digest_;
};

struct Text {
  SourceFilePtr file;
  std::vector<uint8_t> bytes;
  CsvReader reader;
  std::vector<std::string> columns;

  explicit Text(const std::filesystem::path& path)
      : file(SourceFile::open(path)), bytes(file->readAll()),
        reader({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path.extension() == ".tsv" ? '\t' : ',', path.string()) {
    CsvLine header;
    auto wrong = [&](const std::string& what) { return Error(Fault::Data, fmt::format("{}:{}: {}", path.string(), header.line, what)); };
    if (!reader.next(header))
      throw Error(Fault::Data, fmt::format("{}: the file holds nothing but blanks", path.string()));
    columns = header.cells;
    if (columns.size() == 1 && columns[0].find_first_of(";\t|") != std::string::npos)
      throw wrong("one column; cells are separated by commas, or by tabs in a .tsv file");
    std::set<std::string> seen;
    bool numbers = true;
    for (size_t i = 0; i < columns.size(); ++i) {
      bool whole = false;
      numbers = numbers && numberIn(columns[i], whole);
      if (columns[i].empty())
        throw wrong(fmt::format("column {} has no name", i + 1));
    }
    if (numbers)
      throw wrong("the first line holds numbers; it names the columns");
    for (const std::string& column : columns)
      if (!seen.insert(column).second)
        throw wrong(fmt::format("two columns are named \"{}\"", printable(column)));
  }
};

} // namespace

std::vector<Field> listCsv(const std::filesystem::path& path) {
  Text text(path);
  std::vector<Field> fields;
  for (const Group& group : groupsOf(text.columns, path.string()))
    fields.push_back({group.name, DType::F64, group.list ? Shape{static_cast<int64_t>(group.columns.size())} : Shape{}, std::nullopt, {}});
  return fields;
}

DatasetPtr openCsv(const std::filesystem::path& path, const std::vector<CsvField>& fields) {
  if (fields.empty())
    throw Error(Fault::Usage, fmt::format("{}: no column is asked for", path.string()));
  Text text(path);
  std::vector<Group> known = groupsOf(text.columns, path.string());
  std::vector<std::string> names;
  for (const Group& group : known)
    names.push_back(group.name);
  auto table = std::make_shared<Table>(path);
  for (const CsvField& field : fields) {
    auto found = std::find(names.begin(), names.end(), field.name);
    std::optional<Group> group = found != names.end() ? known[static_cast<size_t>(found - names.begin())] : listed(field.name, text.columns);
    if (!group)
      throw Error(Fault::Data,
                  fmt::format("{}: no column \"{}\" among {}{}", path.string(), field.name, fmt::join(text.columns, ", "), didYouMean(field.name, names)));
    table->add(*group, field);
  }
  table->load(text.reader, text.columns, text.file->digest());
  return table;
}

} // namespace moec::data
