#include "runtime/data/tokenizers/Pattern.h"

#include "runtime/core/Utf8.h"
#include "runtime/data/tokenizers/RegexSyntax.h"

#include <algorithm>

namespace moec::data {

Pattern::Pattern(const JsonPlace& json) {
  json.onlyKeys({"String", "Regex"});
  if (json.size() != 1)
    json.fail("expected either \"String\" or \"Regex\"");
  if (auto text = json.find("String")) {
    text_ = text->string();
    if (text_.empty())
      text->fail("an empty text is found everywhere");
    return;
  }
  JsonPlace expression = json.at("Regex");
  try {
    regex_ = std::make_shared<const Regex>(expression.string());
  } catch (const RegexSyntaxError& error) {
    expression.fail(error.what());
  }
}

std::vector<Part> Pattern::parts(std::string_view text) const {
  std::vector<Part> result;
  if (text.empty())
    return result;
  size_t last = 0;
  auto found = [&](size_t begin, size_t end) {
    if (begin > last)
      result.push_back({last, begin, false});
    result.push_back({begin, end, true});
    last = end;
  };
  if (regex_)
    regex_->each(text, found);
  else
    for (size_t at = text.find(text_); at != std::string_view::npos; at = text.find(text_, at + text_.size()))
      found(at, at + text_.size());
  if (last != text.size())
    result.push_back({last, text.size(), false});
  return result;
}

std::vector<Part> partsByCharacter(std::string_view text, const std::function<bool(char32_t)>& matches) {
  std::vector<Part> result;
  for (size_t at = 0; at < text.size();) {
    Utf8Character character = firstCharacter(text.substr(at));
    bool found = matches(character.code);
    if (found || result.empty() || result.back().found)
      result.push_back({at, at + character.bytes, found});
    else
      result.back().end = at + character.bytes;
    at += character.bytes;
  }
  return result;
}

SplitBehavior readSplitBehavior(const JsonPlace& json) {
  const std::string& word = json.string();
  if (word == "Removed")
    return SplitBehavior::Removed;
  if (word == "Isolated")
    return SplitBehavior::Isolated;
  if (word == "Contiguous")
    return SplitBehavior::Contiguous;
  if (word == "MergedWithPrevious")
    return SplitBehavior::MergedWithPrevious;
  if (word == "MergedWithNext")
    return SplitBehavior::MergedWithNext;
  json.fail(fmt::format("unknown behavior \"{}\"; known are Removed, Isolated, Contiguous, MergedWithPrevious, MergedWithNext", word));
}

std::vector<Part> join(const std::vector<Part>& parts, SplitBehavior behavior) {
  std::vector<Part> result;
  bool before = false; // did the part before match?
  switch (behavior) {
  case SplitBehavior::Removed:
    std::ranges::copy_if(parts, std::back_inserter(result), [](const Part& part) { return !part.found; });
    break;
  case SplitBehavior::Isolated:
    result = parts;
    break;
  case SplitBehavior::Contiguous:
  case SplitBehavior::MergedWithPrevious:
    for (const Part& part : parts) {
      bool together = behavior == SplitBehavior::Contiguous ? part.found == before : part.found && !before;
      if (together && !result.empty())
        result.back().end = part.end;
      else
        result.push_back(part);
      before = part.found;
    }
    break;
  case SplitBehavior::MergedWithNext:
    for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
      if (part->found && !before && !result.empty())
        result.back().begin = part->begin;
      else
        result.push_back(*part);
      before = part->found;
    }
    std::ranges::reverse(result);
    break;
  }
  std::erase_if(result, [](const Part& part) { return part.begin == part.end; });
  return result;
}

} // namespace moec::data
