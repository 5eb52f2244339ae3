#pragma once
// Layers that several kinds share. Each works outside and inside experts (models/Site.h, ExpertSpace).

#include "models/Site.h"

namespace moec::models {

/// The range [-1/sqrt(in), 1/sqrt(in)) of PyTorch's Linear.
Init uniformFanIn(int64_t in);
Init normalInit();
Init constantInit(double value);
/// How the parameter "init" fills a layer; without it, or with the word default, as the layer does.
struct Inits {
  const Json *weight = nullptr, *bias = nullptr; // rules that the model's file has
};
Inits initsOf(const Arguments& arguments);
/// What a rule says for a layer from `in` columns to `out`.
Init initOf(const Json* rule, int64_t in, int64_t out, const Init& withoutOne);
/// The parameter "init" of what has weights.
Parameter initParameter(std::string doc = "How weights and biases begin.");

/// x (.., in) times weight (out, in) transposed, plus bias (out). Parameters "weight" and, with `bias`, "bias" of the
/// site. `sharing`: arguments whose "weight" may name another block's parameter to be used in the weight's place.
mlir::Value linear(Site site, mlir::Value x, int64_t out, bool bias, const Inits& inits = {}, const Arguments* sharing = nullptr);
/// A parameter of n numbers, inside experts of n for each, as it joins values there: (n), (E, 1, n) or rows (R, n).
mlir::Value perColumn(Site& site, std::string_view name, int64_t n, const Init& init);
/// Over the last dimension, with parameters "weight" and "bias".
mlir::Value layerNorm(Site site, mlir::Value x, double eps);
/// The same with "weight" alone.
mlir::Value rmsNorm(Site site, mlir::Value x, double eps);

/// In training, elements become 0 with probability p and the others are divided by 1 - p; the draws are the site's. In
/// inference x itself.
mlir::Value dropout(Site site, mlir::Value x, double p);
/// The parameter of a dropout whose documentation is `doc`.
Parameter dropoutParameter(std::string name, std::string fallback, std::string doc);

/// relu, gelu, gelu_tanh, tanh, sigmoid, silu, quick_gelu, leaky_relu, softplus, elu, identity.
const std::vector<std::string>& activationWords();
mlir::Value activation(Site& site, mlir::Value x, const std::string& word);

/// The sum of all experts' values (E, B, ..), weighted by (E) or, each row by its own, (B, E). It is taken in the
/// weights' dtype; the result has the values'.
mlir::Value weightedSum(Site& site, mlir::Value experts, mlir::Value weights);

/// The parameters that a block and an expert of kind mlp share.
std::vector<Parameter> mlpParameters();
mlir::Value mlp(Site& site, const Arguments& arguments, mlir::Value x);
/// The same of kind gated_mlp: down(activation(gate(x)) * up(x)).
std::vector<Parameter> gatedMlpParameters();
mlir::Value gatedMlp(Site& site, const Arguments& arguments, mlir::Value x);

} // namespace moec::models
