#include "codegen/cuda/ElementText.h"

#include "llvm/ADT/TypeSwitch.h"

namespace moec::codegen::cuda {

//===--- places ---===//

std::string linearIndex(KernelText& k, const ir::Sizes& sizes, const Coordinates& at) {
  // Products of sizes beyond 31 bits, and of sizes that are known only at the call, are of 64 bits.
  std::optional<int64_t> elements = ir::product(sizes).constant();
  bool wide = !elements || *elements > INT32_MAX;
  std::string text;
  int terms = 0;
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (!text.empty() && !(sizes[i] == Size(1)))
      text = fmt::format("{} * {}", terms > 1 ? "(" + text + ")" : text, k.size(sizes[i])), terms = 1;
    if (at[i] == "0")
      continue;
    if (text.empty()) {
      text = wide ? fmt::format("(long long)({})", at[i]) : at[i].find(' ') == std::string::npos ? at[i] : "(" + at[i] + ")";
      terms = 1;
    } else {
      text += " + " + (at[i].find(' ') == std::string::npos ? at[i] : "(" + at[i] + ")");
      ++terms;
    }
  }
  return text.empty() ? "0" : text;
}

Coordinates broadcastPlace(const ir::Sizes& operand, const Coordinates& at) {
  Coordinates place;
  for (size_t i = 0; i < operand.size(); ++i)
    place.push_back(operand[i] == Size(1) ? "0" : at[at.size() - operand.size() + i]);
  return place;
}

Coordinates printCoordinates(KernelText& k, Lines& out, std::string_view index, const ir::Sizes& sizes, std::string_view prefix) {
  Coordinates at(sizes.size());
  std::string rest(index);
  for (size_t i = sizes.size(); i-- > 0;) {
    bool fits = sizes[i].constant() && *sizes[i].constant() <= INT32_MAX;
    const char* type = fits ? "int" : "long long";
    if (sizes[i] == Size(1)) {
      at[i] = "0";
      continue;
    }
    at[i] = fmt::format("{}{}", prefix, i);
    Size before = ir::product({sizes.begin(), sizes.begin() + static_cast<int64_t>(i)});
    if (before == Size(1)) {
      out.line("const {} {} = ({})({});", type, at[i], type, rest);
    } else {
      out.line("const {} {} = ({})({} % {});", type, at[i], type, rest, k.size(sizes[i]));
      rest = fmt::format("{} / {}", rest.find(' ') == std::string::npos ? rest : "(" + rest + ")", k.size(sizes[i]));
    }
  }
  return at;
}

std::string storeText(DType type, std::string_view pointer, std::string_view index, std::string_view value) {
  if (type == DType::BF16)
    return fmt::format("{}[{}] = toBfloat16({});", pointer, index, value);
  return fmt::format("{}[{}] = {};", pointer, index, value);
}

std::string loadText(DType type, std::string_view pointer, std::string_view index) {
  if (type == DType::BF16)
    return fmt::format("toFloat({}[{}])", pointer, index);
  return type == DType::Bool ? fmt::format("({}[{}] != 0)", pointer, index) : fmt::format("{}[{}]", pointer, index);
}

//===--- elements ---===//

std::string ElementText::fresh(std::string_view name) { return fmt::format("{}{}", name, names_[std::string(name)]++); }

std::string ElementText::define(DType type, std::string_view name, std::string_view expression) {
  std::string variable = fresh(name);
  out_->line("const {} {} = {};", registerType(type), variable, expression);
  return variable;
}

std::string ElementText::element(mlir::Value value, const Coordinates& at) {
  std::pair<void*, Coordinates> place{value.getAsOpaquePointer(), at};
  if (auto known = known_.find(place); known != known_.end())
    return known->second;
  std::string text;
  if (auto source = sources_.find(value); source != sources_.end())
    text = Source(source->second)(at); // a copy: it may bind others
  if (!text.empty())
    return known_[place] = text;
  if (auto argument = mlir::dyn_cast<mlir::BlockArgument>(value))
    text = load(argument, at);
  else
    text = compute(value, at);
  return known_[place] = text;
}

std::string ElementText::load(mlir::BlockArgument argument, const Coordinates& at) {
  DType type = dtypeOf(argument);
  std::string pointer = k_.input(argument.getArgNumber());
  return define(type, pointer + "_", loadText(type, pointer, linearIndex(k_, ir::sizesOf(mlir::Value(argument)), at)));
}

std::string ElementText::compute(mlir::Value value, const Coordinates& at) {
  mlir::Operation* op = value.getDefiningOp();
  if (std::string_view skeleton = skeletonOf(op); !skeleton.empty())
    k_.use(skeleton);
  DType type = dtypeOf(value);
  return llvm::TypeSwitch<mlir::Operation*, std::string>(op)
      .Case([&](ir::ReshapeOp reshaped) { return reshape(reshaped, at); })
      .Case([&](ir::TransposeOp transpose) {
        Coordinates from(at.size());
        for (auto [i, axis] : llvm::enumerate(transpose.getPermutation()))
          from[static_cast<size_t>(axis)] = at[i];
        return element(transpose.getX(), from);
      })
      .Case([&](ir::SliceOp slice) {
        Coordinates from = at;
        Size start = Size::parse(slice.getStart().str());
        std::string& along = from[slice.getAxis()];
        if (!(start == Size(0)))
          along = along == "0" ? k_.size(start) : fmt::format("{} + {}", along, k_.size(start));
        return element(slice.getX(), from);
      })
      .Case([&](ir::SliceAtOp slice) { return sliceAt(slice, at); })
      .Case([&](ir::BroadcastOp wide) { return element(wide.getX(), broadcastPlace(ir::sizesOf(wide.getX()), at)); })
      .Case([&](ir::EmbeddingOp op) { return embedding(op, at); })
      .Case([&](ir::RandomOp random) {
        const char* function = random.getDistribution() == ir::Distribution::Uniform ? "uniform" : "normal";
        return define(type, "draw",
                      fmt::format("{}{}(seed, step, {}, (unsigned long long)({}))", function, type == DType::F64 ? "F64" : "F32", k_.stream(random),
                                  linearIndex(k_, ir::sizesOf(value), at)));
      })
      .Case([&](ir::ConstantOp op) { return constant(op, at); })
      .Case([&](ir::SizeOp op) {
        std::string count = k_.size(Size::parse(op.getValue().str()));
        if (type == DType::I32) // where an int does not hold it, its nearest number
          return define(type, "size", fmt::format("(int)({0} > 0x7fffffff ? 0x7fffffff : {0} < -0x7fffffff - 1 ? -0x7fffffff - 1 : {0})", count));
        std::string number = fmt::format("({}){}", registerType(type == DType::BF16 ? DType::F64 : type), count);
        return define(type, "size", type == DType::BF16 ? fmt::format("toFloat(toBfloat16({}))", number) : number);
      })
      .Case([&](ir::ConcatOp op) { return concat(op, at); })
      .Case([&](ir::ReduceOp op) { return reduce(op, at); })
      .Case([&](ir::RelativeBiasOp op) { return relativeBias(op, at); })
      .Case([&](ir::RotaryOp op) { return rotary(op, at); })
      .Default([&](mlir::Operation*) {
        llvm::SmallVector<std::string> operands;
        for (mlir::Value operand : op->getOperands())
          operands.push_back(element(operand, broadcastPlace(ir::sizesOf(operand), at)));
        std::string text = elementwise(op, operands);
        if (type == DType::BF16)
          text = fmt::format("toFloat(toBfloat16({}))", text);
        return define(type, op->getName().stripDialect().str(), text);
      });
}

// Equal last dimensions keep their coordinates, so that only what really changes is divided.
std::string ElementText::reshape(ir::ReshapeOp op, const Coordinates& at) {
  ir::Sizes to = ir::sizesOf(op.getResult()), from = ir::sizesOf(op.getX());
  size_t same = 0;
  while (same < to.size() && same < from.size() && to[to.size() - 1 - same] == from[from.size() - 1 - same])
    ++same;
  ir::Sizes toHead(to.begin(), to.end() - static_cast<int64_t>(same)), fromHead(from.begin(), from.end() - static_cast<int64_t>(same));
  std::string index = fresh("place");
  out_->line("const long long {} = {};", index, linearIndex(k_, toHead, {at.begin(), at.end() - static_cast<int64_t>(same)}));
  Coordinates place = printCoordinates(k_, *out_, index, fromHead, index + "_");
  place.insert(place.end(), at.end() - static_cast<int64_t>(same), at.end());
  return element(op.getX(), place);
}

/// A chain of branches over the operands; each reads only its own.
std::string ElementText::concat(ir::ConcatOp op, const Coordinates& at) {
  size_t axis = op.getAxis();
  std::string result = fresh("concat");
  out_->line("{} {};", registerType(dtypeOf(op.getResult())), result);
  Size start = 0;
  auto known = known_;
  for (auto [i, x] : llvm::enumerate(op.getXs())) {
    Coordinates from = at;
    if (!(start == Size(0)))
      from[axis] = fmt::format("{} - {}", at[axis], k_.size(start));
    start = start + ir::sizesOf(x)[axis];
    if (i + 1 < op.getXs().size())
      out_->open("{}if ({} < {})", i == 0 ? "" : "else ", at[axis], k_.size(start));
    else
      out_->open("{}", i == 0 ? "" : "else");
    out_->line("{} = {};", result, element(x, from));
    out_->close();
    known_ = known;
  }
  return result;
}

std::string ElementText::reduce(ir::ReduceOp op, const Coordinates& at) {
  DType from = dtypeOf(op.getX()), to = dtypeOf(op.getResult());
  bool floating = from == DType::F32 || from == DType::F64 || from == DType::BF16, isMax = op.getKind() == ir::ReduceKind::Max;
  // Sums of floats are of doubles, as everywhere.
  DType sumType = !floating ? DType::I64 : isMax ? (from == DType::BF16 ? DType::F32 : from) : DType::F64;
  std::string sum = fresh(isMax ? "largest" : "sum"), i = fresh("i");
  Size count = ir::sizesOf(op.getX())[op.getAxis()];
  std::string first = isMax ? (floating ? literal(sumType, -std::numeric_limits<double>::infinity()) : "(-0x7fffffffffffffffll - 1)") : literal(sumType, 0);
  out_->line("{} {} = {};", registerType(sumType), sum, first);
  out_->open("for (long long {0} = 0; {0} < {1}; ++{0})", i, k_.size(count));
  auto known = known_;
  Coordinates place = at;
  place.insert(place.begin() + op.getAxis(), i);
  std::string x = element(op.getX(), place);
  if (!isMax)
    out_->line("{} += {};", sum, x);
  else if (floating)
    out_->line("{0} = {1} > {0} || {1} != {1} ? {1} : {0};", sum, x); // NaN stays: nothing is greater
  else
    out_->line("{0} = {1} > {0} ? {1} : {0};", sum, x);
  known_ = std::move(known);
  out_->close();
  std::string result = sum;
  if (op.getKind() == ir::ReduceKind::Mean)
    result = fmt::format("{} / ({}){}", sum, registerType(sumType), k_.size(count));
  if (to == DType::BF16)
    result = fmt::format("toFloat(toBfloat16({}))", result);
  else if (to != sumType)
    result = fmt::format("({})({})", registerType(to), result);
  return result == sum ? sum : define(to, "reduced", result);
}

std::string ElementText::constant(ir::ConstantOp op, const Coordinates& at) {
  auto values = mlir::cast<mlir::DenseElementsAttr>(op.getValue());
  DType type = dtypeOf(op.getResult());
  auto text = [&](const mlir::APInt& bits) {
    switch (type) {
    case DType::F64:
      return literal(type, bits.bitsToDouble());
    case DType::F32:
      return literal(type, static_cast<double>(bits.bitsToFloat()));
    case DType::BF16:
      return literal(type, static_cast<double>(mlir::APFloat(mlir::APFloat::BFloat(), bits).convertToFloat()));
    case DType::U8:
    case DType::Bool:
      return fmt::format("{}", bits.getZExtValue());
    default:
      return integerLiteral(type, bits.getSExtValue());
    }
  };
  std::vector<std::string> elements;
  auto bitsOf = [&](auto attribute) {
    if (auto number = mlir::dyn_cast<mlir::FloatAttr>(attribute))
      return number.getValue().bitcastToAPInt();
    return mlir::cast<mlir::IntegerAttr>(attribute).getValue();
  };
  if (values.isSplat())
    return text(bitsOf(values.getSplatValue<mlir::Attribute>()));
  for (mlir::Attribute element : values.getValues<mlir::Attribute>())
    elements.push_back(text(bitsOf(element)));
  std::string table = tableOf(op, registerType(type), elements);
  return define(type, "constant", fmt::format("{}[{}]", table, linearIndex(k_, ir::sizesOf(op.getResult()), at)));
}

std::string ElementText::embedding(ir::EmbeddingOp op, const Coordinates& at) {
  std::string id = element(op.getIds(), {at.begin(), at.end() - 1});
  std::string row = fresh("id");
  out_->line("const long long {} = {};", row, id);
  return element(op.getTable(), {row, at.back()});
}

//===--- elementwise ops ---===//

std::string_view skeletonOf(mlir::Operation* op) {
  if (mlir::isa<ir::RandomOp>(op))
    return "random.cuh";
  bool plain = mlir::isa<ir::NegOp, ir::DetachOp, ir::AddOp, ir::SubOp, ir::MulOp, ir::DivOp, ir::CompareOp, ir::WhereOp>(op);
  if (auto cast = mlir::dyn_cast<ir::CastOp>(op))
    return ir::dtypeOf(cast.getTo()) == DType::I32 ? "math.cuh" : "";
  return ir::isElementwise(op) && !plain ? "math.cuh" : "";
}

int64_t elementCost(mlir::Operation* op) {
  if (mlir::isa<ir::RandomOp, ir::RotaryOp>(op))
    return 80;
  if (mlir::isa<ir::RelativeBiasOp>(op))
    return 16;
  bool transcendental = mlir::isa<ir::ExpOp, ir::LogOp, ir::TanhOp, ir::SigmoidOp, ir::SoftplusOp, ir::ErfOp, ir::GeluOp, ir::GeluTanhOp, ir::SiluOp, ir::EluOp,
                                  ir::GeluGradOp, ir::GeluTanhGradOp>(op);
  return transcendental ? 30 : 1;
}

namespace {

std::string_view signOf(ir::Predicate predicate) {
  switch (predicate) {
  case ir::Predicate::EQ:
    return "==";
  case ir::Predicate::NE:
    return "!=";
  case ir::Predicate::LT:
    return "<";
  case ir::Predicate::LE:
    return "<=";
  case ir::Predicate::GT:
    return ">";
  case ir::Predicate::GE:
    return ">=";
  }
  return {};
}

} // namespace

std::string elementwise(mlir::Operation* op, llvm::ArrayRef<std::string> x) {
  DType type = dtypeOf(op->getOperand(0));
  auto call = [&](const char* function) { return fmt::format("math::{}({})", function, fmt::join(x, ", ")); };
  auto infix = [&](std::string_view sign) { return fmt::format("{} {} {}", x[0], sign, x[1]); };
  auto parameter = [&](const char* function, const mlir::APFloat& value) {
    return fmt::format("math::{}({}, {})", function, x[0], literal(type == DType::F64 ? DType::F64 : DType::F32, value.convertToDouble()));
  };
  return llvm::TypeSwitch<mlir::Operation*, std::string>(op)
      .Case([&](ir::NegOp) { return "-" + x[0]; })
      .Case([&](ir::DetachOp) { return x[0]; })
      .Case([&](ir::ExpOp) { return call("exp"); })
      .Case([&](ir::LogOp) { return call("log"); })
      .Case([&](ir::SqrtOp) { return call("sqrt"); })
      .Case([&](ir::TanhOp) { return call("tanh"); })
      .Case([&](ir::SigmoidOp) { return call("sigmoid"); })
      .Case([&](ir::SoftplusOp) { return call("softplus"); })
      .Case([&](ir::ReluOp) { return call("relu"); })
      .Case([&](ir::ErfOp) { return call("erf"); })
      .Case([&](ir::GeluOp) { return call("gelu"); })
      .Case([&](ir::GeluTanhOp) { return call("geluTanh"); })
      .Case([&](ir::SiluOp) { return call("silu"); })
      .Case([&](ir::GeluGradOp) { return call("geluGrad"); })
      .Case([&](ir::GeluTanhGradOp) { return call("geluTanhGrad"); })
      .Case([&](ir::LeakyReluOp op) { return parameter("leakyRelu", op.getSlope()); })
      .Case([&](ir::EluOp op) { return parameter("elu", op.getAlpha()); })
      .Case([&](ir::AddOp) { return infix("+"); })
      .Case([&](ir::SubOp) { return infix("-"); })
      .Case([&](ir::MulOp) { return infix("*"); })
      .Case([&](ir::DivOp) { return infix("/"); })
      .Case([&](ir::MinOp) { return call("minimum"); })
      .Case([&](ir::MaxOp) { return call("maximum"); })
      .Case([&](ir::CompareOp op) { return infix(signOf(op.getPredicate())); })
      .Case([&](ir::WhereOp) { return fmt::format("{} ? {} : {}", x[0], x[1], x[2]); })
      .Case([&](ir::CastOp op) {
        DType to = ir::dtypeOf(op.getTo());
        if (to == DType::I32)
          return call("toInt");
        // What a float does not hold must not be rounded to one before it is rounded to bf16.
        bool wide = to == DType::BF16 && (type == DType::F64 || type == DType::I64 || type == DType::I32);
        return fmt::format("({}){}", registerType(wide ? DType::F64 : to), x[0]);
      })
      .Default([](mlir::Operation*) { return std::string(); });
}

} // namespace moec::codegen::cuda
