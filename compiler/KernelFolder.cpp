#include "compiler/KernelFolder.h"

#include "runtime/core/AtomicFile.h"
#include "runtime/core/Error.h"
#include "runtime/core/NearestName.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <fstream>
#include <iterator>
#include <set>

namespace moec::compiler {

namespace fs = std::filesystem;

mlir::LogicalResult KernelFolder::add(mlir::ModuleOp module, codegen::KernelEmitter& emitter, bool withTexts) {
  auto result = module.walk([&](ir::KernelOp kernel) {
    auto [place, isNew] = kernels_.try_emplace(emitter.symbolOf(kernel));
    place->second.target = emitter.target();
    place->second.labels.push_back(ir::pathOf(kernel.getLoc()));
    if (withTexts && isNew) {
      auto text = emitter.print(kernel, codegen::CodeText::Cuda);
      if (mlir::failed(text))
        return mlir::WalkResult::interrupt();
      place->second.text = *text;
    }
    return mlir::WalkResult::advance();
  });
  return mlir::failure(result.wasInterrupted());
}

void KernelFolder::checkNames() const {
  std::vector<std::string> names, known;
  std::set<std::string> targets;
  for (const auto& [symbol, kernel] : kernels_) {
    names.push_back(symbol + ".cu");
    known.push_back(fmt::format("{}.cu: {}", symbol, fmt::join(kernel.labels, ", ")));
    targets.insert(kernel.target);
  }
  std::set<fs::path> files;
  std::error_code code;
  fs::directory_iterator at(path_, code);
  for (fs::directory_iterator end; !code && at != end; at.increment(code))
    files.insert(at->path());
  if (code)
    throw Error(Fault::Data, fmt::format("{}: cannot be read: {}", path_.string(), code.message()));
  for (const fs::path& file : files) {
    std::string name = file.filename().string();
    if (file.extension() == ".cu" && std::ranges::find(names, name) == names.end())
      throw Error(Fault::Data, fmt::format("{}: the program for {} has no kernel of this name{}; known:\n  {}\na kernel's name changes with what it computes, "
                                           "its schedule and moec's version: --emit cuda --kernels DIR writes the texts of today",
                                           file.string(), fmt::join(targets, ", "), didYouMean(name, names), fmt::join(known, "\n  ")));
  }
}

std::string KernelFolder::write() const {
  std::error_code code;
  fs::create_directories(path_, code);
  if (code)
    throw Error(Fault::System, fmt::format("{}: cannot be made: {}", path_.string(), code.message()));
  std::vector<std::pair<fs::path, const Kernel*>> missing;
  std::string report;
  for (const auto& [symbol, kernel] : kernels_) {
    fs::path path = fileOf(symbol);
    bool exists = fs::exists(path, code);
    if (exists) {
      std::ifstream file(path, std::ios::binary);
      if (std::string(std::istreambuf_iterator<char>(file), {}) != kernel.text)
        throw Error(Fault::Data, path.string() + ": differs from moec's text of this kernel: it is edited, or of another version of moec, and is not "
                                                 "written over; remove it, or name another folder");
    } else {
      missing.emplace_back(path, &kernel);
    }
    report += fmt::format("{}: {} ({})\n", path.string(), fmt::join(kernel.labels, ", "), exists ? "as it was" : "written");
  }
  for (auto& [path, kernel] : missing)
    writeFileAtomically(path, kernel->text);
  return report;
}

} // namespace moec::compiler
