// Kernels of the tiny training program, as TinyKernels.cpp has those of the tiny mixture. MOEC_FAULT 1 plants an error in tiny_update.

#include "runtime/core/KernelAbi.h"
#include "runtime/core/Philox.h"

#include <cmath>

#ifndef MOEC_FAULT
#define MOEC_FAULT 0
#endif

using moec::KernelCall;

namespace {

template <class T> T* buffer(const KernelCall* call, int index) { return static_cast<T*>(call->buffers[index]); }

} // namespace

/// error[t] = x[t]·w + noise − y[t]. Buffers: x (T, D), y (T), w (D), error (T). Sizes: T, D. Streams: the noise.
extern "C" void tiny_error(const KernelCall* call, int64_t, int64_t begin, int64_t end, void*) {
  int64_t width = call->sizes[1];
  const float *x = buffer<const float>(call, 0), *w = buffer<const float>(call, 2);
  for (int64_t t = begin; t < end; ++t) {
    float sum = 0.125f * moec::uniformFloat(moec::draw(call->seed, call->streams[0], call->step, static_cast<uint64_t>(t)));
    for (int64_t d = 0; d < width; ++d)
      sum += x[t * width + d] * w[d];
    buffer<float>(call, 3)[t] = sum - buffer<const float>(call, 1)[t];
  }
}

/// Item d: gradient[d] = 2/T Σ error[t]·x[t][d]; item D: loss = 1/T Σ error². Buffers: x (T, D), error (T), gradient (D), loss []. Sizes: T, D.
extern "C" void tiny_gradient(const KernelCall* call, int64_t, int64_t begin, int64_t end, void*) {
  int64_t tokens = call->sizes[0], width = call->sizes[1];
  const float *x = buffer<const float>(call, 0), *error = buffer<const float>(call, 1);
  for (int64_t d = begin; d < end; ++d) {
    double sum = 0;
    for (int64_t t = 0; t < tokens; ++t)
      sum += static_cast<double>(error[t]) * (d < width ? 2 * x[t * width + d] : error[t]);
    buffer<float>(call, d < width ? 2 : 3)[d < width ? d : 0] = static_cast<float>(sum / static_cast<double>(tokens));
  }
}

/// In place: waiting += gradient. Buffers: gradient, waiting, waiting. Items: elements.
extern "C" void tiny_add(const KernelCall* call, int64_t, int64_t begin, int64_t end, void*) {
  for (int64_t i = begin; i < end; ++i)
    buffer<float>(call, 2)[i] = buffer<const float>(call, 1)[i] + buffer<const float>(call, 0)[i];
}

/// mean = waiting / count; waiting = 0, in place. Buffers: waiting, count i64 [], mean, waiting. Items: elements.
extern "C" void tiny_mean(const KernelCall* call, int64_t, int64_t begin, int64_t end, void*) {
  for (int64_t i = begin; i < end; ++i) {
    buffer<float>(call, 2)[i] = buffer<const float>(call, 0)[i] / static_cast<float>(*buffer<const int64_t>(call, 1));
    buffer<float>(call, 3)[i] = 0;
  }
}

/// Stage 0, one item: norm = |gradient|. Stage 1, in place: momentum = 0.9 momentum + gradient; w −= rate/√step · momentum; average = (average + w)/2.
/// Buffers: gradient, w, momentum, average, rate f64 [], step i64 [], norm [], w, momentum, average. Sizes: D.
extern "C" void tiny_update(const KernelCall* call, int64_t stage, int64_t begin, int64_t end, void*) {
  const float* gradient = buffer<const float>(call, 0);
  if (stage == 0) {
    double sum = 0;
    for (int64_t i = 0; i < call->sizes[0]; ++i)
      sum += static_cast<double>(gradient[i]) * gradient[i];
    *buffer<float>(call, 6) = static_cast<float>(std::sqrt(sum));
    return;
  }
  double rate = *buffer<const double>(call, 4) / std::sqrt(static_cast<double>(*buffer<const int64_t>(call, 5)));
  for (int64_t i = begin; i < end; ++i) {
    float momentum = 0.9f * buffer<const float>(call, 2)[i] + gradient[i] * (MOEC_FAULT == 1 && i == 3 ? 1.01f : 1.0f);
    float weight = buffer<const float>(call, 1)[i] - static_cast<float>(rate * momentum);
    buffer<float>(call, 9)[i] = (buffer<const float>(call, 3)[i] + weight) / 2;
    buffer<float>(call, 8)[i] = momentum;
    buffer<float>(call, 7)[i] = weight;
  }
}
