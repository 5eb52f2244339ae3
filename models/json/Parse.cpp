#include "models/json/Parse.h"

#include "models/json/Words.h"
#include "runtime/core/Printable.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <fstream>
#include <iterator>
#include <limits>
#include <set>

namespace moec::models {

namespace {

/// Follows the text one byte behind the parser's lexer, and remembers where the last token began.
class Tracker {
public:
  void consume(char c) {
    auto byte = static_cast<unsigned char>(c);
    Position here = next_;
    if (c == '\n')
      next_ = {next_.line + 1, 1};
    else if ((byte & 0xC0) != 0x80) // not inside a UTF-8 character
      ++next_.column;
    last_ = here;
    if (inString_) {
      if (escaped_)
        escaped_ = false;
      else if (c == '\\')
        escaped_ = true;
      else if (c == '"')
        inString_ = inToken_ = false;
      return;
    }
    switch (c) {
    case ' ':
    case '\t':
    case '\n':
    case '\r':
      inToken_ = false;
      return;
    case ',':
    case ':':
    case '}':
    case ']':
      // The lexer reads one byte past a number: such a byte must not hide where the number began.
      inToken_ = false;
      token_ = here;
      return;
    case '{':
    case '[':
      inToken_ = false;
      token_ = value_ = here;
      return;
    case '"':
      inString_ = true;
      token_ = value_ = here;
      return;
    default:
      if (!inToken_)
        token_ = value_ = here;
      inToken_ = true;
    }
  }

  Position value() const { return value_; }                     // where the last value or key began
  Position wrong() const { return inString_ ? last_ : token_; } // where an error in the last token is
  Position end() const { return next_; }

private:
  Position next_{1, 1}, last_{1, 1}, token_{1, 1}, value_{1, 1};
  bool inString_ = false, escaped_ = false, inToken_ = false;
};

class CountingIterator {
public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  CountingIterator(const char* at, Tracker* tracker) : at_(at), tracker_(tracker) {}
  reference operator*() const { return *at_; }
  CountingIterator& operator++() {
    tracker_->consume(*at_++);
    return *this;
  }
  CountingIterator operator++(int) {
    CountingIterator before = *this;
    ++*this;
    return before;
  }
  bool operator==(const CountingIterator& other) const { return at_ == other.at_; }
  bool operator!=(const CountingIterator& other) const { return at_ != other.at_; }

private:
  const char* at_;
  Tracker* tracker_;
};

/// The parser's events as a tree. A false result stops the parser.
class TreeBuilder {
public:
  TreeBuilder(const Tracker& tracker, Diagnostics& diagnostics) : tracker_(tracker), diagnostics_(diagnostics) {}

  bool null() { return add(Json(std::monostate{}, tracker_.value())); }
  bool boolean(bool value) { return add(Json(value, tracker_.value())); }
  bool number_integer(int64_t value) { return add(Json(value, tracker_.value())); }
  bool number_unsigned(uint64_t value) {
    if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
      return fail(tracker_.value(), fmt::format("the integer {} does not fit into 64 bits", value));
    return add(Json(static_cast<int64_t>(value), tracker_.value()));
  }
  bool number_float(double value, const std::string& text) {
    if (text.find_first_of(".eE") == std::string::npos)
      return fail(tracker_.value(), fmt::format("the integer {} does not fit into 64 bits", text.substr(0, 40)));
    return add(Json(value, tracker_.value()));
  }
  bool string(std::string& value) { return add(Json(std::move(value), tracker_.value())); }
  bool binary(std::vector<uint8_t>&) { return false; } // no such token in text
  bool start_object(size_t) { return open(Json(Json::Object{}, tracker_.value())); }
  bool start_array(size_t) { return open(Json(Json::List{}, tracker_.value())); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }

  bool key(std::string& key) {
    Frame& frame = open_.back();
    if (!frame.keys.insert(key).second)
      diagnostics_.error(tracker_.value(), fmt::format("the key {} is written twice in this object", inQuotes(key)));
    frame.key = std::move(key);
    frame.keyPosition = tracker_.value();
    return true;
  }

  template <class Exception> bool parse_error(size_t, const std::string&, const Exception& exception) {
    // "[json.exception.parse_error.101] parse error at line 1, column 9: what", or "[...406] what"
    std::string message = exception.what();
    size_t from = message.find("] ");
    message = from == std::string::npos ? message : message.substr(from + 2);
    if (size_t colon = message.find(": "); message.starts_with("parse error") && colon != std::string::npos)
      message = message.substr(colon + 2);
    if (message.size() > 300)
      message = message.substr(0, 300) + "...";
    auto says = [&](const char* words) { return message.find(words) != std::string::npos; };
    // The lexer has read one byte past a number.
    Position position = says("unexpected end of input")                                ? tracker_.end()
                        : says("unexpected number literal") || says("number overflow") ? tracker_.value()
                                                                                       : tracker_.wrong();
    return fail(position, "this is not JSON: " + printable(message));
  }

  Json take() { return std::move(root_); }

private:
  struct Frame {
    Json value;
    std::set<std::string, std::less<>> keys;
    std::string key;
    Position keyPosition;
  };

  bool fail(Position position, std::string message) {
    diagnostics_.error(position, std::move(message));
    return false;
  }
  bool open(Json container) {
    if (open_.size() >= static_cast<size_t>(kDeepest))
      return fail(container.position(), fmt::format("objects and lists are more than {} levels deep", kDeepest));
    open_.push_back({std::move(container), {}, {}, {}});
    return true;
  }
  bool close() {
    Json done = std::move(open_.back().value);
    open_.pop_back();
    return add(std::move(done));
  }
  bool add(Json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return true;
    }
    Frame& frame = open_.back();
    if (frame.value.isList())
      frame.value.list().push_back(std::move(value));
    else
      frame.value.object().push_back({std::move(frame.key), frame.keyPosition, std::move(value)});
    return true;
  }

  const Tracker& tracker_;
  Diagnostics& diagnostics_;
  std::vector<Frame> open_;
  Json root_;
};

std::string tooLarge(uintmax_t bytes) { return fmt::format("the file has {} bytes; at most {} (16 MiB) are read", bytes, kLargestText); }

} // namespace

std::optional<Json> parseJson(std::string_view text, Diagnostics& diagnostics) {
  if (text.size() > kLargestText) {
    diagnostics.error({}, tooLarge(text.size()));
    return std::nullopt;
  }
  if (text.starts_with("\xEF\xBB\xBF")) // byte order mark
    text.remove_prefix(3);
  if (text.starts_with("\xEF\xBB\xBF")) {
    diagnostics.error({1, 1}, "this is not JSON: a second byte order mark");
    return std::nullopt;
  }
  Tracker tracker;
  // To the parser a zero byte is the end, whatever comes behind it.
  if (size_t zero = text.find('\0'); zero != std::string_view::npos) {
    for (char c : text.substr(0, zero))
      tracker.consume(c);
    diagnostics.error(tracker.end(), "this is not JSON: a zero byte");
    return std::nullopt;
  }
  TreeBuilder tree(tracker, diagnostics);
  CountingIterator begin(text.data(), &tracker), end(text.data() + text.size(), &tracker);
  if (!nlohmann::json::sax_parse(begin, end, &tree) || diagnostics.hasErrors())
    return std::nullopt;
  return tree.take();
}

std::optional<std::string> readText(const std::filesystem::path& path, Diagnostics& diagnostics) {
  std::error_code code;
  if (std::filesystem::is_directory(path, code)) {
    diagnostics.error({}, "this is a folder; expected a file");
    return std::nullopt;
  }
  if (uintmax_t bytes = std::filesystem::file_size(path, code); !code && bytes > kLargestText) {
    diagnostics.error({}, tooLarge(bytes));
    return std::nullopt;
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    diagnostics.error({}, "the file cannot be opened: " + std::generic_category().message(errno));
    return std::nullopt;
  }
  // A pipe has no size: one byte past the limit tells.
  std::string text(kLargestText + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(file.gcount()));
  if (file.bad()) {
    diagnostics.error({}, "the file cannot be read");
    return std::nullopt;
  }
  if (text.size() > kLargestText) {
    diagnostics.error({}, tooLarge(text.size()));
    return std::nullopt;
  }
  return text;
}

} // namespace moec::models
