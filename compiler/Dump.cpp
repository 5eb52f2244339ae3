// The text form of a compilation between two phases, and its reader.

#include "compiler/Compilation.h"
#include "compiler/passes/BufferTable.h"

#include "mlir/Parser/Parser.h"

using namespace mlir;
using namespace moec::ir;

namespace moec::compiler {

namespace {

constexpr llvm::StringLiteral imagesName = "moe.images"; // of the module: dictionary by symbol
constexpr llvm::StringLiteral targetName = "moe.target"; // of the module

// A stage is a list: its sizes, then the numbers of its grid and the function's name where it has one.
Attribute stageAttribute(const StageInfo& stage, MLIRContext* context) {
  Builder builder(context);
  SmallVector<Attribute> fields{sizesAttribute({stage.items, stage.scratchBytes, stage.operations}, context)};
  if (const auto& grid = stage.grid) {
    fields.push_back(builder.getStringAttr(grid->function));
    fields.push_back(builder.getDenseI64ArrayAttr(
        {grid->threads, grid->sharedBytes, grid->dynamicSharedBytes, grid->registers, grid->spillBytes, grid->stackBytes, grid->blocksPerMultiprocessor}));
  }
  return builder.getArrayAttr(fields);
}

std::optional<StageInfo> stageFrom(Attribute attribute) {
  auto fields = dyn_cast<ArrayAttr>(attribute);
  if (!fields || (fields.size() != 1 && fields.size() != 3))
    return std::nullopt;
  auto sizes = sizesFrom(fields[0]);
  if (!sizes || sizes->size() != 3)
    return std::nullopt;
  StageInfo stage{(*sizes)[0], (*sizes)[1], (*sizes)[2]};
  if (fields.size() == 3) {
    auto function = dyn_cast<StringAttr>(fields[1]);
    auto numbers = dyn_cast<DenseI64ArrayAttr>(fields[2]);
    if (!function || !numbers || numbers.size() != 7)
      return std::nullopt;
    ArrayRef<int64_t> n = numbers.asArrayRef();
    stage.grid = GridInfo{function.str(), static_cast<int>(n[0]), n[1], n[2], static_cast<int>(n[3]), n[4], n[5], static_cast<int>(n[6])};
  }
  return stage;
}

DictionaryAttr imageAttribute(const codegen::KernelImage& image, MLIRContext* context) {
  Builder builder(context);
  SmallVector<Attribute> stages;
  for (const StageInfo& stage : image.stages)
    stages.push_back(stageAttribute(stage, context));
  return builder.getDictionaryAttr({
      builder.getNamedAttr("elf", builder.getStringAttr(hexOf(image.image))),
      builder.getNamedAttr("sizes", sizesAttribute(image.sizes, context)),
      builder.getNamedAttr("stages", builder.getArrayAttr(stages)),
      builder.getNamedAttr("workspaces", sizesAttribute(image.workspaces, context)),
  });
}

std::optional<codegen::KernelImage> imageFrom(StringRef symbol, Attribute attribute) {
  auto fields = dyn_cast<DictionaryAttr>(attribute);
  if (!fields)
    return std::nullopt;
  auto elf = fields.getAs<StringAttr>("elf");
  auto bytes = elf ? bytesOf(elf.getValue()) : std::nullopt;
  auto sizes = sizesFrom(fields.get("sizes"));
  auto workspaces = sizesFrom(fields.get("workspaces"));
  auto stages = fields.getAs<ArrayAttr>("stages");
  if (!bytes || !sizes || !workspaces || !stages)
    return std::nullopt;
  codegen::KernelImage image;
  image.symbol = symbol.str();
  image.image = std::move(*bytes);
  image.sizes = std::move(*sizes);
  image.workspaces = std::move(*workspaces);
  for (Attribute stage : stages) {
    auto read = stageFrom(stage);
    if (!read)
      return std::nullopt;
    image.stages.push_back(std::move(*read));
  }
  return image;
}

} // namespace

std::optional<Phase> parsePhase(std::string_view name) {
  for (size_t i = 0; i < std::size(phaseNames); ++i)
    if (name == phaseNames[i])
      return static_cast<Phase>(i);
  return std::nullopt;
}

std::string dumpText(const Compilation& compilation) {
  OwningOpRef<ModuleOp> module = cast<ModuleOp>((*compilation.module)->clone());
  Builder builder(module->getContext());
  if (!compilation.target.empty())
    (*module)->setAttr(targetName, builder.getStringAttr(compilation.target));
  if (!compilation.images.empty()) {
    SmallVector<NamedAttribute> images;
    for (auto& [symbol, image] : compilation.images)
      images.push_back(builder.getNamedAttr(symbol, imageAttribute(image, module->getContext())));
    (*module)->setAttr(imagesName, builder.getDictionaryAttr(images));
  }
  std::string text;
  llvm::raw_string_ostream stream(text);
  (*module)->print(stream, OpPrintingFlags().enableDebugInfo(true, /*prettyForm=*/false));
  stream << '\n';
  return text;
}

FailureOr<Compilation> parseDump(StringRef text, StringRef fileName, MLIRContext* context) {
  Compilation compilation;
  compilation.module = parseSourceString<ModuleOp>(text, ParserConfig(context), fileName);
  if (!compilation.module)
    return failure();
  ModuleOp module = *compilation.module;
  for (auto function : module.getOps<func::FuncOp>())
    for (Type type : function.getArgumentTypes())
      if (!isa<RankedTensorType>(type))
        return function.emitError("@") << function.getName() << " takes " << type << "; what a function of a program takes are tensors";
  if (auto target = module->getAttrOfType<StringAttr>(targetName))
    compilation.target = target.str();
  if (auto images = module->getAttrOfType<DictionaryAttr>(imagesName)) {
    for (NamedAttribute entry : images) {
      auto image = imageFrom(entry.getName(), entry.getValue());
      if (!image)
        return module.emitError("the entry '") << entry.getName().getValue() << "' of '" << imagesName << "' is not a kernel image";
      compilation.images[entry.getName().str()] = std::move(*image);
    }
    module->removeAttr(imagesName);
  }
  module->removeAttr(targetName);
  return std::move(compilation);
}

} // namespace moec::compiler
