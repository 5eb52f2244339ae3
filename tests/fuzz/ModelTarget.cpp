#include "models/BuildModel.h"
#include "runtime/core/Printable.h"
#include "tests/fuzz/Targets.h"

#include <algorithm>
#include <stdexcept>

namespace moec::fuzz {

bool model(Bytes bytes) {
  static mlir::MLIRContext* context = new mlir::MLIRContext(mlir::MLIRContext::Threading::DISABLED);
  static int runs = 0;
  if (++runs % 10000 == 0) { // types and attributes live as long as their context
    delete context;
    context = new mlir::MLIRContext(mlir::MLIRContext::Threading::DISABLED);
  }
  models::Diagnostics diagnostics;
  std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  mlir::OwningOpRef<mlir::ModuleOp> module = models::buildModel("m.json", text, {.useCheck = true}, context, diagnostics);
  if (static_cast<bool>(module) == diagnostics.hasErrors())
    throw std::logic_error(module ? "a model with errors is built" : "a model is refused without a reason");
  long lines = 1 + std::count(text.begin(), text.end(), '\n');
  for (const models::Diagnostics::Entry& entry : diagnostics.entries()) {
    if (hasControls(entry.message) || entry.message.starts_with("internal"))
      throw std::logic_error("a message that is none: " + entry.message);
    if (entry.position.line > lines)
      throw std::logic_error("a place outside of the file: " + diagnostics.text());
  }
  return static_cast<bool>(module);
}

} // namespace moec::fuzz
