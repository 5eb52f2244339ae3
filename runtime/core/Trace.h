#pragma once
// What happened when and on which thread, for Chrome's and Perfetto's trace viewers. Safe to add to from any thread. Knows nothing of what is traced.

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace moec {

class Trace {
public:
  using Value = std::variant<int64_t, std::string>;
  using Arguments = std::vector<std::pair<std::string, Value>>;

  /// From its making to its end, on one thread. Of a null trace it does and costs nothing.
  class Span {
  public:
    Span(Trace* trace, std::string_view name, const char* category);
    ~Span();
    Span(const Span&) = delete;
    /// Whether anything given to add() is kept: ask before making what is costly to make.
    explicit operator bool() const { return trace_ != nullptr; }
    Span& add(const char* name, Value value);

  private:
    Trace* trace_;
    std::chrono::steady_clock::time_point begin_;
    std::string name_;
    const char* category_ = nullptr;
    Arguments arguments_;
  };

  Trace();
  ~Trace();
  /// A moment of the calling thread.
  void moment(std::string_view name, const char* category, Arguments arguments);
  /// The trace as JSON in the format that the viewers read. Error(System) when the file cannot be written.
  void write(const std::filesystem::path& path) const;

private:
  struct State;
  std::unique_ptr<State> state_;
};

} // namespace moec
