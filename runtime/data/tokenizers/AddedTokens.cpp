#include "runtime/data/tokenizers/AddedTokens.h"

#include "runtime/core/Utf8.h"
#include "runtime/data/tokenizers/Unicode.h"

#include <algorithm>

namespace moec::data {
namespace {

/// Where the last character of a text that is not empty begins.
size_t lastCharacter(std::string_view text) {
  size_t at = text.size() - 1;
  while (at > 0 && (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80)
    --at;
  return at;
}

bool endsWithWord(std::string_view text) { return !text.empty() && isWord(firstCharacter(text.substr(lastCharacter(text))).code); }
bool beginsWithWord(std::string_view text) { return !text.empty() && isWord(firstCharacter(text).code); }

size_t withoutSpaceAtEnd(std::string_view text) {
  while (!text.empty()) {
    size_t last = lastCharacter(text);
    if (!isSpace(firstCharacter(text.substr(last)).code))
      break;
    text = text.substr(0, last);
  }
  return text.size();
}

size_t spaceAtBeginning(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    Utf8Character character = firstCharacter(text.substr(at));
    if (!isSpace(character.code))
      break;
    at += character.bytes;
  }
  return at;
}

} // namespace

AddedTokens::AddedTokens(const JsonPlace& json, const Vocabulary& model, const Normalizer& normalizer) {
  std::vector<std::pair<std::string, int64_t>> raw, normalized;
  for (size_t i = 0; i < json.list().size(); ++i) {
    JsonPlace entry = json.at(i);
    entry.onlyKeys({"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"});
    Token token;
    token.content = entry.at("content").string();
    if (token.content.empty())
      continue;
    token.id = entry.at("id").integer(0, kLargestId);
    token.singleWord = entry.at("single_word").boolean();
    token.leftSpace = entry.at("lstrip").boolean();
    token.rightSpace = entry.at("rstrip").boolean();
    if (auto own = model.id(token.content); own && *own != token.id)
      entry.fail(fmt::format("\"{}\" has the id {} here and {} in the model's vocabulary", token.content, token.id, *own));
    if (const std::string* other = model.token(token.id); other && *other != token.content)
      entry.fail(fmt::format("\"{}\" has the id {}, which the model's vocabulary has for \"{}\"", token.content, token.id, *other));
    if (byId_.contains(token.id) || byContent_.contains(token.content))
      entry.fail(fmt::format("a second token \"{}\" or id {}", token.content, token.id));
    token.seen = token.content;
    bool normal = entry.at("normalized").boolean();
    if (normal && normalizer) {
      Normalized text{token.content};
      normalizer(text);
      token.seen = text.text;
    }
    if (token.seen.empty())
      entry.fail(fmt::format("nothing is left of \"{}\" after normalizing", token.content));
    auto& texts = normal ? normalized : raw;
    if (std::ranges::any_of(texts, [&](const auto& other) { return other.first == token.seen; }))
      entry.fail(fmt::format("\"{}\" is \"{}\" after normalizing, as another token is", token.content, token.seen));
    texts.emplace_back(token.seen, static_cast<int64_t>(tokens_.size()));
    if (entry.at("special").boolean())
      special_.insert(token.content);
    byContent_[token.content] = byId_[token.id] = tokens_.size();
    end_ = std::max(end_, token.id + 1);
    tokens_.push_back(std::move(token));
  }
  if (!raw.empty())
    raw_.emplace(std::move(raw));
  if (!normalized.empty())
    normalized_.emplace(std::move(normalized));
}

std::vector<Piece> AddedTokens::split(std::string_view text, const Normalizer& normalizer) const {
  std::vector<Piece> result;
  for (Piece& piece : splitBy(raw_, text, true)) {
    if (piece.token >= 0) {
      result.push_back(std::move(piece));
      continue;
    }
    Normalized inner{std::move(piece.text), piece.atStart};
    if (normalizer)
      normalizer(inner);
    for (Piece& part : splitBy(normalized_, inner.text, inner.atStart))
      result.push_back(std::move(part));
  }
  return result;
}

/// Of tokens that begin at one place the longest is found; behind it the search goes on.
std::vector<Piece> AddedTokens::splitBy(const std::optional<ByteTrie>& trie, std::string_view text, bool atStart) const {
  std::vector<Piece> result;
  auto add = [&](size_t begin, size_t end) {
    if (begin < end)
      result.push_back({std::string(text.substr(begin, end - begin)), atStart && begin == 0, -1});
  };
  size_t done = 0;
  for (size_t at = 0; trie && at < text.size();) {
    size_t bytes = 0;
    const Token* token = nullptr;
    trie->prefixes(text.substr(at), [&](size_t length, int64_t number) {
      bytes = length;
      token = &tokens_[static_cast<size_t>(number)];
    });
    if (!token) {
      ++at;
      continue;
    }
    size_t begin = at, end = at + bytes;
    at = end;
    if (token->singleWord && (endsWithWord(text.substr(0, begin)) || beginsWithWord(text.substr(end))))
      continue;
    if (token->leftSpace)
      begin = std::max(withoutSpaceAtEnd(text.substr(0, begin)), done);
    if (token->rightSpace)
      end += spaceAtBeginning(text.substr(end));
    add(done, begin);
    result.push_back({token->content, false, token->id});
    done = end;
  }
  add(done, text.size());
  return result;
}

const std::string* AddedTokens::text(int64_t id) const {
  auto found = byId_.find(id);
  return found == byId_.end() ? nullptr : &tokens_[found->second].seen;
}

std::optional<int64_t> AddedTokens::id(const std::string& content) const {
  auto found = byContent_.find(content);
  return found == byContent_.end() ? std::nullopt : std::optional(tokens_[found->second].id);
}

} // namespace moec::data
