#pragma once
// The functions that gradient rules are tried on: one table, every op with a rule in it.

#include <ostream>
#include <string>
#include <vector>

namespace moec::testing {

/// A function of one result. In its texts t(3, batch)i32 is a tensor type, f64 without a dtype, and r(4, t, 2) the routing of 4 experts, t tokens and 2
/// choices. Attributes of an argument say what is drawn for it, otherwise numbers in (-2, 2), all of a case apart from each other and from zero:
///   moe.below = n     integers in [0, n)
///   moe.positive      numbers in (0.5, 2)
///   moe.small         whole numbers in [-3, 3], which sums and products of a few keep exact in every dtype; the case's differences then take whole steps
struct GradientCase {
  std::string op;                      // that it is for
  std::string name;                    // what is special
  std::string arguments, result, body; // body defines %y
};
inline void PrintTo(const GradientCase& one, std::ostream* stream) { *stream << one.name; }

/// Sizes that symbols have in all cases.
inline const std::vector<std::pair<std::string, int64_t>> kGradientSizes = {{"batch", 2}, {"t", 5}, {"n", 4}, {"m", 3}};

std::vector<GradientCase> gradientCases();

/// The module of a case with its function @f, in the dialect's own syntax.
std::string moduleText(const GradientCase& one);

} // namespace moec::testing
