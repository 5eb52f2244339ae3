#pragma once
// What splits a text into pieces, which the model then takes one by one.

#include "runtime/data/tokenizers/JsonPlace.h"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace moec::data {

/// A piece of a text: what a model encodes, or a token already. None is empty.
struct Piece {
  std::string text;
  bool atStart = false; // does its first character stem from the first of the text?
  int64_t token = -1;   // the id of an added token; -1: a text
};

using PreTokenizer = std::function<void(std::vector<Piece>&)>;

/// Error(Data) that names a kind, a key or a value that is not known.
PreTokenizer readPreTokenizer(const JsonPlace& json);

} // namespace moec::data
