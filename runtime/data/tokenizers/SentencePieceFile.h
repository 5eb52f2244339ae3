#pragma once
// What moec must know of a SentencePiece model's bytes (a protocol buffer) beyond what the library tells, and whether the library can be trusted with them.

#include <string>
#include <string_view>

namespace moec::data {

struct SentencePieceFile {
  std::string kind = "unigram";    // "unigram", "BPE", "word", "character"
  bool addsSpace = true;           // in front of every text
  bool joinsSpaces = true;         // runs of them, and those at the ends
  bool newlineStandsAlone = false; // "\n" is a piece that is never part of another
};

/// Error(Data) that names `name` for bytes that are no such message, and for tables of characters that lead out of themselves: the library follows them
/// unchecked.
SentencePieceFile inspectSentencePiece(std::string_view bytes, const std::string& name);

} // namespace moec::data
