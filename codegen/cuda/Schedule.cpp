#include "codegen/cuda/Schedule.h"

namespace moec::codegen::cuda {

mlir::DictionaryAttr toAttr(mlir::MLIRContext* context, llvm::ArrayRef<std::pair<llvm::StringRef, int64_t>> fields) {
  mlir::Builder builder(context);
  llvm::SmallVector<mlir::NamedAttribute> attributes;
  for (auto& [name, value] : fields)
    attributes.push_back(builder.getNamedAttr(name, builder.getI64IntegerAttr(value)));
  return builder.getDictionaryAttr(attributes);
}

mlir::FailureOr<int64_t> fieldOf(ir::KernelOp kernel, llvm::StringRef name, int64_t least, int64_t most) {
  mlir::DictionaryAttr schedule = kernel.getScheduleAttr();
  auto field = schedule ? schedule.getAs<mlir::IntegerAttr>(name) : mlir::IntegerAttr();
  if (!field || field.getInt() < least || field.getInt() > most)
    return kernel.emitError() << "the schedule of a CUDA kernel of kind \"" << kernel.getKind() << "\" needs " << name << " between " << least << " and "
                              << most << (field ? ", and has " + std::to_string(field.getInt()) : std::string());
  return field.getInt();
}

} // namespace moec::codegen::cuda
