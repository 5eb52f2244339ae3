#include "compiler/cli/bench/TokenSizes.h"

#include "compiler/cli/CommandInputs.h"
#include "runtime/CallInputs.h"
#include "runtime/GateRecord.h"
#include "runtime/core/Error.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>

namespace moec::cli {

namespace {

/// Sizes of the input that are one name each, in the order of its axes.
std::vector<std::string> countingSizes(const InputInfo& input) {
  std::vector<std::string> names;
  for (const Size& size : input.shape)
    if (auto symbols = size.symbols(); symbols.size() == 1 && size.str() == symbols[0] && std::ranges::find(names, symbols[0]) == names.end())
      names.push_back(symbols[0]);
  return names;
}

[[noreturn]] void fail(int64_t tokens, const std::string& what) { throw Error(Fault::Usage, fmt::format("--tokens {}: {}", tokens, what)); }

} // namespace

const InputInfo* tokenInput(const Plan& plan) {
  for (const InputInfo& input : plan.inputs)
    if (input.list == LaunchList::Forward && !input.forLoss && !input.isDraw && !isTrainingInput(input.name) && !isChoices(input.name))
      return &input;
  return nullptr;
}

int64_t tokensOf(const Plan& plan, const Bindings& sizes) {
  const InputInfo* input = tokenInput(plan);
  int64_t tokens = 1;
  if (input)
    for (const Size& size : input->shape)
      if (!size.isConstant() && __builtin_mul_overflow(tokens, size.evaluate(sizes), &tokens))
        throw Error(Fault::Usage, fmt::format("input '{}' has more tokens than 64 bits count", input->name));
  return tokens;
}

std::string tokenWord(const Plan& plan) {
  const InputInfo* input = tokenInput(plan);
  return input && input->photo ? "picture" : "token";
}

Bindings sizesOfTokens(const Plan& plan, const Bindings& given, int64_t tokens) {
  const InputInfo* input = tokenInput(plan);
  std::vector<std::string> counting = input ? countingSizes(*input) : std::vector<std::string>();
  if (counting.empty())
    fail(tokens,
         input ? fmt::format("the model has no size that counts tokens: the shape of its input '{}' is the same in every call; leave --tokens out", input->name)
               : "the model has no input, and so no size that counts tokens; leave --tokens out");
  Bindings sizes = given;
  std::vector<std::string> left;
  for (const std::string& name : counting)
    if (!given.contains(name))
      left.push_back(name);
  if (left.empty())
    fail(tokens, fmt::format("--size says all that counts tokens: {}; leave one of them out", fmt::join(counting, ", ")));
  if (left.size() > 2)
    fail(tokens, fmt::format("which of {} shall it change? Give all but one of them with --size", fmt::join(left, ", ")));
  if (left.size() == 2)
    sizes[left.front()] = 1;
  sizes[left.back()] = 1;
  sizes = checkSizes(plan, sizes); // names that are no size of the model are refused here
  int64_t others = tokensOf(plan, sizes);
  sizes[left.back()] = tokens / others;
  if (tokens % others != 0 || tokensOf(plan, sizes) != tokens)
    fail(tokens, fmt::format("no multiple of {}, which is what the other sizes of input '{}' make: choose another number, or give --size {}=N", others,
                             input->name, left.back()));
  return sizes;
}

std::vector<int64_t> parseTokens(const std::string& text) {
  std::vector<int64_t> result;
  for (size_t begin = 0; begin <= text.size();) {
    size_t end = std::min(text.find(',', begin), text.size());
    int64_t value = 0;
    auto [last, error] = std::from_chars(text.data() + begin, text.data() + end, value);
    if (error != std::errc{} || last != text.data() + end || value < 1)
      throw Error(Fault::Usage, fmt::format("--tokens {}: \"{}\" is no positive integer; write them with commas and without blanks, as 1,8,64", text,
                                            text.substr(begin, end - begin)));
    if (std::ranges::find(result, value) != result.end())
      throw Error(Fault::Usage, fmt::format("--tokens {}: {} is given twice", text, value));
    result.push_back(value);
    begin = end + 1;
  }
  return result;
}

} // namespace moec::cli
