#include "models/BuildModel.h"

#include "models/Check.h"
#include "models/ModelBuilder.h"
#include "models/json/Words.h"
#include "models/optimizers/Optimizers.h"
#include "runtime/core/Error.h"
#include "runtime/core/Generation.h"

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
    func::FuncOp function = makeFunction(*module);
    Ops ops(function, diagnostics_, options_.drawsAsInputs, file_.generation.has_value());
    ModelBuilder blocks(file_, vocabulary, ops, *module, diagnostics_);
    if (file_.generation)
      blocks.setPosition(function.getArguments().back());

    NameScope names;
    ValueScope values;
    Value first;
    for (auto [input, argument] : llvm::zip(file_.inputs, function.getArguments())) {
      values.values.emplace(input.name, argument);
      if (!first && !input.forLoss)
        first = argument;
    }
    std::string last;
    Value result = blocks.model(first, {.names = &names, .values = &values, .experts = nullptr}, last);
    std::vector<Output> outputs;
    if (!result || !findOutputs(result, last, values, outputs))
      return {};
    if (file_.generation) {
      if (!continuesText(function, outputs))
        return {};
      finish(function, outputs);
    } else {
      std::optional<std::vector<Output>> loss = lossOf(*module, vocabulary, blocks, values);
      if (!loss || !findOptimizer(*module, vocabulary))
        return {};
      if (!hasLoss())
        llvm::append_range(outputs, blocks.statistics());
      llvm::append_range(hasLoss() ? *loss : outputs, blocks.records());
      finish(function, hasLoss() ? *loss : outputs);
    }
    if (failed(verify(*module)))
      return {};
    return module;
  }

private:
  using Output = std::pair<std::string, Value>;

  /// Is it the loss that is built?
  bool hasLoss() const { return file_.trains || file_.evaluates; }

  NamedAttribute named(StringRef name, Attribute value) { return builder_.getNamedAttr(name, value); }

  void describe(ModuleOp module) {
    module->setAttr("moe.name", builder_.getStringAttr(file_.name));
    SmallVector<NamedAttribute> sizes;
    for (const auto& [symbol, size] : file_.checkSizes)
      sizes.push_back(named(symbol, builder_.getI64IntegerAttr(size)));
    module->setAttr("moe.check", builder_.getDictionaryAttr(sizes));
    if (options_.finiteLogits && !file_.generation)
      module->setAttr("moe.finite_logits", builder_.getUnitAttr());
    if (file_.generation) // a call has no more tokens than the context
      module->setAttr("moe.at_most",
                      builder_.getDictionaryAttr(named(file_.inputs.front().shape[1].str(), builder_.getI64IntegerAttr(file_.generation->context))));
  }

  func::FuncOp makeFunction(ModuleOp module) {
    SmallVector<Type> types;
    for (const InputDeclaration& input : file_.inputs)
      types.push_back(ir::tensorOf(input.shape, ir::elementType(input.dtype, builder_.getContext())));
    if (file_.generation)
      types.push_back(ir::tensorOf({}, builder_.getI64Type())); // position
    builder_.setInsertionPointToEnd(module.getBody());
    StringRef name = file_.trains ? "loss" : file_.evaluates ? "evaluate" : file_.generation ? "generate" : "forward";
    auto function = func::FuncOp::create(builder_, module.getLoc(), name, builder_.getFunctionType(types, {}));
    function.addEntryBlock();
    for (auto [index, input] : llvm::enumerate(file_.inputs)) {
      function.setArgAttr(index, "moe.input", builder_.getStringAttr(input.name));
      if (input.forLoss && !file_.evaluates) // an evaluation is of the loss: none of its inputs may be left out
        function.setArgAttr(index, "moe.for_loss", builder_.getUnitAttr());
      if (input.photo)
        function.setArgAttr(index, "moe.photo", photoAttr(*input.photo));
    }
    if (file_.generation) {
      unsigned position = static_cast<unsigned>(file_.inputs.size());
      function.setArgAttr(position, "moe.input", builder_.getStringAttr(kPositionInput));
      function.setArgAttr(position, "moe.below", builder_.getI64IntegerAttr(file_.generation->context));
    }
    return function;
  }

  /// The row of the last token of a value (batch, tokens, width), as (batch, width). The compiler computes what makes it for this token alone (hoist-slices).
  Value lastToken(Value value) {
    ir::Sizes sizes = ir::sizesOf(value);
    Value row = ir::SliceOp::create(builder_, value.getLoc(), value, builder_.getI64IntegerAttr(1), builder_.getStringAttr((sizes[1] - Size(1)).str()),
                                    builder_.getStringAttr("1"));
    return ir::ReshapeOp::create(builder_, value.getLoc(), ir::tensorOf({sizes[0], sizes[2]}, cast<RankedTensorType>(value.getType()).getElementType()), row);
  }

  /// Can the first output be the scores of tokens? Then it is the only one, of the last token. Does nothing depend on how
  /// a text is cut into calls? False after a report.
  bool continuesText(func::FuncOp function, std::vector<Output>& outputs) {
    auto& [name, value] = outputs.front();
    ir::Sizes sizes = ir::sizesOf(value), leading = file_.inputs.front().shape;
    bool isScores = sizes.size() == 3 && sizes[0] == leading[0] && sizes[1] == leading[1] && sizes[2].isConstant() &&
                    isa<FloatType>(cast<RankedTensorType>(value.getType()).getElementType());
    if (!isScores) {
      diagnostics_.error(
          file_.outputs.empty() ? file_.model->position() : file_.outputs.front().second,
          fmt::format("a model that continues texts gives scores (batch, sequence, vocabulary) of its tokens; {} is {}", inQuotes(name), ir::describe(sizes)));
      return false;
    }
    outputs.erase(outputs.begin() + 1, outputs.end());
    builder_.setInsertionPointToEnd(&function.getBody().front());
    value = lastToken(value);
    for (auto random : function.getOps<ir::RandomOp>())
      if (!random.getType().hasStaticShape()) {
        diagnostics_.error(
            positionOf(random.getLoc()),
            fmt::format("{} draws for each token, so that a continued text would depend on how it was cut into calls; choose what draws nothing in inference",
                        inQuotes(random.getPath().str())));
        return false;
      }
    return true;
  }

  DictionaryAttr photoAttr(const PhotoRule& photo) {
    StringRef resize = photo.resize == PhotoRule::Resize::Stretch ? "stretch" : "none";
    return builder_.getDictionaryAttr({named("resize", builder_.getStringAttr(resize)), named("mean", builder_.getF64ArrayAttr(photo.mean)),
                                       named("std", builder_.getF64ArrayAttr(photo.std))});
  }

  /// What the file names, or else the last value.
  bool findOutputs(Value result, const std::string& last, const ValueScope& values, std::vector<Output>& outputs) {
    for (const auto& [name, position] : file_.outputs) {
      Value value = values.find(name);
      if (!value || isa<BlockArgument>(value)) {
        diagnostics_.error(position, value ? fmt::format("the output {} is an input", inQuotes(name)) : unknownWord("value", name, blockNames(values)));
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
    return true;
  }

  /// The total, then each loss beside the model's own. They are added in that order.
  std::vector<Output> losses(Ops& ops, Value total, const std::vector<AuxiliaryLoss>& others) {
    std::vector<Output> outputs{{"loss", total}};
    Type element = cast<RankedTensorType>(total.getType()).getElementType();
    for (const AuxiliaryLoss& other : others) {
      if (!other.path.empty())
        outputs.emplace_back(other.path, other.value);
      if (other.coefficient != 0)
        total = ops.add(total, ops.mul(other.value, ops.constant({}, {other.coefficient}, element)));
    }
    outputs.front().second = total;
    return outputs;
  }

  /// The return and the results' names.
  void finish(func::FuncOp function, const std::vector<Output>& outputs) {
    SmallVector<Value> results;
    for (const auto& [name, value] : outputs)
      results.push_back(value);
    Block& block = function.getBody().front();
    builder_.setInsertionPointToEnd(&block);
    func::ReturnOp::create(builder_, function.getLoc(), results);
    function.setType(builder_.getFunctionType(block.getArgumentTypes(), ValueRange(results).getTypes()));
    for (auto [index, output] : llvm::enumerate(outputs))
      function.setResultAttr(index, "moe.output", builder_.getStringAttr(output.first));
  }

  std::vector<std::string> blockNames(const ValueScope& values) {
    std::vector<std::string> names;
    for (const auto& [name, value] : values.values)
      if (!isa<BlockArgument>(value))
        names.push_back(name);
    return names;
  }

  /// An argument as an attribute; only words of losses and optimizers.
  Attribute attributeOf(const Parameter& parameter, const Json& value) {
    SmallVector<Attribute> items;
    switch (parameter.type) {
    case ParameterType::Integer:
      return builder_.getI64IntegerAttr(value.integer());
    case ParameterType::Number:
      return builder_.getF64FloatAttr(value.number());
    case ParameterType::Bool:
      return builder_.getBoolAttr(value.boolean());
    case ParameterType::Word:
    case ParameterType::ValueName:
      return builder_.getStringAttr(value.string());
    case ParameterType::Numbers:
      for (const Json& item : value.list())
        items.push_back(builder_.getF64FloatAttr(item.number()));
      return builder_.getArrayAttr(items);
    case ParameterType::Patterns:
      for (const Json& item : value.list())
        items.push_back(builder_.getStringAttr(item.string()));
      return builder_.getArrayAttr(items);
    default:
      llvm_unreachable("no loss and no optimizer has a parameter of this type");
    }
  }

  /// The kind and all arguments that are given or have a default.
  DictionaryAttr wordsOf(const Arguments& arguments) {
    SmallVector<NamedAttribute> words{named("kind", builder_.getStringAttr(arguments.kind().name))};
    for (const Parameter& parameter : arguments.kind().parameters)
      if (arguments.has(parameter.name))
        words.push_back(named(parameter.name, attributeOf(parameter, arguments.get(parameter.name))));
    return builder_.getDictionaryAttr(words);
  }

  /// The results of @loss and @evaluate, after the loss is checked: the losses, what else its kind can tell, what gates
  /// chose. Empty where the model is built without one. Its words become an attribute. Nothing after an error.
  std::optional<std::vector<Output>> lossOf(ModuleOp module, Vocabulary& vocabulary, ModelBuilder& blocks, ValueScope& values) {
    if (!file_.loss)
      return std::vector<Output>();
    std::optional<Use> use = vocabulary.look(*file_.loss, Family::Loss, file_.let, false);
    std::optional<Arguments> arguments = use ? vocabulary.arguments(*use) : std::nullopt;
    if (!arguments)
      return std::nullopt;
    Site site(blocks, "loss", arguments->position(), {.values = &values});
    if (!use->kind->checkLoss(site, *arguments))
      return std::nullopt;
    module->setAttr("moe.loss", wordsOf(*arguments));
    if (!hasLoss())
      return std::vector<Output>();
    Value loss = use->kind->loss(site, *arguments);
    blocks.finishPools();
    if (!loss || diagnostics_.hasErrors())
      return std::nullopt;
    std::vector<Output> results = losses(site.ops(), loss, blocks.losses());
    llvm::append_range(results, blocks.metrics());
    llvm::append_range(results, blocks.statistics());
    return results;
  }

  /// Checks what the file says of its optimizer. Its words, or else those of adam, become an attribute of a module that
  /// trains.
  bool findOptimizer(ModuleOp module, Vocabulary& vocabulary) {
    Json adam(Json::Object{}, file_.root.position());
    adam.object().push_back({"kind", adam.position(), Json(std::string("adam"), adam.position())});
    const Json& written = file_.optimizer ? *file_.optimizer : adam;
    std::optional<Use> use = vocabulary.look(written, Family::Optimizer, file_.let, false);
    std::optional<Arguments> arguments = use ? vocabulary.arguments(*use) : std::nullopt;
    if (!arguments || (use->kind->checkRule && !use->kind->checkRule(*arguments, diagnostics_)))
      return false;
    if (arguments->has("no_decay") && !checkPatterns(module, arguments->get("no_decay")))
      return false;
    if (!file_.trains)
      return true;
    NamedAttrList words = wordsOf(*arguments);
    if (options_.ema)
      words.set("ema", builder_.getF64FloatAttr(*options_.ema));
    module->setAttr("moe.optimizer", words.getDictionary(builder_.getContext()));
    return true;
  }

  /// Does each pattern mean some parameter?
  bool checkPatterns(ModuleOp module, const Json& patterns) {
    for (const Json& pattern : patterns.list())
      if (llvm::none_of(module.getOps<ir::ParameterOp>(), [&](ir::ParameterOp parameter) { return matches(pattern.string(), parameter.getSymName()); })) {
        diagnostics_.error(pattern.position(), fmt::format("no parameter's name is or ends with {}{}", inQuotes(pattern.string()),
                                                           pattern.string().find('*') == std::string::npos ? "" : ", * being any text"));
        return false;
      }
    return true;
  }

  const ModelFile& file_;
  const ImportOptions& options_;
  OpBuilder builder_;
  Diagnostics& diagnostics_;
};

} // namespace

OwningOpRef<ModuleOp> buildModel(std::string_view path, std::string_view text, const ImportOptions& options, MLIRContext* context, Diagnostics& diagnostics) {
  diagnostics.setFile(std::string(path));
  context->loadDialect<ir::MoeDialect, func::FuncDialect>();
  // What verifiers and inference say becomes an error of the model at the op's place.
  ScopedDiagnosticHandler handler(context, [&](Diagnostic& diagnostic) {
    if (diagnostic.getSeverity() == DiagnosticSeverity::Error)
      diagnostics.error(positionOf(diagnostic.getLocation()), fmt::format("{}: {}", inQuotes(ir::pathOf(diagnostic.getLocation())), diagnostic.str()));
    return success();
  });
  try {
    std::unique_ptr<ModelFile> file = ModelFile::read(text, options, diagnostics);
    if (!file)
      return {};
    Vocabulary vocabulary(*file, diagnostics);
    checkWords(*file, vocabulary, diagnostics);
    if (file->moefy && !vocabulary.hasMoefied() && !diagnostics.hasErrors())
      diagnostics.error(file->moefy->position(), "\"moefy\" puts experts in the place of mlp blocks, and this model has none outside of experts");
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
