#include "tests/mutations/Subjects.h"

#include "runtime/core/Philox.h"
#include "tests/codegen/ProductCheck.h"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>

namespace moec::testing {
namespace {

std::string text(int64_t value) { return std::to_string(value); }
std::string suffix(DType type) { return type == DType::F64 ? ".f64" : ".f32"; }

std::function<MadeKernel()> written(std::function<ir::KernelOp(KernelMaker&)> write) {
  return [write] {
    MadeKernel made;
    made.context = makeContext();
    made.maker = std::make_unique<KernelMaker>(*made.context);
    made.op = write(*made.maker);
    return made;
  };
}
std::function<MadeKernel()> parsed(const std::string& kind, const std::string& arguments, const std::string& results, const std::string& body) {
  return [=] {
    MadeKernel made;
    made.parsed = parseKernel(kind, arguments, results, body);
    made.op = made.parsed.op;
    return made;
  };
}
CudaOptions call(Bindings bindings, int64_t terms, std::vector<Tensor> inputs = {}) {
  CudaOptions options;
  options.check.bindings = std::move(bindings);
  options.check.terms = terms;
  options.check.inputs = std::move(inputs);
  return options;
}

/// A class token before the patches, positions added, and the sum over the places: loops, copies of parts, bounds of a grid.
Subject loops(DType type) {
  std::string e(name(type));
  std::string patches = fmt::format("tensor<?x4x6x{}, #moe.sizes<\"b\", \"4\", \"6\">>", e),
              one = fmt::format("tensor<?x1x6x{}, #moe.sizes<\"b\", \"1\", \"6\">>", e);
  std::string all = fmt::format("tensor<?x5x6x{}, #moe.sizes<\"b\", \"5\", \"6\">>", e), sums = fmt::format("tensor<?x6x{}, #moe.sizes<\"b\", \"6\">>", e);
  return {"loops" + suffix(type),
          parsed("loops", fmt::format("%x: {0}, %c: tensor<1x1x6x{1}>, %p: tensor<1x5x6x{1}>", patches, e), sums,
                 fmt::format(R"(
    %t = moe.broadcast %c : tensor<1x1x6x{3}> -> {0}
    %a = moe.concat %t, %x axis 1 : {0}, {1}
    %s = moe.add %a, %p : {2}, tensor<1x5x6x{3}>
    %y = moe.reduce sum %s axis 1 : {2}
    moe.yield %y : {4})",
                             one, patches, all, e, sums)),
          {call({{"b", 100}}, 5)},
          {},
          true};
}

/// A depth of several slices and a part of one: more than are on their way at once, so that each place in the ring is used again.
int64_t slicesOf(DType type) { return type == DType::F64 ? 44 : 84; }

/// The first number becomes infinite: zeros that stand for what is not there must be zeros, for what takes their place is read from there.
Tensor startingInfinite(Tensor tensor) {
  if (tensor.dtype() == DType::F64)
    tensor.as<double>()[0] = INFINITY;
  else
    tensor.as<float>()[0] = INFINITY;
  return tensor;
}

/// A row of scores: the largest anywhere, ties, none above zero, hardly a number.
std::vector<double> hardScores(int64_t row, int64_t rows, int64_t width) {
  std::vector<double> scores;
  int64_t best = row * width / rows;
  Tensor numbers = randomTensor(DType::F64, {width}, static_cast<uint32_t>(100 + row));
  for (int64_t i = 0; i < width; ++i) {
    double number = numbers.as<double>()[static_cast<size_t>(i)];
    switch (row % 5) {
    case 0:
      scores.push_back(i == best ? 5 : number);
      break;
    case 1:
      scores.push_back(i == best ? -1 : -2 + number);
      break;
    case 2:
      scores.push_back(std::round(number));
      break;
    case 3:
      scores.push_back(i == best || i == best / 2 ? number : std::nan(""));
      break;
    default:
      scores.push_back(i % 2 ? -0.0 : i == best ? -1 : 0);
      break;
    }
  }
  return scores;
}
Tensor hardScores(DType type, int64_t rows, int64_t width) {
  Tensor all(DType::F64, {rows, width});
  for (int64_t row = 0; row < rows; ++row)
    std::ranges::copy(hardScores(row, rows, width), all.as<double>().begin() + row * width);
  return all.cast(type);
}

/// A layer norm of a residual sum; the best columns of another argument, and their softmax: a row by some lanes of a warp, or by a block.
Subject rows(DType type, int64_t width, const std::string& form, bool sample) {
  std::string e(name(type)), m = fmt::format("tensor<?x{0}x{1}, #moe.sizes<\"t\", \"{0}\">>", width, e), v = fmt::format("tensor<{}x{}>", width, e);
  std::string best = fmt::format("tensor<?x3x{}, #moe.sizes<\"t\", \"3\">>", e), places = "tensor<?x3xi32, #moe.sizes<\"t\", \"3\">>";
  return {"rows" + form + suffix(type),
          parsed("rows", fmt::format("%z: {0}, %x: {0}, %r: {0}, %w: {1}, %b: {1}", m, v), fmt::format("{0}, {0}, {1}, {2}", m, best, places),
                 fmt::format("%s = moe.add %x, %r : {0}, {0}\n"
                             "%n = moe.layer_norm %s weight %w : {1} bias %b : {1} eps 1.0e-5 of {0}\n"
                             "%v, %i = moe.select %z k 3 : {0}\n %p = moe.softmax %v : {2}\n moe.yield %s, %n, %p, %i : {0}, {0}, {2}, {3}",
                             m, v, best, places)),
          {call({{"t", 11}}, width), call({{"t", 65}}, width, {hardScores(type, 65, width)})},
          {},
          sample};
}

Subject matmul(DType type, int64_t depth) {
  int64_t columns = 70, rows = 67;
  auto write = [=](KernelMaker& maker) {
    mlir::Value a = maker.tensor(type, {"m", text(depth)}), w = maker.tensor(type, {text(columns), text(depth)});
    mlir::Value y = maker.make<ir::AddOp>(maker.make<ir::MatmulOp>(a, w), maker.tensor(type, {text(columns)}));
    return maker.finish("matmul", {maker.make<ir::AddOp>(y, maker.tensor(type, {"m", text(columns)}))});
  };
  return {"matmul" + suffix(type),
          written(write),
          {call({{"m", rows}}, depth), call({{"m", rows}}, depth, {startingInfinite(randomTensor(type, {rows, depth}, 1))})},
          {},
          type == DType::F32};
}

/// Of sizes that are known only at the call, the depth too.
Subject matmulOfAnyDepth(DType type) {
  auto write = [=](KernelMaker& maker) {
    mlir::Value a = maker.tensor(type, {"batch", "m", "k"}), b = maker.tensor(type, {"batch", "n", "k"});
    return maker.finish("matmul", {maker.make<ir::MatmulOp>(a, b)});
  };
  auto sizes = [](int64_t m, int64_t n, int64_t k) { return Bindings{{"batch", 2}, {"m", m}, {"n", n}, {"k", k}}; };
  return {"matmul.depth" + suffix(type),
          written(write),
          {call(sizes(37, 70, 75), 75), call(sizes(67, 45, 75), 75, {startingInfinite(randomTensor(type, {2, 67, 75}, 1))}), call(sizes(3, 5, 7), 7),
           call(sizes(3, 5, 12), 12), call(sizes(3, 5, 23), 23), call(sizes(3, 5, 41), 41),
           call(sizes(3, 5, 0), 1)}}; // each copy of the prologue in part, no depth
}

/// x and w whose product has the scores of hardScores, one kind for each column of x; now and then a token of NaN.
std::vector<Tensor> hardProducts(DType type, int64_t tokens, int64_t width, int64_t experts) {
  Tensor x(DType::F64, {tokens, width}), w(DType::F64, {experts, width});
  std::ranges::fill(x.as<double>(), 0);
  for (int64_t token = 0; token < tokens; ++token)
    x.as<double>()[static_cast<size_t>(token * width + token % width)] = token % 23 == 5 ? std::nan("") : 1;
  for (int64_t i = 0; i < width; ++i) {
    int64_t kind = i % 5 == 3 ? i - 1 : i; // no NaN in w: it would reach all tokens
    std::vector<double> scores = hardScores(kind, width, experts);
    for (int64_t expert = 0; expert < experts; ++expert)
      w.as<double>()[static_cast<size_t>(expert * width + i)] = scores[static_cast<size_t>(expert)];
  }
  return {startingInfinite(x.cast(type)), w.cast(type)};
}

/// A capacity below zero, which keeps no row, and one past the 32 bits of what a kernel counts, which keeps all.
constexpr int64_t kEdgesOfCapacity[] = {-1, (int64_t{1} << 32) - 3};

/// Scores by a product, the best of them, and which rows each expert gets: few rows by one block, more by many.
Subject gate(DType type) {
  constexpr int64_t experts = 64, choices = 3;
  int64_t width = slicesOf(type);
  auto write = [=](KernelMaker& maker) {
    mlir::OpBuilder& b = maker.builder();
    mlir::Value x = maker.tensor(type, {"t", text(width)}), w = maker.tensor(type, {text(experts), text(width)});
    ir::SelectOp top = ir::SelectOp::create(b, maker.loc(), maker.make<ir::MatmulOp>(x, w), b.getI64IntegerAttr(choices));
    mlir::Value routing = ir::AssignOp::create(b, maker.loc(), top.getIndices(), b.getI64IntegerAttr(experts),
                                               ir::PriorityAttr::get(b.getContext(), ir::Priority::TokenMajor), b.getStringAttr("capacity"));
    return maker.finish("gate", {routing, top.getValues()});
  };
  Subject subject{"gate" + suffix(type), written(write), {}, {{"one_block_rows", 400}, {"token_block", 4}, {"warps_n", 4}, {"tile_n", 64}}};
  auto sizes = [](int64_t tokens, int64_t capacity) { return Bindings{{"t", tokens}, {"capacity", capacity}}; };
  subject.calls = {call(sizes(110, 5), width), call(sizes(110, 5), width, hardProducts(type, 110, width, experts)), call(sizes(2155, 97), width)};
  for (int64_t tokens : {110, 134})
    for (int64_t capacity : kEdgesOfCapacity)
      subject.calls.push_back(call(sizes(tokens, capacity), width));
  return subject;
}

/// Choices and masks that are arguments; some name no expert. With one capacity of two, each place where a count may be wrong has an expert whose limit is
/// there.
Subject gateOfIndices() {
  constexpr int64_t experts = 40, choices = 2;
  auto write = [=](KernelMaker& maker) {
    mlir::OpBuilder& b = maker.builder();
    mlir::Value indices = maker.tensor(DType::I32, {"t", text(choices)});
    mlir::Value routing = ir::AssignOp::create(b, maker.loc(), indices, b.getI64IntegerAttr(experts),
                                               ir::PriorityAttr::get(b.getContext(), ir::Priority::ChoiceMajor), b.getStringAttr("capacity"));
    return maker.finish("gate", {maker.make<ir::DropOp>(routing, maker.tensor(DType::Bool, {"t", text(choices)}))});
  };
  Subject subject{"gate.indices", written(write), {}, {{"one_block_rows", 400}, {"token_block", 4}}};
  std::vector<std::pair<int64_t, int64_t>> sizes{{190, 8}, {2170, 60}, {2170, 70}};
  for (int64_t tokens : {190, 210})
    for (int64_t capacity : kEdgesOfCapacity)
      sizes.push_back({tokens, capacity});
  for (auto [tokens, capacity] : sizes) {
    std::vector<int32_t> indices;
    Tensor mask(DType::Bool, {tokens, choices});
    for (int64_t row = 0; row < tokens * choices; ++row) {
      auto numbers = draw(3, 2, 0, static_cast<uint64_t>(row));
      indices.push_back(numbers[0] % 9 == 0 ? -1 : static_cast<int32_t>(numbers[1] % (2 * experts) % (experts + 7)) % experts);
      mask.as<uint8_t>()[static_cast<size_t>(row)] = numbers[2] % 4 != 0;
    }
    subject.calls.push_back(call({{"t", tokens}, {"capacity", capacity}}, 1, {Tensor::of(indices, {tokens, choices}), mask}));
  }
  return subject;
}

/// Rows of experts: half of them of one, the others anywhere, some of none. In the second call a block has several tiles, and there is an infinite number.
struct Experts {
  static constexpr int64_t experts = 40, choices = 2, tokens = 80;

  /// Seven slices: no multiple of the places in a ring, so that the next tile's first copies take the place of the last slice.
  static int64_t depth(DType type) { return type == DType::F64 ? 52 : 100; }
  static Tensor routing() {
    std::vector<int32_t> of;
    for (int64_t row = 0; row < tokens * choices; ++row) {
      auto any = static_cast<int32_t>(draw(3, 1, 0, static_cast<uint64_t>(row))[0] % experts);
      of.push_back(row % 7 == 0 ? -1 : row % 2 ? 5 : any);
    }
    return routingTensor(of, experts, choices);
  }
  /// rowsOfToken: how many rows of x a token has.
  static std::vector<CudaOptions> calls(DType type, int64_t width, int64_t rowsOfToken, const std::vector<unsigned>& raggedInputs,
                                        const std::vector<unsigned>& raggedOutputs) {
    std::vector<CudaOptions> all;
    for (bool severalTurns : {false, true}) {
      Tensor x = randomTensor(type, {tokens * rowsOfToken, width}, 1);
      CudaOptions options = call({{"t", tokens}}, width, {severalTurns ? startingInfinite(x) : x, routing()});
      options.kept = static_cast<const int32_t*>(options.check.inputs[1].data())[experts];
      options.raggedInputs = raggedInputs;
      options.raggedOutputs = raggedOutputs;
      if (severalTurns) {
        options.turnsStage = "_product";
        options.mostBlocks = 7;
      }
      all.push_back(std::move(options));
    }
    return all;
  }
  static mlir::Value routingOf(KernelMaker& maker) { return maker.routing(experts, "t", choices); }
  static mlir::Value weights(KernelMaker& maker, DType type, int64_t columns, int64_t depth) {
    return maker.tensor(type, {text(experts), text(columns), text(depth)});
  }
  static std::string rowsText() { return text(choices) + "*t"; }
};

Subject expertUp(DType type) {
  int64_t width = Experts::depth(type), hidden = 83;
  auto write = [=](KernelMaker& maker) {
    mlir::Value x = maker.tensor(type, {"t", text(width)}), routes = Experts::routingOf(maker), w = Experts::weights(maker, type, hidden, width);
    mlir::Value y = maker.make<ir::GroupedMatmulOp>(maker.make<ir::DispatchOp>(x, routes), w, routes);
    y = maker.make<ir::AddOp>(y, maker.make<ir::ExpertRowsOp>(maker.tensor(type, {text(Experts::experts), text(hidden)}), routes));
    return maker.finish("expert_up", {maker.make<ir::ReluOp>(y)});
  };
  return {"expert_up" + suffix(type), written(write), Experts::calls(type, width, 1, {}, {0})};
}

Subject expertMid(DType type) {
  int64_t width = Experts::depth(type) + 1, hidden = 35; // copies of single elements
  auto write = [=](KernelMaker& maker) {
    mlir::Value x = maker.tensor(type, {Experts::rowsText(), text(width)}), routes = Experts::routingOf(maker);
    mlir::Value w = Experts::weights(maker, type, hidden, width), other = maker.tensor(type, {Experts::rowsText(), text(hidden)});
    return maker.finish("expert_mid", {maker.make<ir::MulOp>(maker.make<ir::GroupedMatmulOp>(x, w, routes), other)});
  };
  return {"expert_mid" + suffix(type), written(write), Experts::calls(type, width, Experts::choices, {0, 3}, {0})};
}

/// With the combine of a token's choices, and a residual.
Subject expertDown(DType type) {
  int64_t width = 51, hidden = Experts::depth(type);
  auto write = [=](KernelMaker& maker) {
    mlir::Value x = maker.tensor(type, {Experts::rowsText(), text(hidden)}), routes = Experts::routingOf(maker);
    mlir::Value w = Experts::weights(maker, type, width, hidden), bias = maker.tensor(type, {text(Experts::experts), text(width)});
    mlir::Value choice = maker.tensor(type, {"t", text(Experts::choices)}), residual = maker.tensor(type, {"t", text(width)});
    mlir::Value y = maker.make<ir::AddOp>(maker.make<ir::GroupedMatmulOp>(x, w, routes), maker.make<ir::ExpertRowsOp>(bias, routes));
    return maker.finish("expert_down", {maker.make<ir::AddOp>(maker.make<ir::CombineOp>(y, routes, choice), residual)});
  };
  return {"expert_down" + suffix(type), written(write), Experts::calls(type, hidden, Experts::choices, {0}, {})};
}

/// A whole layer by one block. Expert 0 stays empty, so that its weights may start with an infinite number: copies of what is not there read from them. Some
/// experts are chosen by nearly all tokens, at any of their choices, and drop most of them. Products have fewer slices than the ring places, so that copies of
/// the next tile begin before the first product, and the last slice of scores is in a place that the next tile's first copies take.
Subject layer(DType type) {
  constexpr int64_t tokens = 89, width = 68, hidden = 50, experts = 40, choices = 6;
  auto write = [=](KernelMaker& maker) {
    mlir::OpBuilder& b = maker.builder();
    mlir::Value bias = maker.tensor(type, {text(experts)}), x = maker.tensor(type, {text(tokens), text(width)}),
                w = maker.tensor(type, {text(experts), text(width)});
    mlir::Value up = Experts::weights(maker, type, hidden, width), upBias = maker.tensor(type, {text(experts), text(hidden)});
    mlir::Value down = Experts::weights(maker, type, width, hidden), residual = maker.tensor(type, {text(tokens), text(width)});
    mlir::Value scores = maker.make<ir::AddOp>(maker.make<ir::MatmulOp>(x, w), bias);
    ir::SelectOp top = ir::SelectOp::create(b, maker.loc(), scores, b.getI64IntegerAttr(choices));
    mlir::Value routing = ir::AssignOp::create(b, maker.loc(), top.getIndices(), b.getI64IntegerAttr(experts),
                                               ir::PriorityAttr::get(b.getContext(), ir::Priority::TokenMajor), b.getStringAttr("capacity"));
    mlir::Value rows = maker.make<ir::GroupedMatmulOp>(maker.make<ir::DispatchOp>(x, routing), up, routing);
    rows = maker.make<ir::ReluOp>(maker.make<ir::AddOp>(rows, maker.make<ir::ExpertRowsOp>(upBias, routing)));
    rows = maker.make<ir::GroupedMatmulOp>(rows, down, routing);
    mlir::Value y = maker.make<ir::CombineOp>(rows, routing, maker.make<ir::SoftmaxOp>(top.getValues()));
    return maker.finish("moe_layer", {maker.make<ir::AddOp>(y, residual)});
  };
  static_assert(experts == Experts::experts);
  Subject subject{
      "moe_layer" + suffix(type), written(write), {}, {{"score_tile_n", 32}, {"tile_m", 8}, {"tile_n", 64}, {"warps_m", 2}, {"warps_n", 4}, {"stages", 6}}};
  // The first of the chosen experts, how far apart they are, how much they are ahead, a capacity, whether there are infinite numbers.
  auto add = [&](int64_t first, int64_t step, double ahead, int64_t capacity, bool infinite) {
    Tensor bias(DType::F64, {experts});
    for (int64_t expert = 0; expert < experts; ++expert)
      bias.as<double>()[static_cast<size_t>(expert)] = expert == 0 ? -900 : expert >= first && (expert - first) % step == 0 ? ahead : 0;
    std::vector<Tensor> inputs{bias.cast(type)};
    for (const Shape& shape :
         {Shape{tokens, width}, Shape{experts, width}, Shape{experts, hidden, width}, Shape{experts, hidden}, Shape{experts, width, hidden}})
      inputs.push_back(randomTensor(type, shape, static_cast<uint32_t>(inputs.size())));
    if (infinite)
      for (size_t i : {size_t{1}, size_t{3}, size_t{5}})
        inputs[i] = startingInfinite(inputs[i]);
    subject.calls.push_back(call({{"capacity", capacity}}, 4 * width, inputs));
  };
  add(5, 7, 5, 11, false);
  add(5, 7, 5, 11, true);
  add(31, 1, 50, 1, false);                 // the first copies come to experts that a warp has to read anew
  add(1, 1, -20, 1, false);                 // scores below zero; the first tokens keep some of their choices
  add(5, 7, 5, kEdgesOfCapacity[0], false); // no row at all
  add(5, 7, 5, kEdgesOfCapacity[1], false);
  return subject;
}

Subject attention(DType type, int64_t headDim, std::vector<int64_t> queries) {
  int64_t heads = 2, inner = heads * headDim;
  auto write = [=](KernelMaker& maker) {
    mlir::OpBuilder& b = maker.builder();
    mlir::Value all = maker.tensor(type, {"batch", "n", text(3 * inner)});
    auto part = [&](int64_t i) { return maker.make<ir::SliceOp>(all, b.getI64IntegerAttr(2), b.getStringAttr(text(i * inner)), b.getStringAttr(text(inner))); };
    mlir::Value q = part(0), k = part(1), v = part(2);
    return maker.finish("attention", {ir::AttentionOp::create(b, maker.loc(), q, k, v, b.getI64IntegerAttr(heads),
                                                              b.getF64FloatAttr(1.5 / std::sqrt(static_cast<double>(headDim))), b.getUnitAttr())});
  };
  Subject subject{"attention" + suffix(type), written(write), {}};
  for (int64_t n : queries)
    subject.calls.push_back(call({{"batch", 1}, {"n", n}}, headDim + n, {startingInfinite(randomTensor(type, {1, n, 3 * inner}, 1))}));
  return subject;
}

/// With a dropout by draws of the kernel's own: blocks of keys in whole and in part.
Subject attentionWithDropout(DType type) {
  int64_t heads = 2, headDim = 20, inner = heads * headDim;
  auto write = [=](KernelMaker& maker) {
    mlir::OpBuilder& b = maker.builder();
    mlir::Value q = maker.tensor(type, {"batch", "n", text(inner)}), k = maker.tensor(type, {"batch", "n", text(inner)}),
                v = maker.tensor(type, {"batch", "n", text(inner)});
    mlir::Value draws = maker.draws(type, {"batch", text(heads), "n", "n"});
    return maker.finish("attention", {ir::AttentionOp::create(b, maker.loc(), q, k, v, mlir::Value(), draws, b.getI64IntegerAttr(heads), mlir::IntegerAttr(),
                                                              b.getF64FloatAttr(0.3), mlir::UnitAttr(), b.getF64FloatAttr(0.25))});
  };
  Subject subject{"attention.dropout" + suffix(type), written(write), {}};
  for (int64_t n : {37, 70})
    subject.calls.push_back(call({{"batch", 2}, {"n", n}}, headDim + n));
  return subject;
}

/// Two families of tensors, one with members of several sizes that find their buffers in a table, the other alone; numbers that all read. In place: what is
/// done twice is another number.
Subject update() {
  CudaOptions inPlace = call({}, 1);
  inPlace.inPlace = {{0, 1}, {1, 3}, {2, 5}, {3, 7}};
  return {
      "update.f32",
      parsed(
          "update",
          "%r: tensor<f64>, %p: tensor<1500xf32>, %g: tensor<1500xf32>, %q: tensor<33x7xf32>, %h: tensor<33x7xf32>, %s: tensor<5xf32>, %i: tensor<5xf32>, %m: tensor<300xf32>",
          "tensor<1500xf32>, tensor<33x7xf32>, tensor<5xf32>, tensor<300xf32>", R"(
    %one = moe.constant dense<1.0> : tensor<f64>
    %t = moe.add %r, %one : tensor<f64>, tensor<f64>
    %w = moe.cast %t to f32 : tensor<f64>
    %a = moe.mul %g, %w : tensor<1500xf32>, tensor<f32>
    %x = moe.sub %p, %a : tensor<1500xf32>, tensor<1500xf32>
    %b = moe.mul %h, %w : tensor<33x7xf32>, tensor<f32>
    %y = moe.sub %q, %b : tensor<33x7xf32>, tensor<33x7xf32>
    %c = moe.mul %i, %w : tensor<5xf32>, tensor<f32>
    %z = moe.sub %s, %c : tensor<5xf32>, tensor<5xf32>
    %d = moe.mul %m, %m : tensor<300xf32>, tensor<300xf32>
    moe.yield %x, %y, %z, %d : tensor<1500xf32>, tensor<33x7xf32>, tensor<5xf32>, tensor<300xf32>)"),
      {inPlace}};
}

/// Sums of tensors of several pieces and of a part of one, and what is made of them.
Subject totals() {
  return {"totals.f32",
          parsed("totals", "%x: tensor<5000xf32>, %y: tensor<77x3xf32>, %z: tensor<4096xf32>", "tensor<f32>, tensor<f32>", R"(
    %a = moe.mul %x, %x : tensor<5000xf32>, tensor<5000xf32>
    %p = moe.reduce sum %a axis 0 : tensor<5000xf32>
    %v = moe.reshape %y : tensor<77x3xf32> -> tensor<231xf32>
    %b = moe.mul %v, %v : tensor<231xf32>, tensor<231xf32>
    %q = moe.reduce sum %b axis 0 : tensor<231xf32>
    %s = moe.add %p, %q : tensor<f32>, tensor<f32>
    %n = moe.sqrt %s : tensor<f32>
    %m = moe.reduce mean %z axis 0 : tensor<4096xf32>
    moe.yield %n, %m : tensor<f32>, tensor<f32>)"),
          {call({}, 5000)}};
}

std::vector<Subject> makeSubjects() {
  std::vector<Subject> all;
  for (DType type : {DType::F32, DType::F64}) {
    all.push_back(loops(type));
    all.push_back(rows(type, 100, "", type == DType::F32));
    all.push_back(rows(type, 1100, ".wide", false));
    all.push_back(matmul(type, type == DType::F32 ? 84 : 45));
    all.push_back(matmulOfAnyDepth(type));
    if (type == DType::F32) // of f64, the product and the rows have kernels of their own here
      all.push_back(gate(type));
    all.push_back(expertUp(type));
    all.push_back(expertMid(type));
    all.push_back(expertDown(type));
    if (type == DType::F32)
      all.push_back(layer(type));
    all.push_back(type == DType::F32 ? attention(type, 20, {91, 5, 150}) : attention(type, 13, {50, 5, 107}));
  }
  all.push_back(gateOfIndices());
  all.push_back(attentionWithDropout(DType::F32));
  all.push_back(update());
  all.push_back(totals());
  return all;
}

} // namespace

const std::vector<Subject>& subjects() {
  static const std::vector<Subject> all = makeSubjects();
  return all;
}

const Subject& subjectOf(const std::string& name) {
  for (const Subject& subject : subjects())
    if (subject.name == name)
      return subject;
  throw std::invalid_argument("there is no kernel " + name + " among those that are mutated");
}

} // namespace moec::testing
