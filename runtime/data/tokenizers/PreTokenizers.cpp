#include "runtime/data/tokenizers/PreTokenizers.h"

#include "runtime/core/Utf8.h"
#include "runtime/data/tokenizers/ByteLevel.h"
#include "runtime/data/tokenizers/Kinds.h"
#include "runtime/data/tokenizers/Metaspace.h"
#include "runtime/data/tokenizers/Pattern.h"
#include "runtime/data/tokenizers/Unicode.h"

#include <memory>

namespace moec::data {
namespace {

/// Each piece that is a text becomes the parts that `split` gives for it; it may change the piece first.
template <class Split> void eachText(std::vector<Piece>& pieces, Split split) {
  std::vector<Piece> result;
  result.reserve(pieces.size());
  for (Piece& piece : pieces) {
    if (piece.token >= 0) {
      result.push_back(std::move(piece));
      continue;
    }
    std::vector<Part> parts = split(piece);
    if (parts.size() == 1 && parts[0].begin == 0 && parts[0].end == piece.text.size()) {
      result.push_back(std::move(piece));
      continue;
    }
    for (const Part& part : parts)
      result.push_back({piece.text.substr(part.begin, part.end - part.begin), piece.atStart && part.begin == 0, -1});
  }
  pieces = std::move(result);
}

PreTokenizer byCharacter(std::function<bool(char32_t)> matches, SplitBehavior behavior) {
  return [=](std::vector<Piece>& pieces) { eachText(pieces, [&](Piece& piece) { return join(partsByCharacter(piece.text, matches), behavior); }); };
}

std::vector<Part> whole(const Piece& piece) { return {{0, piece.text.size(), false}}; }

/// How GPT-2 splits: contractions, words, numbers and signs, each with one space before it, and other white space.
constexpr std::string_view kGpt2Words = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

PreTokenizer byteLevel(const JsonPlace& json) {
  json.onlyKeys({"type", "add_prefix_space", "trim_offsets", "use_regex"});
  bool space = json.at("add_prefix_space").boolean();
  std::shared_ptr<const Pattern> words;
  if (json.booleanOr("use_regex", true))
    words = std::make_shared<const Pattern>(std::make_shared<const Regex>(kGpt2Words));
  return [=](std::vector<Piece>& pieces) {
    eachText(pieces, [&](Piece& piece) {
      if (space && !piece.text.starts_with(' '))
        piece.text.insert(0, 1, ' ');
      return words ? join(words->parts(piece.text), SplitBehavior::Isolated) : whole(piece);
    });
    for (Piece& piece : pieces)
      if (piece.token < 0)
        piece.text = toByteLevel(piece.text);
  };
}

PreTokenizer split(const JsonPlace& json) {
  json.onlyKeys({"type", "pattern", "behavior", "invert"});
  auto pattern = std::make_shared<const Pattern>(json.at("pattern"));
  SplitBehavior behavior = readSplitBehavior(json.at("behavior"));
  bool invert = json.at("invert").boolean();
  return [=](std::vector<Piece>& pieces) {
    eachText(pieces, [&](Piece& piece) {
      std::vector<Part> parts = pattern->parts(piece.text);
      for (Part& part : parts)
        part.found = part.found != invert;
      return join(parts, behavior);
    });
  };
}

/// Runs of word characters, and of what is neither that nor white space.
PreTokenizer whitespace(const JsonPlace& json) {
  json.onlyKeys({"type"});
  return [](std::vector<Piece>& pieces) {
    eachText(pieces, [](Piece& piece) {
      std::vector<Part> parts;
      int before = 0;
      for (size_t at = 0; at < piece.text.size();) {
        Utf8Character character = firstCharacter(std::string_view(piece.text).substr(at));
        int kind = isWord(character.code) ? 1 : isSpace(character.code) ? 0 : 2;
        if (kind != 0 && kind == before)
          parts.back().end = at + character.bytes;
        else if (kind != 0)
          parts.push_back({at, at + character.bytes, false});
        before = kind;
        at += character.bytes;
      }
      return parts;
    });
  };
}

PreTokenizer whitespaceSplit(const JsonPlace& json) {
  json.onlyKeys({"type"});
  return byCharacter(isSpace, SplitBehavior::Removed);
}

PreTokenizer bert(const JsonPlace& json) {
  json.onlyKeys({"type"});
  return [spaces = byCharacter(isSpace, SplitBehavior::Removed), signs = byCharacter(isPunctuation, SplitBehavior::Isolated)](std::vector<Piece>& pieces) {
    spaces(pieces);
    signs(pieces);
  };
}

PreTokenizer digits(const JsonPlace& json) {
  json.onlyKeys({"type", "individual_digits"});
  return byCharacter(isNumeric, json.at("individual_digits").boolean() ? SplitBehavior::Isolated : SplitBehavior::Contiguous);
}

PreTokenizer punctuation(const JsonPlace& json) {
  json.onlyKeys({"type", "behavior"});
  auto behavior = json.find("behavior");
  return byCharacter(isPunctuation, behavior ? readSplitBehavior(*behavior) : SplitBehavior::Isolated);
}

PreTokenizer delimiter(const JsonPlace& json) {
  json.onlyKeys({"type", "delimiter"});
  return byCharacter([sign = json.at("delimiter").character()](char32_t code) { return code == sign; }, SplitBehavior::Removed);
}

PreTokenizer fixedLength(const JsonPlace& json) {
  json.onlyKeys({"type", "length"});
  auto given = json.find("length");
  int64_t length = given ? given->integer(1, INT32_MAX) : 5;
  return [=](std::vector<Piece>& pieces) {
    eachText(pieces, [&](Piece& piece) {
      std::vector<Part> parts;
      int64_t characters = 0;
      for (size_t at = 0; at < piece.text.size(); ++characters) {
        size_t end = at + firstCharacter(std::string_view(piece.text).substr(at)).bytes;
        if (characters % length == 0)
          parts.push_back({at, end, false});
        parts.back().end = end;
        at = end;
      }
      return parts;
    });
  };
}

PreTokenizer metaspace(const JsonPlace& json) {
  Metaspace options = readMetaspace(json);
  return [=](std::vector<Piece>& pieces) {
    eachText(pieces, [&](Piece& piece) {
      std::string text;
      for (char c : piece.text)
        if (c == ' ')
          text += options.replacement;
        else
          text += c;
      if (!text.starts_with(options.replacement) && (options.prepend == Metaspace::Always || (options.prepend == Metaspace::First && piece.atStart)))
        text.insert(0, options.replacement);
      piece.text = std::move(text);
      if (!options.split)
        return whole(piece);
      char32_t sign = firstCharacter(options.replacement).code;
      return join(partsByCharacter(piece.text, [=](char32_t code) { return code == sign; }), SplitBehavior::MergedWithNext);
    });
  };
}

PreTokenizer sequence(const JsonPlace& json);

const Kinds<PreTokenizer>& kinds() {
  static const Kinds<PreTokenizer> list{{"BertPreTokenizer", bert},
                                        {"ByteLevel", byteLevel},
                                        {"CharDelimiterSplit", delimiter},
                                        {"Digits", digits},
                                        {"FixedLength", fixedLength},
                                        {"Metaspace", metaspace},
                                        {"Punctuation", punctuation},
                                        {"Sequence", sequence},
                                        {"Split", split},
                                        {"Whitespace", whitespace},
                                        {"WhitespaceSplit", whitespaceSplit}};
  return list;
}

PreTokenizer sequence(const JsonPlace& json) { return sequenceOf<std::vector<Piece>>(kinds(), "pre-tokenizer", json, "pretokenizers"); }

} // namespace

PreTokenizer readPreTokenizer(const JsonPlace& json) { return readKind(kinds(), "pre-tokenizer", json); }

} // namespace moec::data
