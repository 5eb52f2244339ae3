#include "codegen/cuda/KernelText.h"

#include "codegen/cuda/Skeletons.h"

#include <fmt/ranges.h>

#include <bit>
#include <cmath>
#include <limits>
#include <sstream>

namespace moec::codegen::cuda {

void Lines::add(std::string_view text) {
  std::istringstream lines{std::string(text)};
  for (std::string line; std::getline(lines, line);)
    text_ += line.empty() ? "\n" : std::string(static_cast<size_t>(2 * depth_), ' ') + line + "\n";
}

std::string memoryType(DType type) {
  switch (type) {
  case DType::F64:
    return "double";
  case DType::F32:
    return "float";
  case DType::BF16:
    return "bfloat16";
  case DType::I64:
    return "long long";
  case DType::I32:
    return "int";
  case DType::U8:
    return "unsigned char";
  case DType::Bool:
    return "unsigned char";
  }
  return {};
}

std::string registerType(DType type) {
  if (type == DType::BF16)
    return "float";
  return type == DType::Bool ? "bool" : memoryType(type);
}

std::string integerLiteral(DType type, int64_t value) {
  std::string_view suffix = type == DType::I64 ? "ll" : "";
  int64_t least = type == DType::I64 ? std::numeric_limits<int64_t>::min() : std::numeric_limits<int32_t>::min();
  if (value == least) // C++ has no literal of it
    return fmt::format("({}{} - 1)", value + 1, suffix);
  return value < 0 ? fmt::format("({}{})", value, suffix) : fmt::format("{}{}", value, suffix);
}

std::string literal(DType type, double value) {
  bool isDouble = type == DType::F64;
  if (type != DType::F64 && type != DType::F32 && type != DType::BF16)
    return integerLiteral(type, static_cast<int64_t>(value));
  if (!std::isfinite(value))
    return isDouble ? fmt::format("__longlong_as_double({:#x}ll)", std::bit_cast<uint64_t>(value))
                    : fmt::format("__int_as_float({:#x})", std::bit_cast<uint32_t>(static_cast<float>(value)));
  std::string text = isDouble ? fmt::format("{}", value) : fmt::format("{}", static_cast<float>(value));
  if (text.find_first_of(".e") == std::string::npos)
    text += ".0";
  text += isDouble ? "" : "f";
  return std::signbit(value) ? "(" + text + ")" : text;
}

DType dtypeOf(mlir::Value value) { return ir::dtypeOf(mlir::cast<mlir::RankedTensorType>(value.getType()).getElementType()); }

namespace {

std::string pointee(mlir::Type type) {
  if (mlir::isa<ir::RoutingType>(type))
    return "int";
  return memoryType(ir::dtypeOf(mlir::cast<mlir::RankedTensorType>(type).getElementType()));
}

} // namespace

KernelText::KernelText(ir::KernelOp kernel, std::string symbol, const CudaTarget& target) : kernel_(kernel), symbol_(std::move(symbol)), target_(target) {
  use("prelude.cuh");
}

std::string KernelText::input(unsigned i) const { return fmt::format("in{}", i); }
std::string KernelText::output(unsigned i) const { return fmt::format("out{}", i); }

std::string KernelText::addWorkspace(DType type, const Size& elements) {
  workspaceTypes_.push_back(type);
  workspaceBytes_.push_back(elements * Size(static_cast<int64_t>(byteSize(type))));
  return fmt::format("work{}", workspaceTypes_.size() - 1);
}

std::string KernelText::size(const Size& size) {
  if (auto constant = size.constant())
    return *constant < 0 ? fmt::format("({})", *constant) : fmt::format("{}", *constant);
  auto place = std::find(sizes_.begin(), sizes_.end(), size);
  if (place == sizes_.end())
    place = sizes_.insert(sizes_.end(), size);
  return fmt::format("n{}", place - sizes_.begin());
}

std::string KernelText::stream(ir::RandomOp op) {
  unsigned index = 0;
  for (mlir::Operation& other : kernel_.getBody().front()) {
    if (&other == op.getOperation())
      break;
    index += mlir::isa<ir::RandomOp>(other);
  }
  return fmt::format("stream{}", index);
}

void KernelText::use(std::string_view skeleton) {
  for (const std::string& name : skeletonsOf(skeleton))
    if (std::find(skeletons_.begin(), skeletons_.end(), name) == skeletons_.end())
      skeletons_.push_back(name);
}

void KernelText::allowInPlace(llvm::ArrayRef<InPlace> places) {
  for (const InPlace& place : places)
    overlapping_.insert({input(place.input), output(place.output)});
}

void KernelText::declare(std::string_view text) { declarations_ += std::string(text) + (text.ends_with('\n') ? "" : "\n"); }

void KernelText::stage(Stage stage) {
  GridInfo grid;
  grid.function = symbol_ + "_" + stage.name;
  grid.threads = stage.threads;
  grid.dynamicSharedBytes = stage.dynamicSharedBytes;
  stages_.push_back({stage.blocks, Size(0), stage.operations, grid});
  texts_.push_back(std::move(stage));
}

std::vector<std::string> KernelText::parameters() const {
  std::vector<std::string> list;
  ir::KernelOp kernel = kernel_;
  auto restrictOf = [&](const std::string& name) { return overlapping_.contains(name) ? "" : restrict_; };
  for (auto [i, type] : llvm::enumerate(kernel.getInputs().getTypes()))
    list.push_back(fmt::format("const {}*{} {}", pointee(type), restrictOf(input(i)), input(i)));
  for (auto [i, type] : llvm::enumerate(kernel.getOutputs().getTypes()))
    list.push_back(fmt::format("{}*{} {}", pointee(type), restrictOf(output(i)), output(i)));
  for (auto [i, type] : llvm::enumerate(workspaceTypes_))
    list.push_back(fmt::format("{}* __restrict__ work{}", memoryType(type), i));
  for (size_t i = 0; i < sizes_.size(); ++i)
    list.push_back(fmt::format("long long n{}", i));
  for (size_t i = 0; i < streamsOf(kernel).size(); ++i)
    list.push_back(fmt::format("unsigned stream{}", i));
  list.push_back("unsigned long long seed");
  list.push_back("unsigned step");
  return list;
}

std::string KernelText::declaration(size_t stage) const {
  return fmt::format("extern \"C\" __global__ void {}({});", stages_[stage].grid->function, fmt::join(parameters(), ", "));
}

std::string KernelText::banner() const {
  ir::KernelOp kernel = kernel_;
  std::string ops;
  for (mlir::Operation& op : kernel.getBody().front().without_terminator())
    ops += (ops.empty() ? "" : ", ") + op.getName().stripDialect().str();
  std::string text = fmt::format("// {} for {}, by moec\n// ops: {}\n", symbol_, target_.arch, ops);
  auto lists = [&](const char* what, mlir::TypeRange types, auto name) {
    for (auto [i, type] : llvm::enumerate(types)) {
      std::string shape;
      if (auto routing = mlir::dyn_cast<ir::RoutingType>(type))
        shape =
            fmt::format("routing of {} tokens, {} choices, to {} experts", routing.getTokens().getValue().str(), routing.getChoices(), routing.getExperts());
      else
        shape = ir::describe(ir::sizesOf(mlir::cast<mlir::RankedTensorType>(type)));
      text += fmt::format("// {} {}: {} {}\n", what, name(static_cast<unsigned>(i)), pointee(type), shape);
    }
  };
  lists("reads", kernel.getInputs().getTypes(), [this](unsigned i) { return input(i); });
  lists("writes", kernel.getOutputs().getTypes(), [this](unsigned i) { return output(i); });
  for (auto [i, bytes] : llvm::enumerate(workspaceBytes_))
    text += fmt::format("// workspace work{}: {} bytes\n", i, bytes.str());
  for (auto [i, size] : llvm::enumerate(sizes_))
    text += fmt::format("// n{} = {}\n", i, size.str());
  for (auto [i, path] : llvm::enumerate(streamsOf(kernel)))
    text += fmt::format("// stream{}: one random draw\n", i);
  if (kernel.getSchedule()) {
    std::string schedule;
    for (mlir::NamedAttribute field : kernel.getScheduleAttr())
      if (auto number = mlir::dyn_cast<mlir::IntegerAttr>(field.getValue()))
        schedule += fmt::format(" {}={}", field.getName().getValue().str(), number.getInt());
    text += "// schedule:" + schedule + "\n";
  }
  return text;
}

std::string KernelText::text() const {
  std::string text = banner();
  for (const std::string& name : skeletons_)
    text += fmt::format("\n//--- {}\n{}", name, skeletonText(name));
  text += "\n//--- this kernel\n";
  text += declarations_;
  for (size_t i = 0; i < texts_.size(); ++i) {
    Lines body;
    std::istringstream summary{texts_[i].summary};
    for (std::string line; std::getline(summary, line);)
      body.add("// " + line);
    std::string bounds = std::to_string(texts_[i].threads);
    if (texts_[i].residentBlocks)
      bounds += fmt::format(", {}", texts_[i].residentBlocks);
    body.add(
        fmt::format("extern \"C\" __global__ void __launch_bounds__({})\n{}({}) {{", bounds, stages_[i].grid->function, fmt::join(parameters(), ",\n    ")));
    body.indent();
    body.add(texts_[i].body);
    body.close();
    text += "\n" + body.str();
  }
  return text;
}

} // namespace moec::codegen::cuda
