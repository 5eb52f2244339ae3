#include "compiler/passes/Functions.h"

using namespace mlir;

namespace moec::compiler {

std::optional<LaunchList> listOf(func::FuncOp function) {
  constexpr std::pair<llvm::StringLiteral, LaunchList> lists[] = {
      {"prepare", LaunchList::Prepare},  {"forward", LaunchList::Forward},  {"train_step", LaunchList::Forward}, {"accumulate", LaunchList::Forward},
      {"evaluate", LaunchList::Forward}, {"generate", LaunchList::Forward}, {"apply", LaunchList::Apply}};
  for (auto& [name, list] : lists)
    if (function.getSymName() == name)
      return list;
  return std::nullopt;
}

func::FuncOp functionOf(ModuleOp module, LaunchList list) {
  for (func::FuncOp function : module.getOps<func::FuncOp>())
    if (listOf(function) == list)
      return function;
  return nullptr;
}

SmallVector<func::FuncOp> calledFunctions(ModuleOp module) {
  SmallVector<func::FuncOp> functions;
  for (LaunchList list : {LaunchList::Forward, LaunchList::Apply})
    if (func::FuncOp function = functionOf(module, list))
      functions.push_back(function);
  return functions;
}

} // namespace moec::compiler
