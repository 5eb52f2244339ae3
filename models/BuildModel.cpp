#include "models/BuildModel.h"

#include "models/Check.h"
#include "models/ModelBuilder.h"
#include "models/json/Words.h"
#include "runtime/core/Error.h"

#include "mlir/IR/Verifier.h"

#include <fmt/format.h>

using namespace mlir;

namespace moec::models {

namespace {

/// The place in the model file of a location that Ops made.
Position positionOf(Location location) {
  if (auto name = dyn_cast<NameLoc>(location))
    return positionOf(name.getChildLoc());
  if (auto file = dyn_cast<FileLineColLoc>(location))
    return {static_cast<int>(file.getLine()), static_cast<int>(file.getColumn())};
  return {};
}

class Import {
public:
  Import(const ModelFile& file, const ImportOptions& options, MLIRContext* context, Diagnostics& diagnostics)
      : file_(file), options_(options), builder_(context), diagnostics_(diagnostics) {}

  OwningOpRef<ModuleOp> run(Vocabulary& vocabulary) {
    Location location = FileLineColLoc::get(builder_.getContext(), diagnostics_.file(), 1, 1);
    OwningOpRef<ModuleOp> module(ModuleOp::create(location));
    describe(*module);
    func::FuncOp forward = makeForward(*module);
    Ops ops(forward, diagnostics_, options_.drawsAsInputs);
    ModelBuilder blocks(file_, vocabulary, ops, *module, diagnostics_);

    NameScope names;
    ValueScope values;
    Value first;
    for (auto [input, argument] : llvm::zip(file_.inputs, forward.getArguments())) {
      values.values.emplace(input.name, argument);
      if (!first && !input.forLoss)
        first = argument;
    }
    std::string last;
    Value result = blocks.model(first, {.names = &names, .values = &values, .experts = nullptr}, last);
    if (!result || !finish(forward, result, last, values) || !checkLoss(*module, vocabulary, values))
      return {};
    if (failed(verify(*module)))
      return {};
    return module;
  }

private:
  NamedAttribute named(StringRef name, Attribute value) { return builder_.getNamedAttr(name, value); }

  void describe(ModuleOp module) {
    module->setAttr("moe.name", builder_.getStringAttr(file_.name));
    SmallVector<NamedAttribute> sizes;
    for (const auto& [symbol, size] : file_.checkSizes)
      sizes.push_back(named(symbol, builder_.getI64IntegerAttr(size)));
    module->setAttr("moe.check", builder_.getDictionaryAttr(sizes));
  }

  func::FuncOp makeForward(ModuleOp module) {
    SmallVector<Type> types;
    for (const InputDeclaration& input : file_.inputs)
      types.push_back(ir::tensorOf(input.shape, ir::elementType(input.dtype, builder_.getContext())));
    builder_.setInsertionPointToEnd(module.getBody());
    auto forward = func::FuncOp::create(builder_, module.getLoc(), "forward", builder_.getFunctionType(types, {}));
    forward.addEntryBlock();
    for (auto [index, input] : llvm::enumerate(file_.inputs)) {
      forward.setArgAttr(index, "moe.input", builder_.getStringAttr(input.name));
      if (input.forLoss)
        forward.setArgAttr(index, "moe.for_loss", builder_.getUnitAttr());
      if (input.photo)
        forward.setArgAttr(index, "moe.photo", photoAttr(*input.photo));
    }
    return forward;
  }

  DictionaryAttr photoAttr(const PhotoRule& photo) {
    StringRef resize = photo.resize == PhotoRule::Resize::Stretch ? "stretch" : "none";
    return builder_.getDictionaryAttr({named("resize", builder_.getStringAttr(resize)),
                                       named("mean", builder_.getF64ArrayAttr(photo.mean)),
                                       named("std", builder_.getF64ArrayAttr(photo.std))});
  }

  /// The return and the outputs' names.
  bool finish(func::FuncOp forward, Value result, const std::string& last, const ValueScope& values) {
    std::vector<std::pair<std::string, Value>> outputs;
    for (const auto& [name, position] : file_.outputs) {
      Value value = values.find(name);
      if (!value || isa<BlockArgument>(value)) {
        diagnostics_.error(position, value ? fmt::format("the output {} is an input", inQuotes(name))
                                           : unknownWord("value", name, blockNames(values)));
        return false;
      }
      outputs.emplace_back(name, value);
    }
    if (outputs.empty())
      outputs.emplace_back(last.empty() ? "output" : last, result);
    if (isa<BlockArgument>(outputs.front().second)) {
      diagnostics_.error(file_.model->position(), "the model computes nothing");
      return false;
    }
    SmallVector<Value> results;
    for (const auto& [name, value] : outputs)
      results.push_back(value);
    Block& block = forward.getBody().front();
    builder_.setInsertionPointToEnd(&block);
    func::ReturnOp::create(builder_, forward.getLoc(), results);
    forward.setType(builder_.getFunctionType(block.getArgumentTypes(), ValueRange(results).getTypes()));
    for (auto [index, output] : llvm::enumerate(outputs))
      forward.setResultAttr(index, "moe.output", builder_.getStringAttr(output.first));
    return true;
  }

  std::vector<std::string> blockNames(const ValueScope& values) {
    std::vector<std::string> names;
    for (const auto& [name, value] : values.values)
      if (!isa<BlockArgument>(value))
        names.push_back(name);
    return names;
  }

  /// Do the loss's values exist, with shapes that fit? Then its words become an attribute.
  bool checkLoss(ModuleOp module, Vocabulary& vocabulary, const ValueScope& values) {
    if (!file_.loss)
      return true;
    std::optional<Use> use = vocabulary.look(*file_.loss, Family::Loss, file_.let, false);
    std::optional<Arguments> arguments = use ? vocabulary.arguments(*use) : std::nullopt;
    if (!arguments)
      return false;
    SmallVector<NamedAttribute> words{named("kind", builder_.getStringAttr(use->kind->name))};
    std::vector<RankedTensorType> types;
    for (const Parameter& parameter : use->kind->parameters) {
      const std::string& name = arguments->word(parameter.name);
      Value value = values.find(name);
      if (!value) {
        diagnostics_.error(arguments->at(parameter.name), unknownWord("value", name, values.names()));
        return false;
      }
      types.push_back(cast<RankedTensorType>(value.getType()));
      words.push_back(named(parameter.name, builder_.getStringAttr(name)));
    }
    module->setAttr("moe.loss", builder_.getDictionaryAttr(words));
    return checkLossShapes(*arguments, types);
  }

  bool checkLossShapes(const Arguments& arguments, const std::vector<RankedTensorType>& types) {
    ir::Sizes made = ir::sizesOf(types[0]), wanted = made;
    bool isLabels = arguments.kind().name == "cross_entropy";
    if (isLabels && !wanted.empty())
      wanted.pop_back();
    bool dtypeFits = isLabels ? types[1].getElementType().isSignlessInteger()
                              : types[1].getElementType() == types[0].getElementType();
    if (ir::sizesOf(types[1]) == wanted && dtypeFits)
      return true;
    DType dtype = ir::dtypeOf(types[1].getElementType());
    diagnostics_.error(arguments.position(),
                       fmt::format("{} of {}{} takes {}{}, not {}{}", inQuotes(arguments.kind().name),
                                   name(ir::dtypeOf(types[0].getElementType())), ir::describe(made),
                                   isLabels ? "labels of i64" : "a target of the same shape and dtype, ",
                                   ir::describe(wanted), name(dtype), ir::describe(ir::sizesOf(types[1]))));
    return false;
  }

  const ModelFile& file_;
  const ImportOptions& options_;
  OpBuilder builder_;
  Diagnostics& diagnostics_;
};

} // namespace

OwningOpRef<ModuleOp> buildModel(std::string_view path, std::string_view text, const ImportOptions& options,
                                 MLIRContext* context, Diagnostics& diagnostics) {
  diagnostics.setFile(std::string(path));
  context->loadDialect<ir::MoeDialect, func::FuncDialect>();
  // What verifiers and inference say becomes an error of the model at the op's place.
  ScopedDiagnosticHandler handler(context, [&](Diagnostic& diagnostic) {
    if (diagnostic.getSeverity() == DiagnosticSeverity::Error)
      diagnostics.error(positionOf(diagnostic.getLocation()),
                        fmt::format("{}: {}", inQuotes(ir::pathOf(diagnostic.getLocation())), diagnostic.str()));
    return success();
  });
  try {
    std::unique_ptr<ModelFile> file = ModelFile::read(text, options, diagnostics);
    if (!file)
      return {};
    Vocabulary vocabulary(*file, diagnostics);
    checkWords(*file, vocabulary, diagnostics);
    if (diagnostics.hasErrors())
      return {};
    OwningOpRef<ModuleOp> module = Import(*file, options, context, diagnostics).run(vocabulary);
    if (!module && !diagnostics.hasErrors())
      diagnostics.error({}, "internal: the model was refused without a reason");
    return diagnostics.hasErrors() ? OwningOpRef<ModuleOp>() : std::move(module);
  } catch (const Error& error) {
    // Arithmetic on sizes that leaves 64 bits.
    diagnostics.error({}, error.what());
    return {};
  }
}

} // namespace moec::models
