#pragma once
// What `--tokens` means for a model: which of its sizes it changes. Counts only; runs nothing.

#include "runtime/core/Plan.h"

#include <string>

namespace moec::cli {

/// The input whose sizes count the tokens: the first of the model. Null when the plan has none of its own.
const InputInfo* tokenInput(const Plan& plan);
/// Tokens of a call: the product of that input's sizes that depend on the call. Nothing depends: 1.
int64_t tokensOf(const Plan& plan, const Bindings& sizes);
/// "token"; "picture" where that input is one, for the model makes tokens of it itself.
std::string tokenWord(const Plan& plan);

/// The model's sizes for so many tokens: `given` stay, and of those that count the tokens the last one left takes what is missing; one before it is 1. Sizes
/// of other inputs are as checkSizes() has them. Error(Usage) when the model has no size that counts tokens, when too many are left, or none, or they do
/// not come out.
Bindings sizesOfTokens(const Plan& plan, const Bindings& given, int64_t tokens);

/// "1,8,64" in numbers. Error(Usage) for anything but positive integers, each once.
std::vector<int64_t> parseTokens(const std::string& text);

} // namespace moec::cli
