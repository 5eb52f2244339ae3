#include "runtime/data/tokenizers/Normalizers.h"

#include "runtime/core/Base64.h"
#include "runtime/core/Error.h"
#include "runtime/core/Utf8.h"
#include "runtime/data/tokenizers/ByteLevel.h"
#include "runtime/data/tokenizers/Charsmap.h"
#include "runtime/data/tokenizers/Kinds.h"
#include "runtime/data/tokenizers/Pattern.h"
#include "runtime/data/tokenizers/Unicode.h"

#include <memory>
#include <vector>

namespace moec::data {
namespace {

/// Each character becomes what `change` appends for it.
template <class Change> void eachCharacter(Normalized& text, Change change) {
  std::string result;
  result.reserve(text.text.size());
  for (std::string_view rest = text.text; !rest.empty();) {
    Utf8Character character = firstCharacter(rest);
    change(result, character.code, rest.substr(0, character.bytes));
    rest.remove_prefix(character.bytes);
  }
  text.text = std::move(result);
}

/// The same for characters that stay or go.
template <class Keeps> void filter(Normalized& text, Keeps keeps) {
  if (!text.text.empty() && !keeps(firstCharacter(text.text).code))
    text.atStart = false;
  eachCharacter(text, [&](std::string& result, char32_t code, std::string_view bytes) {
    if (keeps(code))
      result += bytes;
  });
}

template <NormalForm Form> Normalizer form(const JsonPlace& json) {
  json.onlyKeys({"type"});
  return [](Normalized& text) { text.text = normalForm(text.text, Form); };
}

void lower(Normalized& text) {
  eachCharacter(text, [](std::string& result, char32_t code, std::string_view) { appendLower(result, code); });
}

Normalizer lowercase(const JsonPlace& json) {
  json.onlyKeys({"type"});
  return lower;
}

Normalizer stripAccents(const JsonPlace& json) {
  json.onlyKeys({"type"});
  return [](Normalized& text) { filter(text, [](char32_t code) { return !isMark(code); }); };
}

Normalizer strip(const JsonPlace& json) {
  json.onlyKeys({"type", "strip_left", "strip_right"});
  bool left = json.at("strip_left").boolean(), right = json.at("strip_right").boolean();
  return [=](Normalized& text) {
    size_t begin = 0, end = text.text.size();
    while (left && begin < end) {
      Utf8Character character = firstCharacter(std::string_view(text.text).substr(begin));
      if (!isSpace(character.code))
        break;
      begin += character.bytes;
    }
    while (right && end > begin) {
      size_t last = end - 1;
      while (last > begin && (static_cast<uint8_t>(text.text[last]) & 0xC0) == 0x80)
        --last;
      if (!isSpace(firstCharacter(std::string_view(text.text).substr(last)).code))
        break;
      end = last;
    }
    text.atStart = text.atStart && begin == 0;
    text.text = text.text.substr(begin, end - begin);
  };
}

Normalizer prepend(const JsonPlace& json) {
  json.onlyKeys({"type", "prepend"});
  return [before = json.at("prepend").string()](Normalized& text) {
    if (!text.text.empty())
      text.text.insert(0, before);
  };
}

Normalizer replace(const JsonPlace& json) {
  json.onlyKeys({"type", "pattern", "content"});
  return [pattern = std::make_shared<const Pattern>(json.at("pattern")), content = json.at("content").string()](Normalized& text) {
    std::string result;
    for (const Part& part : pattern->parts(text.text)) {
      std::string_view old = std::string_view(text.text).substr(part.begin, part.end - part.begin);
      // What takes the place of several characters belongs to the last of them.
      if (part.found && part.begin == 0 && !old.empty() && firstCharacter(old).bytes < old.size())
        text.atStart = false;
      if (part.found && part.begin == 0 && content.empty())
        text.atStart = false;
      result += part.found ? std::string_view(content) : old;
    }
    text.text = std::move(result);
  };
}

Normalizer bert(const JsonPlace& json) {
  json.onlyKeys({"type", "clean_text", "handle_chinese_chars", "strip_accents", "lowercase"});
  bool clean = json.at("clean_text").boolean(), apart = json.at("handle_chinese_chars").boolean(), lowers = json.at("lowercase").boolean();
  bool accents = json.booleanOr("strip_accents", lowers);
  auto isBlank = [](char32_t code) { return isSpace(code); };
  return [=](Normalized& text) {
    if (clean) {
      filter(text, [=](char32_t code) { return code == '\t' || code == '\n' || code == '\r' || (code != 0 && code != 0xFFFD && !isControl(code)); });
      eachCharacter(text, [=](std::string& result, char32_t code, std::string_view bytes) { result += isBlank(code) ? std::string_view(" ") : bytes; });
    }
    if (apart)
      eachCharacter(text, [](std::string& result, char32_t code, std::string_view bytes) {
        if (isCjkIdeograph(code))
          result.append(" ").append(bytes).append(" ");
        else
          result += bytes;
      });
    if (accents) {
      text.text = normalForm(text.text, NormalForm::D);
      filter(text, [](char32_t code) { return !isNonspacingMark(code); });
    }
    if (lowers)
      lower(text);
  };
}

Normalizer nmt(const JsonPlace& json) {
  json.onlyKeys({"type"});
  return [](Normalized& text) {
    filter(text, [](char32_t code) {
      return !((code >= 0x01 && code <= 0x08) || code == 0x0B || (code >= 0x0E && code <= 0x1F) || code == 0x7F || code == 0x8F || code == 0x9F);
    });
    eachCharacter(text, [](std::string& result, char32_t code, std::string_view bytes) {
      bool blank = code == 0x09 || code == 0x0A || code == 0x0C || code == 0x0D || code == 0x1680 || (code >= 0x200B && code <= 0x200F) || code == 0x2028 ||
                   code == 0x2029 || code == 0x2581 || code == 0xFEFF || code == 0xFFFD;
      result += blank ? std::string_view(" ") : bytes;
    });
  };
}

/// A whole grapheme of fewer than 6 bytes is replaced, where the table has its beginning; else its characters one by one.
Normalizer precompiled(const JsonPlace& json) {
  json.onlyKeys({"type", "precompiled_charsmap"});
  JsonPlace table = json.at("precompiled_charsmap");
  std::shared_ptr<const Charsmap> map;
  try {
    auto bytes = decodeBase64(table.string());
    if (!bytes)
      table.fail("no base64");
    map = std::make_shared<const Charsmap>(std::string_view(reinterpret_cast<const char*>(bytes->data()), bytes->size()));
  } catch (const Error&) {
    throw;
  } catch (const std::runtime_error& error) {
    table.fail(error.what());
  }
  return [map](Normalized& text) {
    std::string result;
    for (std::string_view rest = text.text; !rest.empty();) {
      std::string_view grapheme = rest.substr(0, firstGrapheme(rest));
      rest.remove_prefix(grapheme.size());
      if (grapheme.size() < 6)
        if (auto whole = map->replacement(grapheme)) {
          result += *whole;
          continue;
        }
      while (!grapheme.empty()) {
        std::string_view character = grapheme.substr(0, firstCharacter(grapheme).bytes);
        result += map->replacement(character).value_or(character);
        grapheme.remove_prefix(character.size());
      }
    }
    if (firstInvalidByte(result) != std::string::npos) // what comes behind relies on it
      throw Error(Fault::Data, "the tokenizer's table of characters (\"precompiled_charsmap\") gives what is no UTF-8");
    text.text = std::move(result);
  };
}

Normalizer byteLevel(const JsonPlace& json) {
  json.onlyKeys({"type"});
  return [](Normalized& text) { text.text = toByteLevel(text.text); };
}

Normalizer sequence(const JsonPlace& json);

const Kinds<Normalizer>& kinds() {
  static const Kinds<Normalizer> list{{"BertNormalizer", bert},
                                      {"ByteLevel", byteLevel},
                                      {"Lowercase", lowercase},
                                      {"NFC", form<NormalForm::C>},
                                      {"NFD", form<NormalForm::D>},
                                      {"NFKC", form<NormalForm::KC>},
                                      {"NFKD", form<NormalForm::KD>},
                                      {"Nmt", nmt},
                                      {"Precompiled", precompiled},
                                      {"Prepend", prepend},
                                      {"Replace", replace},
                                      {"Sequence", sequence},
                                      {"Strip", strip},
                                      {"StripAccents", stripAccents}};
  return list;
}

Normalizer sequence(const JsonPlace& json) { return sequenceOf<Normalized>(kinds(), "normalizer", json, "normalizers"); }

} // namespace

Normalizer readNormalizer(const JsonPlace& json) { return readKind(kinds(), "normalizer", json); }

} // namespace moec::data
