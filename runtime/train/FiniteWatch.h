#pragma once
// Finds the first launch of a call that leaves numbers which are not finite.

#include "runtime/core/Tensor.h"
#include "runtime/device/Device.h"

#include <functional>
#include <optional>
#include <string>

namespace moec::train {

struct NonFinite {
  int64_t count = 0, first = 0; // elements; the first that is nan or inf, or where none is the first that is -inf
  bool nanOrInf = false;        // whether one is something else than -inf
  std::string text;             // "17 of 512 elements are not finite; the first, at [3, 5], is nan"
};
/// Nothing when the leading `elements` are all finite. -1: all of the tensor's.
std::optional<NonFinite> findNonFinite(const Tensor& tensor, int64_t elements = -1);
/// "nan", "inf", "-inf".
std::string nameOfNonFinite(double value);

/// Is to be called behind every launch (Training::watch, Session::watch).
class FiniteWatch {
public:
  explicit FiniteWatch(Executable& executable) : executable_(executable) {}
  void operator()(LaunchList list, size_t index);
  /// "launch 12 of 218, 'layers.0.moe.gate' (gate: moe.matmul, moe.softmax): of its result ..". Masks are made with -inf: a launch that left nothing worse
  /// counts only when no other left anything.
  std::optional<std::string> first() const { return worse_ ? worse_ : negative_; }

private:
  Executable& executable_;
  std::optional<std::string> worse_, negative_;
};

/// A training or session is watched, as long as this lives.
template <class Watched> class Watching {
public:
  Watching(Watched& watched, FiniteWatch& watch) : watched_(watched) { watched_.watch(std::ref(watch)); }
  ~Watching() { watched_.watch({}); }
  Watching(const Watching&) = delete;
  Watching& operator=(const Watching&) = delete;

private:
  Watched& watched_;
};

} // namespace moec::train
