#pragma once
// The gradient of a small weight, which is a product of many rows with as many, in runs of the rows: a stage multiplies them, each run by itself, one behind
// adds up their sums, in the runs' order, and has the epilogue. So a thread reads the rows that it made (docs/decisions/0022-shares-of-items.md), and many
// threads have work. Knows nothing of other products.

#include "codegen/analysis/ProductPlans.h"
#include "codegen/cpu/Epilogue.h"
#include "codegen/cpu/SumsOfRows.h"
#include "codegen/cpu/TotalsBeside.h"

namespace moec::codegen::cpu {

/// Whether a product is made so: of one matrix by another, both transposed, with rows and columns that are known, a depth of at least two runs or not known,
/// and sums of all runs that stay in L2. This and the runs depend on sizes alone, and so do the bits.
bool isInRuns(const MatmulPlan& plan);

/// The stages of such a product: items are (run, block of rows of the product, group of panels); then the columns of the sums
/// beside and, of several runs, blocks of rows.
void multiplyInRuns(KernelBuilder& k, const MatmulPlan& plan, const ProductSchedule& schedule, const Epilogue& epilogue, SumsBeside& beside,
                    TotalsBeside& totals);

} // namespace moec::codegen::cpu
