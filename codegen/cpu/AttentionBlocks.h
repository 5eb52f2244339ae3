#pragma once
// What attention and its gradient share: keys and values of a head as panels, and the softmax of a row of scores. Knows the plan; knows no stage.

#include "codegen/analysis/ProductPlans.h"
#include "codegen/cpu/Product.h"
#include "codegen/cpu/ProductSchedule.h"

namespace moec::codegen::cpu {

/// Sizes of the packed forms of one head's keys or values (Nk, Dh): panels of keys (panel, Dh, nr), and panels of columns (panel, Nk, nr).
struct HeadPanels {
  Size keyPanels, keyElements, columnElements;
  int64_t columnPanels;

  HeadPanels(const Size& keys, int64_t headDim, int64_t nr);
};

/// Keys that one item may do all of, at most; kFewKeys it may do however few items there are.
inline constexpr int64_t kMostShortKeys = 256;

/// Whether one item does all that reads a head of keys, or all of its gradient: what it holds of rows, panels and scores stays in L2, and items are so many, or
/// so little work, that threads do not lack pieces. 1 or 0, of which a call's sizes decide where they are not known before: a kernel then has the stages of
/// both, and the ones or the others have no items. Both give the same bits.
Size isShort(const AttentionPlan& plan);
/// Of a gradient whose stage for keys has blocks of `blockKeys`: narrower ones than the cost model's are the limit of what one item does. With a gradient of
/// the bias never, for its items are not those of heads.
Size isShort(const AttentionGradPlan& gradients, int64_t blockKeys);
/// Keys of what is short, at most: as many as are known, or as L2 holds.
int64_t mostShortKeys(const AttentionPlan& plan, bool isGradient);

/// Rows of one head: (N, Dh) inside (B, N, width).
Matrix headOf(KernelBuilder& k, const AttentionPlan& plan, const Slice& slice, const Size& rows, Value batch, Value head);

/// Fetches columns [start, start + count) of row `row` of the head behind `head`, of `heads`, into L2: heads lie apart from each other, row by row, which the
/// machine does not foresee. Behind the last of `rows`, and behind the last head of the last batch, nothing that is not fetched already.
void fetchNextHead(KernelBuilder& k, const AttentionPlan& plan, const Slice& slice, const Size& rows, Value batch, Value head, int64_t heads, Value row,
                   Value start, int64_t count);
/// Takes sums of rows of a head to columns of a result.
class HeadRows final : public SumsTaker {
public:
  using PlaceOf = std::function<Value(Value row)>;               // of a row's first column, in elements
  using Made = std::function<Value(Value row, Value sums)>;      // what is stored
  using Before = std::function<void(Value row, int64_t column)>; // what else is to be fetched before the products
  HeadRows(KernelBuilder& k, DType dtype, Value base, PlaceOf placeOf, Made made, Before before = {})
      : k_(k), dtype_(dtype), base_(base), placeOf_(std::move(placeOf)), made_(std::move(made)), before_(std::move(before)) {}
  void fetch(Value panel, Value row, int64_t column) const override;
  void take(Value panel, Value row, int64_t column, Value sums) const override;

private:
  KernelBuilder& k_;
  DType dtype_;
  Value base_;
  PlaceOf placeOf_;
  Made made_;
  Before before_;
};

/// Panel `panel` of keys of a head's `rows`, into all of the head's panels.
void packKeys(KernelBuilder& k, const AttentionPlan& plan, int64_t nr, const Matrix& rows, Value panel, Value panels);
/// The rows of that panel into all of the head's panels of columns.
void packColumns(KernelBuilder& k, const AttentionPlan& plan, int64_t nr, const Matrix& rows, Value panel, Value panels);

/// scores (rows, keys [first, end)) = q (rows, Dh) times a head's keys, from their panels; `first` begins one. Where few of them stand behind the last whole
/// vector, as a class token's behind those of patches, they are multiplied from their rows `keys`, one by one: zeros stand behind them up to the vector's end.
/// `query`: of the first row. Rows of causal attention that see none of a panel are left out.
void multiplyKeys(KernelBuilder& k, const AttentionPlan& plan, const RegisterBlock& registers, Value query, Value rows, const Matrix& q, const Matrix& keys,
                  Value panels, Value first, Value end, const Matrix& scores);

/// Keys that a query sees.
Value seenBy(KernelBuilder& k, const AttentionPlan& plan, Value query);
/// The first query that sees a key.
Value firstWhoSees(KernelBuilder& k, const AttentionPlan& plan, Value key);
/// Rows of queries or keys that causal attention multiplies with what the last or the first of them sees. No schedule has a say: bits are those of as many
/// zeros where what they are multiplied with is not finite.
inline constexpr int64_t kCausalRows = 12;
/// `multiplies(first, count)` for pieces of `rows` rows: all, or of causal attention each kCausalRows.
void inCausalRows(KernelBuilder& k, const AttentionPlan& plan, Value rows, llvm::function_ref<void(Value first, Value count)> multiplies);
/// The head of k and v, among all of the batch, that serves a head of q.
Value keyHeadOf(KernelBuilder& k, const AttentionPlan& plan, Value batch, Value head);
/// Where the bias of a head's query stands; null without a bias.
Value biasOf(KernelBuilder& k, const AttentionPlan& plan, Value head, Value query);

/// Zeros in the vectors of a row up to `end` that have none of the first `seen` keys.
void zeroUnseen(KernelBuilder& k, const AttentionPlan& plan, Value row, Value seen, Value end);

/// The row's highest score, and the sum of its exponentials: one element each.
struct SoftmaxSums {
  Value most, sum;
};
/// The first `seen` of the scores as exp(scale s + bias - most), zeros up to `end`. At least one is seen. `bias`: of the row's keys, or null. With `draw`, of
/// the row's first key, the sum is of all exponentials, and those that stay are what dropout makes of them.
SoftmaxSums softmaxRow(KernelBuilder& k, const AttentionPlan& plan, Value scores, Value seen, Value end, Value bias, Value draw = {});

/// Of the draws of a dropout (B, heads, Nq, Nk), the index of a query's first one; `batchHead` counts heads of q among all of the batch. Null without dropout.
Value drawOf(KernelBuilder& k, const AttentionPlan& plan, Value batchHead, Value query);
/// What dropout multiplies the weights of a vector of keys with, from the draw of the first of them on. `inside`: which of them there are.
Value dropoutFactors(KernelBuilder& k, const AttentionPlan& plan, Value draw, Value inside);

} // namespace moec::codegen::cpu
