#include "runtime/data/tokenizers/Decoders.h"

#include "runtime/core/Utf8.h"
#include "runtime/data/tokenizers/ByteLevel.h"
#include "runtime/data/tokenizers/Kinds.h"
#include "runtime/data/tokenizers/Metaspace.h"
#include "runtime/data/tokenizers/Pattern.h"

#include <charconv>
#include <memory>

namespace moec::data {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD"; // U+FFFD

std::string replaced(std::string_view text, std::string_view old, std::string_view by) {
  std::string result;
  for (size_t at = 0;;) {
    size_t found = old.empty() ? std::string_view::npos : text.find(old, at);
    result += text.substr(at, found - at);
    if (found == std::string_view::npos)
      return result;
    result += by;
    at = found + old.size();
  }
}

Decoder byteLevel(const JsonPlace& json) {
  json.onlyKeys({"type", "add_prefix_space", "trim_offsets", "use_regex"});
  return [](std::vector<std::string>& texts) {
    std::string bytes;
    for (const std::string& text : texts)
      bytes += fromByteLevel(text).value_or(text);
    texts = {withReplacements(bytes)};
  };
}

/// The byte of "<0x0A>".
std::optional<char> byteOf(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token.back() != '>')
    return {};
  std::string_view digits = token.substr(3, 2);
  if (digits[0] == '+') // a sign in front of a digit, as the original reads it
    digits.remove_prefix(1);
  unsigned value = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
  if (error != std::errc() || end != digits.data() + digits.size())
    return {};
  return static_cast<char>(value);
}

Decoder byteFallback(const JsonPlace& json) {
  json.onlyKeys({"type"});
  return [](std::vector<std::string>& texts) {
    std::vector<std::string> result;
    std::string bytes;
    auto flush = [&] {
      if (firstInvalidByte(bytes) == std::string::npos)
        result.push_back(bytes);
      else
        result.insert(result.end(), bytes.size(), std::string(kReplacement));
      bytes.clear();
    };
    for (std::string& text : texts) {
      if (auto byte = byteOf(text)) {
        bytes += *byte;
        continue;
      }
      if (!bytes.empty())
        flush();
      result.push_back(std::move(text));
    }
    if (!bytes.empty())
      flush();
    texts = std::move(result);
  };
}

Decoder fuse(const JsonPlace& json) {
  json.onlyKeys({"type"});
  return [](std::vector<std::string>& texts) {
    std::string all;
    for (const std::string& text : texts)
      all += text;
    texts = {all};
  };
}

Decoder strip(const JsonPlace& json) {
  json.onlyKeys({"type", "content", "start", "stop"});
  json.at("content").character();
  std::string sign = json.at("content").string();
  int64_t start = json.at("start").integer(0, INT32_MAX), stop = json.at("stop").integer(0, INT32_MAX);
  return [=](std::vector<std::string>& texts) {
    for (std::string& text : texts) {
      std::string_view rest = text;
      for (int64_t i = 0; i < start && rest.starts_with(sign); ++i)
        rest.remove_prefix(sign.size());
      for (int64_t i = 0; i < stop && rest.ends_with(sign); ++i)
        rest.remove_suffix(sign.size());
      text = std::string(rest);
    }
  };
}

Decoder replace(const JsonPlace& json) {
  json.onlyKeys({"type", "pattern", "content"});
  return [pattern = std::make_shared<const Pattern>(json.at("pattern")), content = json.at("content").string()](std::vector<std::string>& texts) {
    for (std::string& text : texts) {
      std::string result;
      for (const Part& part : pattern->parts(text))
        result += part.found ? std::string_view(content) : std::string_view(text).substr(part.begin, part.end - part.begin);
      text = std::move(result);
    }
  };
}

Decoder metaspace(const JsonPlace& json) {
  Metaspace options = readMetaspace(json);
  return [=](std::vector<std::string>& texts) {
    for (size_t i = 0; i < texts.size(); ++i)
      texts[i] = replaced(texts[i], options.replacement, i == 0 && options.prepend != Metaspace::Never ? "" : " ");
  };
}

Decoder wordPiece(const JsonPlace& json) {
  json.onlyKeys({"type", "prefix", "cleanup"});
  std::string prefix = json.at("prefix").string();
  bool cleanup = json.at("cleanup").boolean();
  return [=](std::vector<std::string>& texts) {
    for (size_t i = 0; i < texts.size(); ++i) {
      std::string& text = texts[i];
      if (i > 0)
        text = text.starts_with(prefix) ? text.substr(prefix.size()) : " " + text;
      if (!cleanup)
        continue;
      constexpr std::pair<std::string_view, std::string_view> kJoined[] = {{" .", "."},   {" ?", "?"},     {" !", "!"},    {" ,", ","},
                                                                           {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},  {" do not", " don't"},
                                                                           {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
      for (auto [old, by] : kJoined)
        text = replaced(text, old, by);
    }
  };
}

Decoder bpe(const JsonPlace& json) {
  json.onlyKeys({"type", "suffix"});
  return [suffix = json.at("suffix").string()](std::vector<std::string>& texts) {
    for (size_t i = 0; i < texts.size(); ++i)
      texts[i] = replaced(texts[i], suffix, i + 1 == texts.size() ? "" : " ");
  };
}

Decoder sequence(const JsonPlace& json);

const Kinds<Decoder>& kinds() {
  static const Kinds<Decoder> list{{"BPEDecoder", bpe},      {"ByteFallback", byteFallback}, {"ByteLevel", byteLevel}, {"Fuse", fuse},
                                   {"Metaspace", metaspace}, {"Replace", replace},           {"Sequence", sequence},   {"Strip", strip},
                                   {"WordPiece", wordPiece}};
  return list;
}

Decoder sequence(const JsonPlace& json) { return sequenceOf<std::vector<std::string>>(kinds(), "decoder", json, "decoders"); }

} // namespace

Decoder readDecoder(const JsonPlace& json) { return readKind(kinds(), "decoder", json); }

} // namespace moec::data
