#include "models/Layers.h"

#include "models/json/Words.h"

#include <fmt/format.h>

#include <cmath>

using mlir::Value;

namespace moec::models {

namespace {

Init uniform(int64_t width) {
  double bound = 1 / std::sqrt(static_cast<double>(width));
  return {Init::Kind::Uniform, -bound, bound};
}

} // namespace

Init uniformFanIn(int64_t in) { return uniform(in); }

Init normalInit() { return {Init::Kind::Normal, 0, 1}; }

Init constantInit(double value) { return {Init::Kind::Constant, value, 0}; }

namespace {

std::optional<Init> initOf(const Json* value, int64_t out) {
  if (!value || (value->isString() && value->string() == "default"))
    return std::nullopt;
  if (value->isNumber())
    return constantInit(value->number());
  if (value->isObject()) {
    const Json::Member& member = value->object().front();
    return Init{member.key == "orthogonal" ? Init::Kind::Orthogonal : Init::Kind::Normal,
                member.key == "orthogonal" ? member.value.number() : 0, member.value.number()};
  }
  const std::string& word = value->string();
  if (word == "orthogonal")
    return Init{Init::Kind::Orthogonal, 1, 0};
  if (word == "normal")
    return normalInit();
  if (word == "uniform_fan_out")
    return uniform(out);
  return Init{word == "ones" ? Init::Kind::Ones : Init::Kind::Zeros, 0, 0};
}

} // namespace

Value perColumn(Site& site, std::string_view name, int64_t n, const Init& init) {
  const ExpertSpace* space = site.experts();
  if (!space)
    return site.parameter(name, {n}, init);
  Value table = site.parameter(name, {space->count, n}, init);
  return space->routing ? site.ops().expertRows(table, space->routing)
                        : site.ops().reshape(table, {space->count, 1, n});
}

Inits initsOf(const Arguments& arguments, int64_t out) {
  if (!arguments.has("init"))
    return {};
  const Json& json = arguments.get("init");
  return {initOf(json.find("weight"), out), initOf(json.find("bias"), out)};
}

Value linear(Site site, Value x, int64_t out, bool bias, const Inits& inits, const Arguments* sharing) {
  std::optional<int64_t> in = site.width(x);
  if (!in)
    return {};
  const ExpertSpace* space = site.experts();
  ir::Sizes shape{out, *in};
  if (space)
    shape.insert(shape.begin(), space->count);
  Init init = inits.weight.value_or(uniformFanIn(*in));
  Value weight =
      sharing ? site.sharedParameter(*sharing, "weight", shape, init) : site.parameter("weight", shape, init);
  Value y =
      space && space->routing ? site.ops().groupedMatmul(x, weight, space->routing) : site.ops().matmul(x, weight);
  // FastMoE's experts begin with biases of zero, PyTorch's Linear does not.
  Init biasInit = inits.bias.value_or(space ? Init{} : uniformFanIn(*in));
  return bias ? site.ops().add(y, perColumn(site, "bias", out, biasInit)) : y;
}

Value layerNorm(Site site, Value x, double eps) {
  std::optional<int64_t> width = site.width(x);
  if (!width)
    return {};
  Init ones{Init::Kind::Ones, 0, 0}, zeros{};
  if (!site.experts()) {
    Value weight = site.parameter("weight", {*width}, ones), bias = site.parameter("bias", {*width}, zeros);
    return site.ops().layerNorm(x, weight, bias, eps);
  }
  Value scaled = site.ops().mul(site.ops().layerNorm(x, {}, {}, eps), perColumn(site, "weight", *width, ones));
  return site.ops().add(scaled, perColumn(site, "bias", *width, zeros));
}

Value rmsNorm(Site site, Value x, double eps) {
  std::optional<int64_t> width = site.width(x);
  if (!width)
    return {};
  Init ones{Init::Kind::Ones, 0, 0};
  if (!site.experts())
    return site.ops().rmsNorm(x, site.parameter("weight", {*width}, ones), eps);
  return site.ops().mul(site.ops().rmsNorm(x, {}, eps), perColumn(site, "weight", *width, ones));
}

Value dropout(Site site, Value x, double p) {
  if (!x || !site.isTraining() || p == 0)
    return x;
  Ops& ops = site.ops();
  mlir::Type element = mlir::cast<mlir::RankedTensorType>(x.getType()).getElementType(), wide = site.routerElement();
  Value draws = ops.random(ir::Distribution::Uniform, site.path(), ir::sizesOf(x), wide);
  Value stays = ops.cast(ops.compare(ir::Predicate::GE, draws, ops.constant({1}, {p}, wide)), wide);
  Value factors = ops.mul(stays, ops.constant({1}, {1 / (1 - p)}, wide));
  return ops.cast(ops.mul(ops.cast(x, wide), factors), element);
}

Parameter dropoutParameter(std::string name, std::string fallback, std::string doc) {
  return {.name = std::move(name),
          .type = ParameterType::Number,
          .fallback = std::move(fallback),
          .least = 0,
          .most = 0.999,
          .doc = std::move(doc)};
}

const std::vector<std::string>& activationWords() {
  static const std::vector<std::string> words{"relu", "gelu",       "gelu_tanh", "tanh", "sigmoid",
                                              "silu", "leaky_relu", "softplus",  "elu",  "identity"};
  return words;
}

Value activation(Site& site, Value x, const std::string& word) {
  Ops& ops = site.ops();
  if (word == "relu")
    return ops.unary<ir::ReluOp>(x);
  if (word == "gelu")
    return ops.unary<ir::GeluOp>(x);
  if (word == "gelu_tanh")
    return ops.unary<ir::GeluTanhOp>(x);
  if (word == "tanh")
    return ops.unary<ir::TanhOp>(x);
  if (word == "sigmoid")
    return ops.unary<ir::SigmoidOp>(x);
  if (word == "silu")
    return ops.unary<ir::SiluOp>(x);
  if (word == "leaky_relu")
    return ops.leakyRelu(x, 0.01);
  if (word == "softplus")
    return ops.unary<ir::SoftplusOp>(x);
  if (word == "elu")
    return ops.elu(x, 1);
  return x; // identity
}

Value weightedSum(Site& site, Value experts, Value weights) {
  if (!experts || !weights)
    return {};
  Ops& ops = site.ops();
  ir::Sizes shape = ir::sizesOf(experts);
  ir::Sizes columns(shape.size(), Size(1)); // (E, 1, 1 ..) or (E, B, 1 ..)
  columns[0] = shape[0];
  if (ir::sizesOf(weights).size() == 2) {
    columns[1] = shape[1];
    weights = ops.transpose(weights, {1, 0});
  }
  mlir::Type element = mlir::cast<mlir::RankedTensorType>(experts.getType()).getElementType();
  mlir::Type sums = mlir::cast<mlir::RankedTensorType>(weights.getType()).getElementType();
  Value weighted = ops.mul(ops.cast(experts, sums), ops.reshape(weights, columns));
  return ops.cast(ops.reduce(ir::ReduceKind::Sum, weighted, 0), element);
}

std::vector<Parameter> mlpParameters() {
  return {
      {.name = "hidden", .doc = "Hidden width (H): up, activation, down. This or widths."},
      {.name = "widths",
       .type = ParameterType::Integers,
       .doc = "Output width of every layer in turn. This or hidden."},
      {.name = "out", .doc = "Output width with hidden; default: the input's."},
      {.name = "activation",
       .type = ParameterType::Word,
       .fallback = "\"gelu\"",
       .words = activationWords(),
       .doc = "Between the layers. leaky_relu has slope 0.01, elu alpha 1."},
      {.name = "output_activation",
       .type = ParameterType::Word,
       .fallback = "\"identity\"",
       .words = activationWords(),
       .doc = "After the last layer."},
      {.name = "bias", .type = ParameterType::Bool, .fallback = "true", .doc = "Do the layers have biases?"},
      dropoutParameter(
          "dropout", "0",
          "In training: the probability that an element becomes 0 between the layers, as by dropout."),
      {.name = "layer_norm",
       .type = ParameterType::Bool,
       .fallback = "false",
       .doc = "A layer_norm behind every layer but the last, in front of its activation?",
       .source = "zhaozijie2022/soft-moe (Mlp: layer_norm)"},
      {.name = "output_layer_norm",
       .type = ParameterType::Bool,
       .fallback = "false",
       .doc = "The same behind the last layer?",
       .source = "zhaozijie2022/soft-moe (Mlp: out_layer_norm)"},
      {.name = "residual",
       .type = ParameterType::Bool,
       .fallback = "false",
       .doc = "Does each layer whose width is its input's add its input to its result?",
       .source = "zhaozijie2022/soft-moe 5bf98ff (Mlp: use_residual)"},
      {.name = "init",
       .type = ParameterType::Inits,
       .doc = "How weights and biases begin; a number is a constant, uniform_fan_out +-1/sqrt(out)."},
  };
}

Value mlp(Site& site, const Arguments& arguments, Value x) {
  if (arguments.has("hidden") == arguments.has("widths"))
    return site.error(arguments.position(),
                      fmt::format("{} needs either \"hidden\" or \"widths\"{}", inQuotes(arguments.kind().name),
                                  arguments.has("hidden") ? ", not both" : ""));
  bool isLast = false;
  auto layer = [&](Site here, int64_t out) {
    Value y = linear(here, x, out, arguments.flag("bias"), initsOf(arguments, out));
    if (arguments.flag(isLast ? "output_layer_norm" : "layer_norm"))
      y = layerNorm(here.part("layer_norm"), y, 1e-5);
    y = activation(here, y, arguments.word(isLast ? "output_activation" : "activation"));
    // Behind dense experts y has a dimension more in front.
    bool adds = y && arguments.flag("residual") && ir::sizesOf(x).back() == ir::sizesOf(y).back();
    x = adds ? site.ops().add(y, x) : y;
    if (!isLast)
      x = dropout(here.part("dropout"), x, arguments.number("dropout"));
  };
  if (arguments.has("widths")) {
    if (arguments.has("out"))
      return site.error(arguments.at("out"),
                        "\"out\" goes with \"hidden\"; the last of \"widths\" is the output's width");
    std::vector<int64_t> widths = arguments.integers("widths");
    for (size_t i = 0; i < widths.size(); ++i) {
      isLast = i + 1 == widths.size();
      layer(site.part("layers").part(std::to_string(i)), widths[i]);
    }
    return x;
  }
  std::optional<int64_t> width = site.width(x);
  if (!width)
    return {};
  layer(site.part("up"), arguments.integer("hidden"));
  isLast = true;
  layer(site.part("down"), arguments.has("out") ? arguments.integer("out") : *width);
  return x;
}

} // namespace moec::models
