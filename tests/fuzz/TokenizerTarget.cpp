// Target of libmoec_train: tokenizers.

#include "runtime/data/Tokenizer.h"
#include "tests/fuzz/Refusable.h"
#include "tests/fuzz/Targets.h"

#include <stdexcept>

namespace moec::fuzz {

bool tokenizer(Bytes bytes) {
  return refusable([&] {
    auto tokenizer = data::parseTokenizer({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, "f");
    for (const char* text : {"To be, or  not to be:\n\t'tis 1234 <s>x</s> \u00e9e\u0301 \u65e5\u672c \U0001F600.", "a", " \n"})
      refusable([&] {
        std::vector<int64_t> ids = tokenizer->encode(text);
        for (int64_t id : ids)
          if (id < 0 || id >= tokenizer->vocabulary())
            throw std::logic_error("an id outside of the vocabulary");
        tokenizer->decode(ids);
      });
    std::vector<int64_t> some;
    for (int64_t i = 0; i < 64; ++i)
      some.push_back(i * (tokenizer->vocabulary() - 1) / 63);
    refusable([&] { tokenizer->decode(some); });
  });
}

} // namespace moec::fuzz
