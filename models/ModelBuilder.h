#pragma once
// Walks the blocks of a checked model file and builds each: names, `from`, own blocks, experts. Knows no kind by name.

#include "models/Site.h"
#include "models/Vocabulary.h"

#include "llvm/ADT/DenseSet.h"

namespace moec::models {

/// Names of parameters: the blocks that stand in one scope. Containers hand their surroundings' scope on.
struct NameScope {
  std::string path; // "" at the top
  std::map<std::string, Position> taken;

  std::string join(std::string_view name) const { return path.empty() ? std::string(name) : path + "." + std::string(name); }
};

/// Values that `from` can name.
struct ValueScope {
  std::map<std::string, mlir::Value, std::less<>> values;
  const ValueScope* outer = nullptr;

  mlir::Value find(std::string_view name) const;
  std::vector<std::string> names() const;
};

/// A loss beside the model's own: the total gets coefficient * value.
struct AuxiliaryLoss {
  std::string path;  // empty: the gradient alone is wanted, and the number is 0
  mlir::Value value; // [], never below f32
  double coefficient = 1;
};

/// A loss over several layers, see Site::addPooledLoss.
struct PooledLoss {
  std::string path;
  Position position; // of the first that handed in
  std::vector<mlir::Value> sums;
  double coefficient = 1;
  Site::Finish finish = nullptr;
};

class ModelBuilder {
public:
  ModelBuilder(const ModelFile& file, Vocabulary& vocabulary, Ops& ops, mlir::ModuleOp module, Diagnostics& diagnostics)
      : file_(file), vocabulary_(vocabulary), ops_(ops), module_(module), diagnostics_(diagnostics) {}

  /// A block or a list of them, on x. Values named in a list are seen in that list and in what stands inside it.
  mlir::Value body(const Json& json, const Environment& environment, mlir::Value x, Surroundings surroundings);
  /// The same for the model's own list, whose names go into `surroundings.values` itself. `last` is the name of its
  /// last block, when it has one.
  mlir::Value model(mlir::Value x, Surroundings surroundings, std::string& last);
  std::optional<GateResult> gate(const Json& json, const Environment& environment, mlir::Value tokens, const Size& groups, int64_t experts,
                                 const std::string& path, const ValueScope* values);
  std::optional<int64_t> expertCount(const Json& json, const Environment& environment);
  mlir::Value expert(const Json& json, const Environment& environment, mlir::Value rows, const ExpertSpace& space, const std::string& path);

  /// Blocks of those that may stand in an expert, outside of one. A single one is called `path`, several stand in it.
  mlir::Value plainExpert(const Json& json, const Environment& environment, mlir::Value x, Surroundings surroundings, const std::string& path);

  Ops& ops() { return ops_; }
  const ModelFile& file() const { return file_; }
  mlir::ModuleOp module() { return module_; }
  Diagnostics& diagnostics() { return diagnostics_; }
  /// Of a model that continues texts: how many tokens stand before those of the call, i64 [].
  mlir::Value position() const { return position_; }
  void setPosition(mlir::Value position) { position_ = position; }
  llvm::DenseSet<mlir::Value>& perExpert() { return perExpert_; }
  /// In the order in which the file has their blocks.
  std::vector<AuxiliaryLoss>& losses() { return losses_; }
  void addPooledLoss(Ops& ops, Position position, const std::string& path, llvm::ArrayRef<mlir::Value> values, double coefficient, Site::Finish finish);
  /// Behind the last block: what the pools hold becomes losses, in the order of their first values.
  void finishPools();
  /// The parameters of the gate `path` are known as its by those who change how weights are kept.
  void markRouters(const std::string& path);
  using Results = std::vector<std::pair<std::string, mlir::Value>>;
  /// Results besides the losses: what the loss can tell besides, by name; what gates chose, by path, in the file's order.
  Results& metrics() { return metrics_; }
  Results& statistics() { return statistics_; }
  /// Choices, weights and drops of gates, in the file's order.
  Results& records() { return records_; }

private:
  mlir::Value items(const Json& json, const Environment& environment, mlir::Value x, Surroundings surroundings, std::string& last);
  mlir::Value block(const Json& json, const Environment& environment, mlir::Value x, Surroundings surroundings, std::string& name);
  mlir::Value builtin(const Use& use, const Naming& naming, llvm::ArrayRef<mlir::Value> inputs, Surroundings surroundings);
  mlir::Value own(const Use& use, const Naming& naming, mlir::Value x, Surroundings surroundings);
  std::optional<std::vector<mlir::Value>> inputsOf(const Use& use, const Naming& naming, mlir::Value x, const ValueScope& values);
  std::optional<std::string> takeName(NameScope& scope, const std::string& word, const Naming& naming);

  const ModelFile& file_;
  Vocabulary& vocabulary_;
  Ops& ops_;
  mlir::ModuleOp module_;
  Diagnostics& diagnostics_;
  mlir::Value position_;
  llvm::DenseSet<mlir::Value> perExpert_;
  std::vector<AuxiliaryLoss> losses_;
  std::vector<PooledLoss> pools_;
  Results metrics_, statistics_, records_;
  int64_t built_ = 0;
};

/// The error of a "from" and the like: the known names, and how a block comes to be one of them.
std::string unknownValue(const std::string& name, const std::vector<std::string>& known);

} // namespace moec::models
