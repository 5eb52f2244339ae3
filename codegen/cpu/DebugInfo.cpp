#include "codegen/cpu/DebugInfo.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

#include "llvm/BinaryFormat/Dwarf.h"

#include <filesystem>
#include <fmt/format.h>

namespace moec::codegen::cpu {

using namespace mlir;

std::optional<ModelPlace> modelPlaceOf(Location location) {
  std::optional<ModelPlace> place;
  location->walk([&](Location part) {
    auto file = dyn_cast<FileLineColLoc>(part);
    if (!file)
      return WalkResult::advance();
    place = {std::filesystem::path(file.getFilename().str()).filename().string(), file.getLine(), file.getColumn()};
    return WalkResult::interrupt();
  });
  return place;
}

std::string describe(const ModelPlace& place) { return fmt::format("{}:{}:{}", place.file, place.line, place.column); }

Attribute compileUnitOf(MLIRContext* context, const ModelPlace& place) {
  auto file = LLVM::DIFileAttr::get(context, place.file, ".");
  return LLVM::DICompileUnitAttr::get(DistinctAttr::create(UnitAttr::get(context)), llvm::dwarf::DW_LANG_C, file, StringAttr::get(context, "moec"),
                                      /*isOptimized=*/true, LLVM::DIEmissionKind::Full);
}

Location functionLocation(Attribute compileUnit, const ModelPlace& place, StringRef name) {
  auto unit = cast<LLVM::DICompileUnitAttr>(compileUnit);
  MLIRContext* context = unit.getContext();
  auto type = LLVM::DISubroutineTypeAttr::get(context, {});
  auto text = StringAttr::get(context, name);
  auto flags = LLVM::DISubprogramFlags::Definition | LLVM::DISubprogramFlags::Optimized;
  auto subprogram = LLVM::DISubprogramAttr::get(context, DistinctAttr::create(UnitAttr::get(context)), unit, unit.getFile(), text, text, unit.getFile(),
                                                place.line, place.line, flags, type, {}, {});
  return FusedLoc::get(context, {FileLineColLoc::get(context, place.file, place.line, place.column)}, subprogram);
}

} // namespace moec::codegen::cpu
