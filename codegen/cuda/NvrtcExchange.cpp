#include "codegen/cuda/NvrtcExchange.h"

#include "runtime/core/Container.h"
#include "runtime/core/Error.h"

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

namespace moec::codegen::cuda {

namespace {

namespace fs = std::filesystem;

std::span<const uint8_t> bytesOf(const std::string& text) { return {reinterpret_cast<const uint8_t*>(text.data()), text.size()}; }

void write(const fs::path& path, const std::vector<Container::Section>& sections) {
  std::vector<uint8_t> bytes = Container::write(sections);
  std::ofstream file(path, std::ios::binary);
  if (!file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size())).flush())
    throw Error(Fault::System, path.string() + ": cannot be written");
}

/// A container's file with the bytes that it is a view of.
struct Sections {
  explicit Sections(const fs::path& path) : path_(path) {
    std::ifstream file(path, std::ios::binary);
    bytes_.assign(std::istreambuf_iterator<char>(file), {});
    container_ = Container::parse(bytes_, path.string());
  }
  std::span<const uint8_t> bytes(const char* name) const {
    const Container::Section* section = container_.find(name);
    if (!section)
      throw Error(Fault::Data, path_.string() + ": lacks its section '" + name + "'");
    return section->bytes;
  }
  std::string text(const char* name) const {
    auto found = bytes(name);
    return {found.begin(), found.end()};
  }
  bool has(const char* name) const { return container_.find(name) != nullptr; }

private:
  fs::path path_;
  std::vector<uint8_t> bytes_;
  Container container_;
};

std::string functionsText(const std::vector<FunctionUsage>& functions) {
  nlohmann::json json = nlohmann::json::array();
  for (const FunctionUsage& one : functions)
    json.push_back({one.function, one.registers, one.spillBytes, one.stackBytes, one.sharedBytes});
  return json.dump();
}

std::vector<FunctionUsage> functionsFrom(const std::string& text) {
  std::vector<FunctionUsage> functions;
  for (const nlohmann::json& one : nlohmann::json::parse(text))
    functions.push_back({one.at(0), one.at(1), one.at(2), one.at(3), one.at(4)});
  return functions;
}

} // namespace

void writeRequest(const fs::path& folder, const CudaSource& source, const CudaTarget& target) {
  write(folder / kRequestFile,
        {{"file", bytesOf(source.fileName)}, {"cuda", bytesOf(source.text)}, {"declarations", bytesOf(source.declarations)}, {"target", bytesOf(target.name)}});
}

void answerRequest(const fs::path& folder) {
  Sections request(folder / kRequestFile);
  const CudaTarget* target = findCudaTarget(request.text("target"));
  if (!target)
    throw Error(Fault::Data, "unknown target '" + request.text("target") + "'");
  std::string error;
  try {
    auto compiled = compileCuda({request.text("file"), request.text("cuda"), request.text("declarations")}, *target, error);
    if (!compiled)
      return write(folder / kAnswerFile, {{"refused", bytesOf(error)}});
    std::string functions = functionsText(compiled->functions);
    write(folder / kAnswerFile, {{"ptx", bytesOf(compiled->ptx)}, {"cubin", compiled->cubin}, {"functions", bytesOf(functions)}});
  } catch (const Error& failed) {
    if (failed.fault() != Fault::Device)
      throw;
    error = failed.what();
    write(folder / kAnswerFile, {{"missing", bytesOf(error)}});
  }
}

std::optional<CompiledCuda> readAnswer(const fs::path& folder, std::string& error) {
  Sections answer(folder / kAnswerFile);
  if (answer.has("missing"))
    throw Error(Fault::Device, answer.text("missing"));
  if (answer.has("refused")) {
    error = answer.text("refused");
    return std::nullopt;
  }
  auto cubin = answer.bytes("cubin");
  return CompiledCuda{answer.text("ptx"), {cubin.begin(), cubin.end()}, functionsFrom(answer.text("functions"))};
}

} // namespace moec::codegen::cuda
