#pragma once
// Where a block, gate or expert stands while it is built: its path and place, what surrounds it, and what it can make
// there.

#include "models/Arguments.h"
#include "models/Ops.h"

namespace moec::models {

class ModelBuilder;
struct NameScope;
struct ValueScope;

/// Inside the body of an expert every parameter has a leading E. Routed: values are rows (R, ..) of a routing. Dense:
/// every expert takes every row; values are (B, ..) before the first layer and (E, B, ..) behind it.
struct ExpertSpace {
  int64_t count = 0;
  mlir::Value routing; // null: dense
};

/// Experts of one kind, among those of a layer.
struct ExpertGroup {
  const Json* json = nullptr;
  int64_t count = 0;
  std::string path;
};

/// What a block finds around it.
struct Surroundings {
  NameScope* names = nullptr;
  ValueScope* values = nullptr;
  const ExpertSpace* experts = nullptr; // null outside experts
  Size groups = 1;                      // of a gate's tokens
};

class Site {
public:
  Site(ModelBuilder& builder, std::string path, Position position, Surroundings surroundings)
      : builder_(builder), path_(std::move(path)), position_(position), surroundings_(surroundings) {}

  /// The ops, placed here.
  Ops& ops();
  const std::string& path() const { return path_; }
  Position position() const { return position_; }
  const ExpertSpace* experts() const { return surroundings_.experts; }
  /// Of a gate: its tokens are so many equal runs, each a row of the batch (a sequence). A (T, D) has one.
  const Size& groups() const { return surroundings_.groups; }
  /// The part `name` of this: path "here.name".
  Site part(std::string_view name) const;

  /// Is the model built as it trains?
  bool isTraining() const;
  /// Is it built as it continues texts? Then tokens stand behind tokensBefore() others (i64 [], else null), at most context()
  /// in all.
  bool isGenerating() const;
  mlir::Value tokensBefore() const;
  int64_t context() const;
  /// Adds coefficient * value, of one element, to the loss. The value is a result of @loss, by the path "here.name".
  void addLoss(std::string_view name, mlir::Value value, double coefficient);
  /// The same of a loss over several layers: all that hand in values by the names `pool` and `name` have one, "pool.name",
  /// which `finish` makes of the sums of their values, entry by entry, behind the last of them.
  using Finish = mlir::Value (*)(Ops& ops, llvm::ArrayRef<mlir::Value> sums);
  void addPooledLoss(const std::string& pool, std::string_view name, llvm::ArrayRef<mlir::Value> values, double coefficient, Finish finish);
  /// The loss gets the gradient of the value, of one element, but not its number.
  void addGradient(mlir::Value value);
  /// Of a loss: is it built for an evaluation, which asks for all that the loss can tell? Only then it is to be computed.
  bool wantsMetrics() const;
  /// The value, of one element, as f32 is the result `name` of @evaluate.
  void addMetric(std::string_view name, mlir::Value value);
  /// Are statistics asked for? Only then they are to be computed.
  bool wantsStatistics() const;
  /// Are logits that are no finite numbers to be counted? Where statistics are asked for, and where one is an error.
  bool countsNonFinite() const;
  /// The value, as f32, is a result besides the others, by the path "here.name". It changes none of them.
  void addStatistic(std::string_view name, mlir::Value value);

  /// Where a gate chooses: the k best of scores (T, E), or, where a routing is replayed, the choices that are given and
  /// the scores at them. One choice of a gate at most is made so.
  Ops::Selection choose(mlir::Value scores, int64_t k);
  /// The same for a gate with a rule of its own: the choices (T, K) that it is given, or null where it chooses itself; it
  /// then tells what it chose. -1 is no expert. `within`: the tokens are this routing's rows, of which some may not be.
  mlir::Value chosen(mlir::Value indices, int64_t experts); // both, for choices that cost nothing
  bool replays() const;
  mlir::Value replayed(const Size& tokens, int64_t choices, int64_t experts);
  void record(mlir::Value indices, mlir::Value within = {});
  bool records() const;
  /// The value is a result besides the others, by the path "here.name".
  void addRecord(std::string_view name, mlir::Value value);

  /// Reports, and gives a null value to return.
  mlir::Value error(Position position, std::string message);
  mlir::Value error(std::string message) { return error(position_, std::move(message)); }
  /// Is x a tensor of the model's float dtype with `rank` dimensions (0: any from 1)? Reports what it is instead;
  /// `shape` is how the message writes what is expected: "(batch, tokens, width)".
  bool expects(mlir::Value x, size_t rank, std::string_view shape);
  /// The last dimension, which must be a number; nothing after a report.
  std::optional<int64_t> width(mlir::Value x);

  mlir::Type element();       // of parameters and activations
  mlir::Type routerElement(); // the same, but never below f32
  mlir::Value parameter(std::string_view name, const ir::Sizes& sizes, const Init& init) { return parameter(name, sizes, init, element()); }
  mlir::Value parameter(std::string_view name, const ir::Sizes& sizes, const Init& init, mlir::Type element, std::optional<double> signRate = {});
  /// The same of the model's dtype; where the argument `name` gives the path of a parameter that was made before, that
  /// one, which must have this shape and dtype.
  mlir::Value sharedParameter(const Arguments& arguments, std::string_view name, const ir::Sizes& sizes, const Init& init);
  /// The value that an argument of type ValueName names. Null after a report that there is none.
  mlir::Value named(const Arguments& arguments, std::string_view name);

  /// The blocks of a parameter of type Body on x. `under`: a scope of names of its own, "here.under"; otherwise the
  /// names of what surrounds this.
  mlir::Value body(const Arguments& arguments, std::string_view parameter, mlir::Value x, std::optional<std::string> under = {});
  /// The gate on tokens (T, D) in equal groups, as the part of the parameter's name.
  std::optional<GateResult> gate(const Arguments& arguments, std::string_view parameter, mlir::Value tokens, const Size& groups, int64_t experts);
  std::optional<int64_t> expertCount(const Arguments& arguments, std::string_view parameter);
  /// The experts on rows. They are called `path`.
  mlir::Value expert(const Arguments& arguments, std::string_view parameter, mlir::Value rows, const ExpertSpace& space, const std::string& path);

  /// The same for a parameter of type Experts: "here.experts", or "here.experts.0" and so on for a list.
  std::optional<std::vector<ExpertGroup>> expertGroups(const Arguments& arguments, std::string_view parameter);
  mlir::Value expert(const Arguments& arguments, const ExpertGroup& group, mlir::Value rows, const ExpertSpace& space);
  /// The blocks of a parameter of type ExpertBody on x, outside of experts. A single one is called as the parameter.
  mlir::Value plainExpert(const Arguments& arguments, std::string_view parameter, mlir::Value x);

  /// Ids taken by this embedding must lie in [0, below): noted on the inputs that they come from. False after a report
  /// that a constant among them does not.
  bool limitIds(mlir::Value ids, int64_t below, std::optional<int64_t> except = {});
  /// A size that only a call decides must not be larger than `most`: noted on the module.
  void limitSize(const Size& size, int64_t most);
  /// Marks a value as (E, ..): one entry per expert. Blocks over experts ask for it.
  void markPerExpert(mlir::Value value);
  bool isPerExpert(mlir::Value value);

private:
  ModelBuilder& builder_;
  std::string path_;
  Position position_;
  Surroundings surroundings_;
};

} // namespace moec::models
