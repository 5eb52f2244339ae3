#pragma once
// What a compiled program does on one target: buffers, launches, and the names a caller knows. Plain data, written as JSON in the
// program's manifest. Knows no device.

#include "runtime/core/DType.h"
#include "runtime/core/Size.h"
#include "runtime/core/Tensor.h"

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace moec {

/// What a plan's calls do. A program holds a plan for each target and purpose.
enum class Purpose {
  Inference,  // what the model gives
  Training,   // its parameters change
  Evaluation, // the loss of the model as it infers, and what else its loss can tell (accuracy)
  Generation, // scores of tokens that continue those of the calls before, which are kept as states
};
const char* name(Purpose purpose); // "inference" ...

/// The launches of a plan. Prepare: once per set of weights. Forward: of a call (@forward, @train_step or @accumulate). Apply: of the call that takes the
/// gradients which several @accumulate added up.
enum class LaunchList { Prepare, Forward, Apply };
const char* name(LaunchList list); // "prepare" ...

/// What a gate's logit that is no finite number does. Error: it ends the call.
enum class NonFiniteLogits { Count, Error };

/// How `--init` fills a parameter. Draws are keyed by (seed, streamOf(parameter name), 0, element).
struct Init {
  enum class Kind { Zeros, Ones, Constant, Uniform, Normal, Orthogonal, TruncatedNormal } kind = Kind::Zeros;
  double a = 0, b = 0; // Constant: a. Uniform: [a, b). Normal: mean a, deviation b. TruncatedNormal: the same, drawn again where it is more than 2 b from a.
                       // Orthogonal: gain a, each trailing matrix by itself.
};

/// How a picture becomes an input of shape [.., channels, height, width]: pixel/255, minus mean, over std, per channel.
struct PhotoRule {
  enum class Resize { None, Stretch } resize = Resize::None; // Stretch: bilinear to the input's height and width, aspect not kept
  std::vector<double> mean, std;                             // one per channel; empty: 0 and 1
};

struct InputInfo {
  std::string name;
  DType dtype = DType::F32;
  std::vector<Size> shape;
  int buffer = -1; // -1: declared, but not used by the forward plan (a label)
  std::optional<PhotoRule> photo;
  std::optional<int64_t> below;          // integer inputs: every element must be in [0, below) ...
  std::optional<int64_t> except;         // ... or be this: a label that does not count
  bool forLoss = false;                  // only the loss needs it
  bool isDraw = false;                   // a random draw turned into an input, named by its path
  LaunchList list = LaunchList::Forward; // Apply: an input of @apply
};

struct ParameterInfo {
  std::string name;
  DType dtype = DType::F32;
  Shape shape;
  Init init;
  int buffer = -1;
};

/// What calls carry on besides the parameters. Of training: gradients that add up, an optimizer's moments. Of generation: keys and values of the tokens so far.
struct StateInfo : ParameterInfo {
  std::optional<std::string> from; // the parameter of this shape whose value it begins with, in place of its init (master weights)
};

struct OutputInfo {
  std::string name;
  DType dtype = DType::F32;
  std::vector<Size> shape;
  int buffer = -1;
  LaunchList list = LaunchList::Forward; // Apply: a result of @apply
};

/// What a size must keep to when symbols get their values: [atLeast, atMost].
struct SizeRule {
  std::string what; // "the capacity of 'layers.0.moe.gate'", for the message
  Size size;
  std::optional<int64_t> atLeast, atMost;
};

enum class BufferKind {
  Input,     // written by the caller before a call
  Parameter, // plain form of a parameter; may be freed after prepare when no forward launch reads it. Launches of training write it
  State,     // of training and generation: kept from call to call like a parameter, read and written by its launches
  Prepared,  // written by prepare launches, read by forward launches (packed weights)
  Temporary, // in the arena, alive from its first launch to its last
  Output,    // in memory of its own; the caller gets it
  Constant,  // `data` holds its bytes
};

/// Of sizes that no call says, and kept from call to call.
constexpr bool isFixed(BufferKind kind) {
  return kind == BufferKind::Parameter || kind == BufferKind::State || kind == BufferKind::Prepared || kind == BufferKind::Constant;
}

struct BufferInfo {
  std::string name; // for messages and `inspect`: the IR value's origin
  BufferKind kind = BufferKind::Temporary;
  DType dtype = DType::F32;
  std::vector<Size> shape;
  int firstLaunch = -1, lastLaunch = -1; // Temporary: launches between which it lives, both inclusive; those of apply are counted behind those of forward
  std::optional<int> raggedBy;           // rows [0, offsets[E]) of this routing buffer hold values, the others are undefined
  bool isRouting = false;                // an i32 RoutingLayout; experts and choices below
  int64_t experts = 0, choices = 0;
  std::vector<uint8_t> data; // Constant
};

/// A stage as a launch of a GPU: `items` blocks of `threads`.
struct GridInfo {
  std::string function;           // exported by the kernel's module
  int threads = 0;                // of a block
  int64_t sharedBytes = 0;        // of a block, static and dynamic
  int64_t dynamicSharedBytes = 0; // of these, what the launch asks for
  // What the machine code takes, in ptxas' words; and what of it fits a multiprocessor at once.
  int registers = 0;      // of a thread
  int64_t spillBytes = 0; // stores and loads of a thread
  int64_t stackBytes = 0;
  int blocksPerMultiprocessor = 0;
};

/// One stage of a launch: `items` independent pieces.
struct StageInfo {
  Size items;                                  // upper bound of the piece count
  Size scratchBytes;                           // per worker
  Size operations;                             // about how many arithmetic operations the whole stage takes: small stages run on the calling thread
  std::optional<GridInfo> grid = std::nullopt; // of CUDA targets
};

/// A kernel's schedule, its entries by name.
using KernelSchedule = std::map<std::string, int64_t>;

struct LaunchInfo {
  std::string kernel;               // symbol of the kernel's image; equal kernels share it
  std::string label;                // path in the model: "layers.0.moe"
  std::string kind;                 // "matmul", "rows", "loops", "attention", "gate", "expert_up", "expert_down", "pack", "update" ...
  std::vector<int> inputs, outputs; // buffer indices; a parameter or state in both is updated in place
  std::vector<Size> sizes;          // KernelCall::sizes
  std::vector<std::string> streams; // paths of random draws
  std::vector<StageInfo> stages;
  std::vector<int> workspaces;  // Temporary buffers (u8) private to the launch, alive for all its stages; in KernelCall::buffers behind the outputs
  std::vector<std::string> ops; // the ops fused into it, in order
  std::string reason;           // why the fusion ends where it does, for `explain`
  std::string schedule;         // for `explain` and `inspect`
  bool isTuned = false;         // the schedule was measured (runtime/core/TuningDatabase.h), not the cost model's
  Size flops, bytes;            // useful arithmetic; least memory traffic
};

/// Where the results of a row of a call depend on its other rows.
struct RowCoupling {
  std::string label; // path in the model: "layers.0.moe.gate"
  std::string why;   // "assign shares an expert's capacity out among the rows of a call"
};
std::string describe(const RowCoupling& coupling); // "layers.0.moe.gate: assign shares .."

struct Plan {
  std::string target; // "cpu:x86-64-v3", "cuda:sm_90a"
  Purpose purpose = Purpose::Inference;
  std::vector<BufferInfo> buffers;
  /// For training: nothing is prepared, for weights change with every step. `forward` is @train_step whole and `apply` empty; or they are @accumulate and
  /// @apply.
  std::vector<LaunchInfo> prepare, forward, apply;
  std::vector<InputInfo> inputs;
  std::vector<ParameterInfo> parameters;
  std::vector<StateInfo> states;
  std::vector<OutputInfo> outputs;
  std::vector<SizeRule> rules;
  std::map<std::string, int64_t> checkSizes;          // symbols of the model's small form, which checks use
  NonFiniteLogits nonFinite = NonFiniteLogits::Count; // Error: of calls whose results "<gate>.non_finite" are not all 0
  std::string weightsAs;  // of inference: how weights of products are kept where not as the model has them, "bf16" or "int8:32" (WeightsAs.h); else empty
  bool usesTiles = false; // some kernel multiplies by tiles: its registers are asked for before it runs
  /// A row's results are the same bits whatever rows stand beside it, how many these are and where it stands among them: exactly when there are no couplings.
  /// A row is an index of the inputs' first dimension; of generation, one of the texts. What is one for the whole call is no row's. Plans for training and
  /// evaluation promise nothing, and list no couplings: gradients and losses are sums over the rows.
  bool invariant = false;
  std::vector<RowCoupling> couplings;

  const std::vector<LaunchInfo>& launches(LaunchList list) const;
  /// Buffers of parameters that no call reads: of other than training, those that only `prepare` does.
  std::set<int> unusedParameters() const;
};

/// Inputs that a training gives its plan besides the model's: f64 [], i64 [] (1 at the first step), i64 [] (accumulations since the last @apply).
inline constexpr const char *kLearningRateInput = "train.learning_rate", *kStepInput = "train.step", *kCountInput = "train.count";

/// JSON text of a plan and back. parsePlan checks everything it reads (indices in range, sizes that parse, known words, checkPlan): Error(Data).
std::string toJson(const Plan& plan);
Plan parsePlan(const std::string& json);

/// What a device may rely on: indices in range, launches inside the lives of the temporaries they use, constants of their size, names once.
/// Prepare and apply launches use sizes without symbols; no temporary lives from forward into apply. Parameters are written in training alone, states in
/// generation too, by one launch of a list, behind which none of it reads them. Error(Data) naming the place.
void checkPlan(const Plan& plan);

/// A buffer's shape and bytes for these values of the symbols. Error(Data) naming it for a negative size or more than 2^48 bytes.
Shape shapeOf(const BufferInfo& buffer, const Bindings& bindings);
int64_t bytesOf(const BufferInfo& buffer, const Bindings& bindings);

/// Byte offsets of the Temporary buffers in one arena: each a multiple of 256, two buffers overlap only when their lives do not. Deterministic.
/// Of a CPU, one lies in the middle of larger ones where this takes no more memory, and all take more than a core's own caches.
struct ArenaLayout {
  std::vector<int64_t> offsets; // by buffer; -1 for other kinds, and for what only prepare launches use (firstLaunch is -1)
  int64_t bytes = 0;
};
/// `gap`: bytes that stay free behind each, so that a step over its end does not land in a neighbour. `firstLaunch`: only what lives from there on; from the
/// first one of apply on, no symbol needs a value, and every offset is that of the whole layout.
ArenaLayout layoutArena(const Plan& plan, const Bindings& bindings, int64_t gap = 0, int firstLaunch = 0);

} // namespace moec
