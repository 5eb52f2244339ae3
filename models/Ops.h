#pragma once
// Emits ops of the dialect at the current place of the model. A null operand gives a null result, so that an error,
// reported once, passes through. Knows shapes and dtypes, no kinds and no JSON values.

#include "ir/dialect/Moe.h"
#include "models/json/Diagnostics.h"

#include <map>

namespace moec::models {

class Ops {
public:
  /// Emits into the function's only block; parameters go before it. Where `keepsAll`, an assignment drops nobody for want
  /// of room, whatever capacity is asked for.
  Ops(mlir::func::FuncOp function, Diagnostics& diagnostics, bool drawsAsInputs, bool keepsAll = false);

  /// The path and the place in the file of the ops that follow.
  void moveTo(const std::string& path, Position position);
  mlir::MLIRContext* context() { return builder_.getContext(); }
  mlir::Type element(DType type) { return ir::elementType(type, context()); }

  /// A parameter of the model, read. `path` is its name. With `signRate`, a step of training takes that times the sign of
  /// its gradient from it, whatever the optimizer.
  mlir::Value parameter(const std::string& path, const ir::Sizes& sizes, mlir::Type element, const Init& init, std::optional<double> signRate = {});
  /// A parameter that was made before, read once more; null where there is none of that name.
  mlir::Value known(const std::string& path);
  /// A state of zeros at first, read: what it was before the call. And what it is behind it.
  mlir::Value state(const std::string& path, const ir::Sizes& sizes, mlir::Type element);
  void write(const std::string& path, mlir::Value value);
  /// The paths of all parameters of this type so far.
  std::vector<std::string> parameters(mlir::RankedTensorType type) const;
  /// Draws of the generator, or a further argument of the function where draws are inputs: one without the trailing
  /// dimensions of 1. `path` names both.
  mlir::Value random(ir::Distribution distribution, const std::string& path, const ir::Sizes& sizes, mlir::Type element);
  /// A further argument of the function, of integers in [0, below) or -1.
  mlir::Value choices(const std::string& name, const ir::Sizes& sizes, int64_t below);
  /// Values that an integer `element` holds exactly are asked for.
  mlir::Value constant(const std::vector<int64_t>& shape, llvm::ArrayRef<double> values, mlir::Type element);

  template <class Op> mlir::Value unary(mlir::Value x) { return emit(Op::getOperationName(), {x}, {}); }
  mlir::Value leakyRelu(mlir::Value x, double slope);
  mlir::Value elu(mlir::Value x, double alpha);
  template <class Op> mlir::Value binary(mlir::Value a, mlir::Value b) { return emit(Op::getOperationName(), {a, b}, {}); }
  mlir::Value add(mlir::Value a, mlir::Value b) { return binary<ir::AddOp>(a, b); }
  mlir::Value sub(mlir::Value a, mlir::Value b) { return binary<ir::SubOp>(a, b); }
  mlir::Value mul(mlir::Value a, mlir::Value b) { return binary<ir::MulOp>(a, b); }
  mlir::Value div(mlir::Value a, mlir::Value b) { return binary<ir::DivOp>(a, b); }
  mlir::Value compare(ir::Predicate predicate, mlir::Value a, mlir::Value b);
  mlir::Value where(mlir::Value condition, mlir::Value a, mlir::Value b);
  mlir::Value cast(mlir::Value x, mlir::Type to); // x itself when it is of that type

  mlir::Value reshape(mlir::Value x, const ir::Sizes& sizes); // x itself when it has that shape
  mlir::Value transpose(mlir::Value x, llvm::ArrayRef<int64_t> permutation);
  mlir::Value slice(mlir::Value x, int64_t axis, const Size& start, const Size& size);
  mlir::Value concat(llvm::ArrayRef<mlir::Value> xs, int64_t axis);
  mlir::Value broadcast(mlir::Value x, const ir::Sizes& sizes);
  mlir::Value reduce(ir::ReduceKind kind, mlir::Value x, int64_t axis);
  /// Over all dimensions, one by one from the last: [].
  mlir::Value reduceAll(ir::ReduceKind kind, mlir::Value x);
  /// A size as a number: [], or (1) where it is a constant.
  mlir::Value number(const Size& size, mlir::Type element);

  mlir::Value matmul(mlir::Value a, mlir::Value b) { return binary<ir::MatmulOp>(a, b); }
  mlir::Value layerNorm(mlir::Value x, mlir::Value weight, mlir::Value bias, double eps); // weight and bias may be null
  mlir::Value rmsNorm(mlir::Value x, mlir::Value weight, double eps);                     // weight may be null
  mlir::Value softmax(mlir::Value x) { return unary<ir::SoftmaxOp>(x); }
  mlir::Value logSumExp(mlir::Value x) { return unary<ir::LogSumExpOp>(x); }
  mlir::Value crossEntropy(mlir::Value scores, mlir::Value labels, double smoothing, int64_t ignore);
  mlir::Value isTop(mlir::Value scores, mlir::Value labels, int64_t ignore);
  struct AttentionRule {
    int64_t heads, keyHeads;
    double scale;
    bool causal = false;
    mlir::Value bias = {};  // (heads or 1, queries, keys), or null
    mlir::Value draws = {}; // (batch, heads, queries, keys), or null
    double dropout = 0;     // with draws
  };
  mlir::Value attention(mlir::Value q, mlir::Value k, mlir::Value v, const AttentionRule& rule);
  /// New tokens behind those whose keys and values are kept; causal means nothing.
  mlir::Value cachedAttention(mlir::Value q, mlir::Value k, mlir::Value v, mlir::Value keys, mlir::Value values, mlir::Value position,
                              const AttentionRule& rule);
  mlir::Value append(mlir::Value cache, mlir::Value rows, mlir::Value position);
  mlir::Value sliceAt(mlir::Value x, mlir::Value position, const Size& size);
  /// The first query stands at `position`; null: the last one at that of the last key.
  mlir::Value relativeBias(mlir::Value table, mlir::Value position, const Size& queries, const Size& keys, int64_t maxDistance, bool bidirectional);
  /// The first row stands at `position`; null: at 0.
  mlir::Value rotary(mlir::Value x, mlir::Value position, int64_t heads, double base, bool interleaved);
  mlir::Value embedding(mlir::Value ids, mlir::Value table) { return binary<ir::EmbeddingOp>(ids, table); }

  struct Selection {
    mlir::Value values, indices; // (T, k)
  };
  Selection select(mlir::Value scores, int64_t k);
  /// x (T, E) at indices (T, k); 0 at -1.
  mlir::Value take(mlir::Value x, mlir::Value indices) { return binary<ir::TakeOp>(x, indices); }
  struct Order {
    int64_t experts = 1;
    ir::Priority priority = ir::Priority::TokenMajor;
    Size groups = 1;
    std::optional<mlir::Value> keep = {};
  };
  /// How many rows come before each into its expert, the highest score first: (T, K) i32.
  mlir::Value places(mlir::Value indices, mlir::Value scores, const Order& order);
  /// Indices so that as many equal runs of experts get as many rows each at most as a run of tokens has.
  mlir::Value swipe(mlir::Value indices, int64_t experts, int64_t workers);
  mlir::Value assign(mlir::Value indices, int64_t experts, ir::Priority priority, const std::optional<Size>& capacity) {
    return assign(indices, {.experts = experts, .priority = priority, .capacity = capacity});
  }
  struct Assignment {
    int64_t experts = 1;
    ir::Priority priority = ir::Priority::TokenMajor;
    std::optional<Size> capacity = {};
    Size groups = 1;
    std::optional<mlir::Value> keep = {}, within = {};
    bool bounded = false; // ragged tensors have experts * groups * capacity rows at most, not all pairs'
  };
  mlir::Value assign(mlir::Value indices, const Assignment& rule);
  mlir::Value drop(mlir::Value routing, mlir::Value keep) { return binary<ir::DropOp>(routing, keep); }
  mlir::Value expertsOf(mlir::Value routing, int64_t from, int64_t count);
  mlir::Value expertCounts(mlir::Value routing) { return unary<ir::ExpertCountsOp>(routing); }
  mlir::Value dispatch(mlir::Value x, mlir::Value routing) { return binary<ir::DispatchOp>(x, routing); }
  mlir::Value groupedMatmul(mlir::Value rows, mlir::Value w, mlir::Value routing);
  mlir::Value expertRows(mlir::Value table, mlir::Value routing) { return binary<ir::ExpertRowsOp>(table, routing); }
  mlir::Value rowWeights(mlir::Value weights, mlir::Value routing) { return binary<ir::RowWeightsOp>(weights, routing); }
  mlir::Value choiceValues(mlir::Value column, mlir::Value routing) { return binary<ir::ChoiceValuesOp>(column, routing); }
  mlir::Value combine(mlir::Value rows, mlir::Value routing, mlir::Value weights);

private:
  using Attributes = llvm::ArrayRef<std::pair<llvm::StringRef, mlir::Attribute>>;
  /// An op whose result types its own inference gives; null after an inference that failed and said so.
  mlir::Operation* emitOp(llvm::StringRef name, llvm::ArrayRef<mlir::Value> operands, Attributes attributes);
  mlir::Value emit(llvm::StringRef name, llvm::ArrayRef<mlir::Value> operands, Attributes attributes);

  mlir::func::FuncOp function_;
  mlir::OpBuilder builder_;
  Diagnostics& diagnostics_;
  bool drawsAsInputs_, keepsAll_;
  mlir::Location location_;
  Position position_;
  std::map<std::string, mlir::RankedTensorType> parameters_;
};

} // namespace moec::models
