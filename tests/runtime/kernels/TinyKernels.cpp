// Kernels of the ABI written by hand, built into one shared object that the tests pack into programs. Needs nothing of moec but headers.
// MOEC_FAULT plants an error for the check device to find: 1 in tiny_up's arithmetic, 2 in tiny_route's order of experts.

#include "runtime/core/KernelAbi.h"
#include "runtime/core/Philox.h"

#ifndef MOEC_FAULT
#define MOEC_FAULT 0
#endif

using moec::KernelCall;

namespace {

template <class T> T* buffer(const KernelCall* call, int index) { return static_cast<T*>(call->buffers[index]); }

} // namespace

/// packed[i] = 2 w[i]. Buffers: w, packed. Sizes: count.
extern "C" void tiny_pack(const KernelCall* call, int64_t, int64_t begin, int64_t end, void*) {
  for (int64_t i = begin; i < end; ++i)
    buffer<float>(call, 1)[i] = 2 * buffer<const float>(call, 0)[i];
}

/// Expert 0 for x[t][0] < -0.5, 1 for less than 0.5, else dropped. Buffers: x (T, D), routing. Sizes: T, D. One item.
extern "C" void tiny_route(const KernelCall* call, int64_t, int64_t, int64_t, void*) {
  const float* x = buffer<const float>(call, 0);
  int64_t tokens = call->sizes[0], width = call->sizes[1];
  moec::RoutingLayout layout{2, tokens};
  int32_t* routing = buffer<int32_t>(call, 1);
  int32_t* rows = routing + layout.rowList();
  int32_t* slots = routing + layout.slots();
  int32_t count = 0;
  for (int64_t t = 0; t < tokens; ++t)
    slots[t] = rows[t] = -1;
  for (int32_t expert = 0; expert < 2; ++expert) {
    routing[expert] = count;
    for (int64_t t = 0; t < tokens; ++t) {
      float value = x[t * width];
      int32_t wanted = value < -0.5f ? 0 : value < 0.5f ? 1 : 2;
      if (MOEC_FAULT == 2 && t == 3)
        wanted = 1 - wanted;
      if (wanted == expert) {
        slots[t] = count;
        rows[count++] = static_cast<int32_t>(t);
      }
    }
  }
  routing[2] = count;
}

/// rows[r][d] = x[token(r)][d] * packed[d] * (expert + 1), by way of scratch. Buffers: x, packed, routing, rows. Sizes: T, D.
/// Items are the upper bound T of rows; those behind the last kept one do nothing.
extern "C" void tiny_up(const KernelCall* call, int64_t, int64_t begin, int64_t end, void* scratch) {
  int64_t tokens = call->sizes[0], width = call->sizes[1];
  const float* packed = buffer<const float>(call, 1);
  const int32_t* routing = buffer<const int32_t>(call, 2);
  moec::RoutingLayout layout{2, tokens};
  float* row = static_cast<float*>(scratch);
  for (int64_t r = begin; r < end && r < routing[2]; ++r) {
    const float* from = buffer<const float>(call, 0) + routing[layout.rowList() + r] * width;
    float scale = r < routing[1] ? 1 : 2;
    for (int64_t d = 0; d < width; ++d)
      row[d] = from[d] * packed[d];
    for (int64_t d = 0; d < width; ++d)
      buffer<float>(call, 3)[r * width + d] = row[d] * scale * (MOEC_FAULT == 1 && d == 1 ? 1.01f : 1.0f);
  }
}

/// y[t] = the token's row (zero when dropped) + uniform noise; then total = the sum of y, by fixed blocks of 16 tokens.
/// Buffers: rows, routing, y (T, D), total f64 [1], workspace of T/16+1 doubles. Sizes: T, D. Streams: the noise.
extern "C" void tiny_down(const KernelCall* call, int64_t stage, int64_t begin, int64_t end, void*) {
  int64_t tokens = call->sizes[0], width = call->sizes[1], blocks = (tokens + 15) / 16;
  const int32_t* slots = buffer<const int32_t>(call, 1) + moec::RoutingLayout{2, tokens}.slots();
  double* sums = buffer<double>(call, 4);
  for (int64_t block = begin; stage == 0 && block < end; ++block) {
    double sum = 0;
    for (int64_t t = block * 16; t < block * 16 + 16 && t < tokens; ++t)
      for (int64_t d = 0; d < width; ++d) {
        float value = slots[t] < 0 ? 0 : buffer<const float>(call, 0)[slots[t] * width + d];
        auto words = moec::draw(call->seed, call->streams[0], call->step, static_cast<uint64_t>(t * width + d));
        value += 0.125f * moec::uniformFloat(words);
        buffer<float>(call, 2)[t * width + d] = value;
        sum += value;
      }
    sums[block] = sum;
  }
  if (stage == 1) {
    double total = 0;
    for (int64_t block = 0; block < blocks; ++block)
      total += sums[block];
    buffer<double>(call, 3)[0] = total;
  }
}

/// y[0] = 1e-40 * 1, a denormal: tells whether the thread keeps them. Buffers: x f32 [T], y f32 [T].
extern "C" void tiny_denormal(const KernelCall* call, int64_t, int64_t begin, int64_t end, void*) {
  for (int64_t i = begin; i < end; ++i) {
    volatile float small = 1e-30f;
    buffer<float>(call, 1)[i] = small * 1e-10f * buffer<const float>(call, 0)[i];
  }
}
