#pragma once
// Where everything in a JSON text stands, read apart from moec's own parser: for tests that change one place and expect the error there.

#include <memory>
#include <string>
#include <vector>

namespace moec::test {

struct Span {
  size_t begin = 0, end = 0; // bytes
};

/// A value of a well-formed text. Objects and lists have children; those of an object have keys.
struct Node {
  Span value, key, member; // member: key and value; of the root and of lists' items, the value
  std::string name;        // the key without quotes
  std::vector<std::unique_ptr<Node>> children;
  const Node* parent = nullptr;

  const Node* find(const std::string& key) const {
    for (const auto& child : children)
      if (child->name == key)
        return child.get();
    return nullptr;
  }
};

class JsonSpans {
public:
  explicit JsonSpans(std::string text) : text_(std::move(text)) { root_ = read(nullptr); }

  const std::string& text() const { return text_; }
  const Node& root() const { return *root_; }
  std::string of(Span span) const { return text_.substr(span.begin, span.end - span.begin); }
  char first(const Node& node) const { return text_[node.value.begin]; }
  /// Every value, parents first.
  std::vector<const Node*> all() const {
    std::vector<const Node*> list{root_.get()};
    for (size_t i = 0; i < list.size(); ++i)
      for (const auto& child : list[i]->children)
        list.push_back(child.get());
    return list;
  }

private:
  void space() {
    while (at_ < text_.size() && std::string(" \n\t\r").find(text_[at_]) != std::string::npos)
      ++at_;
  }
  Span token() {
    space();
    size_t begin = at_++;
    if (text_[begin] == '"') {
      for (; text_[at_] != '"'; ++at_)
        at_ += text_[at_] == '\\';
      ++at_;
    } else {
      while (at_ < text_.size() && std::string(",:]} \n").find(text_[at_]) == std::string::npos)
        ++at_;
    }
    return {begin, at_};
  }
  char peek() {
    space();
    return text_[at_];
  }
  std::unique_ptr<Node> read(const Node* parent) {
    auto node = std::make_unique<Node>();
    node->parent = parent;
    char open = peek();
    if (open != '{' && open != '[') {
      node->member = node->value = token();
      return node;
    }
    size_t begin = at_++;
    while (peek() != '}' && text_[at_] != ']') {
      Span key{};
      if (open == '{') {
        key = token();
        peek(); // the colon
        ++at_;
      }
      node->children.push_back(read(node.get()));
      Node& child = *node->children.back();
      if (open == '{') {
        child.key = key;
        child.name = of({key.begin + 1, key.end - 1});
        child.member = {key.begin, child.value.end};
      }
      if (peek() == ',')
        ++at_;
    }
    ++at_;
    node->member = node->value = {begin, at_};
    return node;
  }

  std::string text_;
  size_t at_ = 0;
  std::unique_ptr<Node> root_;
};

} // namespace moec::test
