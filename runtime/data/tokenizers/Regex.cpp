#define PCRE2_CODE_UNIT_WIDTH 8
#include "runtime/data/tokenizers/Regex.h"

#include "runtime/core/Error.h"
#include "runtime/core/Printable.h"
#include "runtime/core/Utf8.h"
#include "runtime/data/tokenizers/RegexSyntax.h"

#include <fmt/format.h>
#include <pcre2.h>

namespace moec::data {
namespace {

constexpr uint32_t kMatchLimit = 10'000'000;                   // steps of one match
constexpr size_t kStackStart = 32 << 10, kStackEnd = 64 << 20; // bytes, of compiled expressions

std::string errorText(int code) {
  char text[256];
  pcre2_get_error_message(code, reinterpret_cast<PCRE2_UCHAR*>(text), sizeof text);
  return text;
}

template <auto Free> struct Freed {
  template <class T> void operator()(T* pointer) const { Free(pointer); }
};

/// What a thread needs to match; an expression is shared.
struct Workspace {
  std::unique_ptr<pcre2_match_data, Freed<pcre2_match_data_free>> match{pcre2_match_data_create(1, nullptr)};
  std::unique_ptr<pcre2_match_context, Freed<pcre2_match_context_free>> context{pcre2_match_context_create(nullptr)};
  std::unique_ptr<pcre2_jit_stack, Freed<pcre2_jit_stack_free>> stack{pcre2_jit_stack_create(kStackStart, kStackEnd, nullptr)};

  Workspace() {
    if (!match || !context)
      throw Error(Fault::System, "no memory for regular expressions");
    pcre2_set_match_limit(context.get(), kMatchLimit);
    if (stack)
      pcre2_jit_stack_assign(context.get(), nullptr, stack.get());
  }
};

} // namespace

struct Regex::Code {
  std::unique_ptr<pcre2_code, Freed<pcre2_code_free>> code;
};

Regex::Regex(std::string_view pattern) : code_(std::make_unique<Code>()), pattern_(pattern) {
  std::string translated = toPcre(pattern);
  int error = 0;
  PCRE2_SIZE place = 0;
  std::unique_ptr<pcre2_compile_context, Freed<pcre2_compile_context_free>> context(pcre2_compile_context_create(nullptr));
  if (!context)
    throw Error(Fault::System, "no memory for regular expressions");
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  pcre2_set_bsr(context.get(), PCRE2_BSR_UNICODE);
  code_->code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                                  PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error, &place, context.get()));
  if (!code_->code)
    throw RegexSyntaxError(fmt::format("the regular expression \"{}\": {}", pattern, errorText(error)));
  pcre2_jit_compile(code_->code.get(), PCRE2_JIT_COMPLETE); // where it cannot, the interpreter finds the same
}

Regex::~Regex() = default;

void Regex::each(std::string_view text, const std::function<void(size_t, size_t)>& found) const {
  thread_local Workspace workspace;
  size_t from = 0, lastEnd = std::string_view::npos;
  while (from <= text.size()) {
    int count = pcre2_match(code_->code.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from, PCRE2_NO_UTF_CHECK, workspace.match.get(),
                            workspace.context.get());
    if (count == PCRE2_ERROR_NOMATCH)
      return;
    if (count < 0)
      throw Error(Fault::Data,
                  fmt::format("the regular expression \"{}\" at byte {} of a text of {} bytes: {}", printable(pattern_), from, text.size(), errorText(count)));
    const PCRE2_SIZE* place = pcre2_get_ovector_pointer(workspace.match.get());
    size_t begin = place[0], end = place[1];
    if (begin >= end && (begin > end || end == lastEnd)) { // \K can put the beginning behind the end
      from = std::max(from, end);
      from += from < text.size() ? firstCharacter(text.substr(from)).bytes : 1;
      continue;
    }
    found(begin, end);
    from = lastEnd = end;
  }
}

} // namespace moec::data
