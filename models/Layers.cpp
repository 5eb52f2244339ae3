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

/// torch.nn.init's rules for a matrix (out, in), as names and as what each does with its number: a bound, a deviation, a
/// slope, a gain.
Init ruleOf(const std::string& word, std::optional<double> given, int64_t in, int64_t out) {
  auto uniformIn = [](double bound) { return Init{Init::Kind::Uniform, -bound, bound}; };
  auto normalOf = [](double deviation) { return Init{Init::Kind::Normal, 0, deviation}; };
  double fanIn = static_cast<double>(in), fans = static_cast<double>(in + out);
  auto kaiming = [&] { // the slope of a leaky ReLU; 0 for ReLU
    double slope = given.value_or(0);
    return std::sqrt(2 / (1 + slope * slope) / fanIn);
  };
  auto xavier = [&] { return given.value_or(1) * std::sqrt(2 / fans); };
  if (word == "uniform")
    return uniformIn(given.value_or(1));
  if (word == "normal")
    return normalOf(given.value_or(1));
  if (word == "truncated_normal")
    return Init{Init::Kind::TruncatedNormal, 0, given.value_or(1)};
  if (word == "kaiming_uniform")
    return uniformIn(std::sqrt(3.0) * kaiming());
  if (word == "kaiming_normal")
    return normalOf(kaiming());
  if (word == "xavier_uniform")
    return uniformIn(std::sqrt(3.0) * xavier());
  if (word == "xavier_normal")
    return normalOf(xavier());
  if (word == "orthogonal")
    return Init{Init::Kind::Orthogonal, given.value_or(1), 0};
  if (word == "uniform_fan_in")
    return uniform(in);
  if (word == "uniform_fan_out")
    return uniform(out);
  if (word == "ones")
    return Init{Init::Kind::Ones, 0, 0};
  assert(word == "zeros");
  return {};
}

} // namespace

Value perColumn(Site& site, std::string_view name, int64_t n, const Init& init) {
  const ExpertSpace* space = site.experts();
  if (!space)
    return site.parameter(name, {n}, init);
  Value table = site.parameter(name, {space->count, n}, init);
  return space->routing ? site.ops().expertRows(table, space->routing) : site.ops().reshape(table, {space->count, 1, n});
}

Inits initsOf(const Arguments& arguments) {
  if (!arguments.has("init"))
    return {};
  auto rule = [&](const char* name) {
    const Json* json = arguments.get("init").find(name);
    return json && json->isString() && json->string() == "default" ? nullptr : json;
  };
  return {rule("weight"), rule("bias")};
}

Init initOf(const Json* rule, int64_t in, int64_t out, const Init& withoutOne) {
  if (!rule)
    return withoutOne;
  if (rule->isNumber())
    return constantInit(rule->number());
  if (!rule->isObject())
    return ruleOf(rule->string(), std::nullopt, in, out);
  const Json::Member& member = rule->object().front();
  return ruleOf(member.key, member.value.number(), in, out);
}

Parameter initParameter(std::string doc) {
  return {.name = "init",
          .type = ParameterType::Inits,
          .doc = std::move(doc) + " A number is a constant; the words are explained above.",
          .source = "PyTorch 2.15 (torch.nn.init)"};
}

Value linear(Site site, Value x, int64_t out, bool bias, const Inits& inits, const Arguments* sharing) {
  std::optional<int64_t> in = site.width(x);
  if (!in)
    return {};
  const ExpertSpace* space = site.experts();
  ir::Sizes shape{out, *in};
  if (space)
    shape.insert(shape.begin(), space->count);
  Init init = initOf(inits.weight, *in, out, uniformFanIn(*in));
  Value weight = sharing ? site.sharedParameter(*sharing, "weight", shape, init) : site.parameter("weight", shape, init);
  Value y = space && space->routing ? site.ops().groupedMatmul(x, weight, space->routing) : site.ops().matmul(x, weight);
  // FastMoE's experts begin with biases of zero, PyTorch's Linear does not.
  Init biasInit = initOf(inits.bias, *in, out, space ? Init{} : uniformFanIn(*in));
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
  return {.name = std::move(name), .type = ParameterType::Number, .fallback = std::move(fallback), .least = 0, .most = 0.999, .doc = std::move(doc)};
}

const std::vector<std::string>& activationWords() {
  static const std::vector<std::string> words{"relu",       "gelu",       "gelu_tanh", "tanh", "sigmoid", "silu",
                                              "quick_gelu", "leaky_relu", "softplus",  "elu",  "identity"};
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
  if (word == "quick_gelu") // x * sigmoid(1.702 x)
    return ops.mul(x, ops.unary<ir::SigmoidOp>(ops.mul(x, ops.constant({1}, {1.702}, site.element()))));
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
      {.name = "widths", .type = ParameterType::Integers, .doc = "Output width of every layer in turn. This or hidden."},
      {.name = "out", .doc = "Output width with hidden; default: the input's."},
      {.name = "activation",
       .type = ParameterType::Word,
       .fallback = "\"gelu\"",
       .words = activationWords(),
       .doc = "Between the layers. leaky_relu has slope 0.01, elu alpha 1."},
      {.name = "output_activation", .type = ParameterType::Word, .fallback = "\"identity\"", .words = activationWords(), .doc = "After the last layer."},
      {.name = "bias", .type = ParameterType::Bool, .fallback = "true", .doc = "Do the layers have biases?"},
      dropoutParameter("dropout", "0", "In training: the probability that an element becomes 0 between the layers, as by dropout."),
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
      initParameter(),
  };
}

Value mlp(Site& site, const Arguments& arguments, Value x) {
  if (arguments.has("hidden") == arguments.has("widths"))
    return site.error(arguments.position(),
                      fmt::format("{} needs either \"hidden\" or \"widths\"{}", inQuotes(arguments.kind().name), arguments.has("hidden") ? ", not both" : ""));
  bool isLast = false;
  auto layer = [&](Site here, int64_t out) {
    Value y = linear(here, x, out, arguments.flag("bias"), initsOf(arguments));
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
      return site.error(arguments.at("out"), "\"out\" goes with \"hidden\"; the last of \"widths\" is the output's width");
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
