#include "tests/codegen/MappedKernel.h"

#include "codegen/cpu/ObjectCompiler.h"

#include <dlfcn.h>
#include <stdexcept>
#include <sys/mman.h>
#include <unistd.h>

namespace moec::testing {

namespace cpu = codegen::cpu;

MappedKernel::MappedKernel(const std::vector<Code>& functions, DType dtype, const std::string& target, size_t operands, bool vectors) {
  std::string type = std::string("tensor<?x") + (dtype == DType::F32 ? "f32" : "f64") + ", #moe.sizes<\"n\">>", arguments;
  for (size_t i = 0; i < operands; ++i)
    arguments += (i ? ", %x" : "%x") + std::to_string(i) + ": " + type;
  kernel_ = parseKernel("rows", arguments, type, "%y = moe.neg %x0 : " + type + "\n moe.yield %y : " + type);
  const cpu::CpuTarget& cpuTarget = *cpu::findTarget(target);
  cpu::KernelBuilder k(kernel_.op, "map", cpuTarget);
  int64_t lanes = vectors ? k.lanes(dtype) : 1;
  for (const Code& code : functions)
    k.stage(Size(1), Size(1), [&](cpu::Value) {
      k.vectorLoop(k.size(Size::symbol("n")), lanes, [&](cpu::Value i, cpu::Value mask) {
        cpu::Values values;
        for (size_t operand = 0; operand < operands; ++operand)
          values.push_back(k.loadElements(dtype, k.at(k.input(operand), i, dtype), lanes, mask));
        k.storeElements(dtype, code(k, values), k.at(k.output(0), i, dtype), mask);
      });
    });
  std::string error;
  auto module = k.finish(error);
  auto image = failed(module) ? mlir::FailureOr<std::vector<uint8_t>>(mlir::failure()) : cpu::compileToImage(*module, cpuTarget, "map", error);
  if (failed(image))
    throw std::runtime_error(error);
  int file = memfd_create("kernel", MFD_CLOEXEC);
  if (write(file, image->data(), image->size()) != static_cast<ssize_t>(image->size()))
    throw std::runtime_error("cannot write the image");
  library_ = dlopen(("/proc/self/fd/" + std::to_string(file)).c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library_)
    throw std::runtime_error(dlerror());
  function_ = reinterpret_cast<KernelFunction>(dlsym(library_, "map"));
  file_ = file;
}

MappedKernel::~MappedKernel() {
  dlclose(library_);
  close(file_);
}

} // namespace moec::testing
