#pragma once
// Gates that assign by groups, within another routing, or only what a mask lets in: the cases of the CPU's and of CUDA's tests.

#include "tests/codegen/KernelCheck.h"

namespace moec::testing {

struct AssignCase {
  const char* name;
  int64_t tokens, choices, experts;
  const char* priority;
  const char* capacity = ""; // a size text; empty: none
  int64_t groups = 0;        // 0: no groups are named
  int64_t outerExperts = 0;  // 0: not within a routing; experts are of all outer ones together
  int64_t outerChoices = 1;
  bool isOuterGrouped = true;         // otherwise groups lie mixed in the outer experts' rows
  bool enters = false, stays = false; // masks: before the capacity, behind it

  int64_t rows() const { return outerExperts ? tokens * outerChoices : tokens; }
};
void PrintTo(const AssignCase& c, std::ostream* out);

std::vector<AssignCase> assignCases();

/// indices, and what else the case has, to a routing. Sizes are symbols: t and g.
ParsedKernel parseAssign(const AssignCase& c);
struct AssignInputs {
  std::vector<Tensor> tensors;
  int64_t kept;                 // rows of the outer routing, those of indices and masks that are read
  std::vector<unsigned> ragged; // indices and masks, where there is an outer routing
};
AssignInputs inputsOf(const AssignCase& c);
Bindings bindingsOf(const AssignCase& c);

} // namespace moec::testing
