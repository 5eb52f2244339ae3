#include "runtime/data/tokenizers/RequireText.h"

#include "runtime/core/Error.h"
#include "runtime/core/Utf8.h"

#include <fmt/format.h>

namespace moec::data {

void requireText(std::string_view text) {
  if (size_t byte = firstInvalidByte(text); byte != std::string_view::npos)
    throw Error(Fault::Data, fmt::format("a text that is not UTF-8 at byte {}, 0x{:02x}: convert it, or take the tokenizer \"bytes\"", byte,
                                         static_cast<unsigned>(static_cast<uint8_t>(text[byte]))));
}

void requireId(int64_t id, int64_t vocabulary) {
  if (id < 0 || id >= vocabulary)
    throw Error(Fault::Usage, fmt::format("token {}: the tokenizer's ids lie from 0 to {}", id, vocabulary - 1));
}

} // namespace moec::data
