#include "runtime/data/TextRecords.h"

#include "runtime/data/Text.h"

#include "runtime/core/Digest.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <tuple>

namespace moec::data {

namespace {

constexpr int64_t kMost = 256, kWithoutRule = 128, kFurthest = int64_t{1} << 20;

/// What the rules that are about this symbol alone say: the largest value of [1, most] that keeps to them; 0 where none does; nothing where none has an upper
/// end.
std::optional<int64_t> largest(const std::string& symbol, const std::vector<SizeRule>& rules, int64_t most) {
  std::vector<const SizeRule*> about;
  bool isLimited = false;
  for (const SizeRule& rule : rules)
    if (rule.size.symbols() == std::vector<std::string>{symbol}) {
      about.push_back(&rule);
      isLimited = isLimited || rule.atMost;
    }
  auto keepsTo = [&](int64_t value) {
    return std::all_of(about.begin(), about.end(), [&](const SizeRule* rule) {
      int64_t size = rule->size.evaluate({{symbol, value}});
      return size >= rule->atLeast.value_or(size) && size <= rule->atMost.value_or(size);
    });
  };
  for (int64_t value = most; value >= 1; --value)
    if (keepsTo(value))
      return isLimited || value < most ? std::optional(value) : std::nullopt;
  return 0;
}

int64_t windowFor(const InputInfo& input, const std::vector<SizeRule>& rules, int64_t asked) {
  const Size& size = input.shape[1];
  if (auto constant = size.constant()) {
    if (asked > 0 && asked != *constant)
      throw Error(Fault::Usage, fmt::format("a window of {} tokens is asked for, but input \"{}\" takes {}", asked, input.name, *constant));
    return *constant;
  }
  if (!size.asSymbol())
    throw Error(Fault::Usage, fmt::format("input \"{}\": a text cannot tell how many tokens {} are", input.name, size.str()));
  if (asked > 0) {
    if (std::optional<int64_t> most = largest(size.str(), rules, std::min(asked, kFurthest)); most && *most < asked)
      throw Error(Fault::Usage, fmt::format("a window of {} tokens is asked for, but input \"{}\" takes at most {}", asked, input.name, *most));
    return asked;
  }
  int64_t found = largest(size.str(), rules, kMost).value_or(kWithoutRule);
  if (found == 0)
    throw Error(Fault::Usage,
                fmt::format("input \"{}\": the model's rules for {} leave no window of up to {} tokens; give one", input.name, size.str(), kMost));
  return found;
}

/// Windows of which the first part is "tokens" and the rest "targets".
class Continuations : public Dataset {
public:
  Continuations(DatasetPtr windows, int64_t first, int64_t second) : windows_(std::move(windows)) {
    const Field& tokens = windows_->fields()[0];
    fields_ = {{"tokens", DType::I64, {first}, tokens.below, {}}, {"targets", DType::I64, {second}, tokens.below, {}}};
  }

  const std::vector<Field>& fields() const override { return fields_; }
  int64_t size() const override { return windows_->size(); }
  void read(int64_t record, std::span<std::byte* const> fields) const override {
    auto all = static_cast<size_t>(windows_->fields()[0].shape[0]), first = static_cast<size_t>(fields_[0].shape[0]);
    std::vector<int64_t> window(2 * all);
    std::byte* places[] = {reinterpret_cast<std::byte*>(window.data()), reinterpret_cast<std::byte*>(window.data() + all)};
    windows_->read(record, places);
    std::memcpy(fields[0], window.data(), first * sizeof(int64_t));
    std::memcpy(fields[1], window.data() + first, (all - first) * sizeof(int64_t));
  }
  std::string digest() const override { return digestOf(fmt::format("continuations {} {}", fields_[0].shape[0], windows_->digest())).hex(); }
  std::string describe() const override { return fmt::format("{}, {} of which are to be continued", windows_->describe(), fields_[0].shape[0]); }
  std::string placeOf(int64_t record) const override { return windows_->placeOf(record); }

private:
  DatasetPtr windows_;
  std::vector<Field> fields_;
};

DatasetPtr recordsOf(std::vector<int64_t> tokens, int64_t vocabulary, const Windows& windows, int64_t stride, const std::string& name) {
  DatasetPtr records = textWindows(std::move(tokens), vocabulary, windows.tokens(), stride > 0 ? stride : windows.tokens(), name);
  return windows.second > 0 ? std::make_shared<Continuations>(std::move(records), windows.first, windows.second) : records;
}

} // namespace

Windows windowsFor(const std::vector<InputInfo>& inputs, const std::vector<SizeRule>& rules, int64_t asked) {
  std::vector<const InputInfo*> sizes; // inputs whose second sizes differ, those of the tokens first
  for (bool forTargets : {false, true})
    for (const InputInfo& input : inputs)
      if (!isFloat(input.dtype) && input.shape.size() == 2 && (input.forLoss || input.name == "targets") == forTargets &&
          std::none_of(sizes.begin(), sizes.end(), [&](const InputInfo* known) { return known->shape[1] == input.shape[1]; }))
        sizes.push_back(&input);
  if (sizes.empty())
    throw Error(Fault::Usage, "a text gives ids of tokens, but the model has no input of whole numbers with two sizes (batch, sequence)");
  if (sizes.size() > 2)
    throw Error(Fault::Usage,
                fmt::format("a text gives tokens and what continues them, but the model's inputs of ids have {} different lengths", sizes.size()));
  Windows windows{windowFor(*sizes[0], rules, asked), 0};
  if (sizes.size() == 2)
    windows.second = windowFor(*sizes[1], rules, asked);
  return windows;
}

Parts textRecords(const std::vector<int64_t>& tokens, int64_t vocabulary, const Windows& windows, int64_t stride, double share, const std::string& name) {
  auto count = static_cast<int64_t>(tokens.size());
  int64_t held = share > 0 ? static_cast<int64_t>(std::llround(share * static_cast<double>(count))) : 0;
  for (auto [part, size, isWanted] : {std::tuple("to learn from", count - held, true), {"to validate with", held, share > 0}})
    if (isWanted && size <= windows.tokens())
      throw Error(Fault::Data, fmt::format("{}: of {} tokens {} are {}, fewer than a window of {} and one; give more text, a smaller window{}", name, count,
                                           size, part, windows.tokens(), share > 0 ? ", or another share to hold out (0 for none)" : ""));
  auto middle = tokens.begin() + (count - held);
  Parts parts{recordsOf({tokens.begin(), middle}, vocabulary, windows, stride, name), nullptr};
  if (share > 0)
    parts.validation = recordsOf({middle, tokens.end()}, vocabulary, windows, 0, name);
  return parts;
}

} // namespace moec::data
