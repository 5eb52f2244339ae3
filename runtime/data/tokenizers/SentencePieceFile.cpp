#include "runtime/data/tokenizers/SentencePieceFile.h"

#include "runtime/core/Error.h"
#include "runtime/data/tokenizers/Charsmap.h"

#include <fmt/format.h>

#include <cstdint>
#include <functional>
#include <stdexcept>

namespace moec::data {
namespace {

struct Field {
  uint64_t number = 0;
  uint64_t value = 0;     // of an integer
  std::string_view bytes; // of a text or a message
};

/// Calls `found` for each field of a message, in their order.
void eachField(std::string_view message, const std::function<void(const Field&)>& found) {
  size_t at = 0;
  auto fail = [&] { throw std::runtime_error(fmt::format("a damaged message of {} bytes, at byte {}", message.size(), at)); };
  auto varint = [&] {
    uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
      if (at == message.size() || shift > 63)
        fail();
      auto byte = static_cast<uint8_t>(message[at++]);
      value |= uint64_t{byte & 0x7Fu} << shift;
      if (byte < 0x80)
        return value;
    }
  };
  while (at < message.size()) {
    uint64_t key = varint();
    Field field{key >> 3, 0, {}};
    uint64_t bytes = 0;
    switch (key & 7) {
    case 0:
      field.value = varint();
      break;
    case 1:
      bytes = 8;
      break;
    case 2:
      bytes = varint();
      break;
    case 5:
      bytes = 4;
      break;
    default:
      fail();
    }
    if (bytes > message.size() - at)
      fail();
    field.bytes = message.substr(at, bytes);
    at += bytes;
    found(field);
  }
}

constexpr uint64_t kUserDefined = 4; // of a piece's types

} // namespace

SentencePieceFile inspectSentencePiece(std::string_view bytes, const std::string& name) {
  SentencePieceFile result;
  auto normalizer = [&](std::string_view message, bool ofEncoding) {
    eachField(message, [&](const Field& field) {
      if (field.number == 2 && !field.bytes.empty())
        Charsmap(field.bytes); // for its checks
      else if (field.number == 3 && ofEncoding)
        result.addsSpace = field.value != 0;
      else if (field.number == 4 && ofEncoding)
        result.joinsSpaces = field.value != 0;
    });
  };
  try {
    eachField(bytes, [&](const Field& field) {
      if (field.number == 1) {
        std::string_view text;
        uint64_t type = 1;
        eachField(field.bytes, [&](const Field& part) {
          if (part.number == 1)
            text = part.bytes;
          else if (part.number == 3)
            type = part.value;
        });
        result.newlineStandsAlone = result.newlineStandsAlone || (type == kUserDefined && text == "\n");
      } else if (field.number == 2) {
        eachField(field.bytes, [&](const Field& option) {
          if (option.number == 3)
            result.kind = option.value == 2 ? "BPE" : option.value == 3 ? "word" : option.value == 4 ? "character" : "unigram";
        });
      } else if (field.number == 3 || field.number == 5) {
        normalizer(field.bytes, field.number == 3);
      }
    });
  } catch (const Error&) {
    throw;
  } catch (const std::runtime_error& error) {
    throw Error(Fault::Data, fmt::format("{}: neither a SentencePiece model nor a tokenizer.json: {}", name, error.what()));
  }
  return result;
}

} // namespace moec::data
