#pragma once
// The picture of a roofline: kernels as points of arithmetic intensity and rate, under what the machine can do; both axes logarithmic. Text in, SVG out.

#include "runtime/bench/Roofline.h"

#include <string>
#include <vector>

namespace moec::cli {

struct RooflinePoint {
  std::string number, words;                // inside of the point, and what is shown when it is pointed at
  double flops = 0, bytes = 0, seconds = 0; // all above zero
  double share = 0;                         // of the time: its size
  bool isDouble = false;
};

/// With the roof of doubles only where points are of them, and with that of f32 only where others are.
std::string rooflineSvg(const bench::Peaks& peaks, const std::vector<RooflinePoint>& points);

} // namespace moec::cli
