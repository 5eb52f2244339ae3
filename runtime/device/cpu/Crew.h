#pragma once
// Threads of moec's own that make calls beside the thread that asks for them. Knows nothing of items.

#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

namespace moec {

/// Bytes that lie apart what different threads write: two lines, as what fetches ahead takes them in pairs.
inline constexpr size_t kApart = 128;

class Crew {
public:
  /// So many threads beside the caller's. std::system_error when the machine starts no more.
  explicit Crew(int threads);
  ~Crew();
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

  /// call(context, 0) on the calling thread and call(context, i) on its i-th own, for i < count. Ends when all have ended. Callers in several threads take
  /// turns.
  using Call = void (*)(void* context, int index) noexcept;
  void run(int count, Call call, void* context);

private:
  class Member;
  std::mutex turn_;
  std::vector<std::unique_ptr<Member>> members_;
};

} // namespace moec
