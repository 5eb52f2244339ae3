#include "tests/routing/Goldens.h"

#include "runtime/io/SafeTensors.h"
#include "tests/e2e/Support.h"

#include <algorithm>
#include <fstream>
#include <set>

namespace moec::test {

namespace {

std::filesystem::path folder() { return sourceDir() / "tests/goldens/routing"; }

} // namespace

std::vector<RoutingRow> routingRows() {
  std::ifstream file(folder() / "manifest.json");
  std::vector<RoutingRow> rows;
  nlohmann::json manifest = nlohmann::json::parse(file);
  for (const nlohmann::json& entry : manifest.at("files")) {
    RoutingRow row{entry.at("kind"), entry.at("name"), entry.at("origin"), entry.at("version"), entry.at("file"), entry.at("cases"), {}};
    if (entry.contains("inexact_f64"))
      row.inexact = entry.at("inexact_f64");
    rows.push_back(row);
  }
  return rows;
}

std::vector<RoutingRow> oneOfEachKind() {
  std::vector<RoutingRow> rows;
  std::set<std::string> kinds;
  for (const RoutingRow& row : routingRows())
    if (kinds.insert(row.kind).second)
      rows.push_back(row);
  return rows;
}

RoutingGolden::RoutingGolden(const RoutingRow& row) : row(row) {
  std::map<std::string, std::string> metadata;
  tensors = readSafeTensors(folder() / row.file, &metadata);
  gate = nlohmann::json::parse(metadata.at("gate"));
  cases = nlohmann::json::parse(metadata.at("cases"));
  experts = std::stoll(metadata.at("experts"));
  rank = std::stoll(metadata.at("rank"));
  width = std::stoll(metadata.at("width"));
}

std::string RoutingGolden::model(DType dtype) const {
  nlohmann::json shape = {"tokens", width};
  if (rank == 3)
    shape.insert(shape.begin(), "batch");
  nlohmann::json block = {{"kind", "moe"}, {"name", "moe"}, {"gate", gate}, {"experts", {{"kind", "linear"}, {"count", experts}}}};
  nlohmann::json model = {{"name", "routing"},
                          {"dtype", name(dtype)},
                          {"inputs", {{"x", {{"shape", shape}}}, {"target", {{"shape", shape}, {"for", "loss"}}}}},
                          {"model", {block}},
                          {"loss", {{"kind", "mse"}, {"prediction", "moe"}, {"target", "target"}}}};
  if (gate.contains("ids")) {
    nlohmann::json ids = shape;
    ids.erase(ids.end() - 1);
    model["model"][0]["from"] = "x";
    model["inputs"][gate.at("ids").get<std::string>()] = {{"shape", ids}, {"dtype", "i32"}};
  }
  return model.dump();
}

TensorMap RoutingGolden::part(const std::string& name, const std::string& prefix, DType dtype) const {
  TensorMap some;
  std::string before = name + "/" + prefix;
  for (const auto& [key, tensor] : tensors)
    if (key.starts_with(before))
      some[key.substr(before.size())] = tensor.dtype() == DType::F32 ? tensor.cast(dtype) : tensor;
  return some;
}

TensorMap RoutingGolden::inputsOf(const Plan& plan, const std::string& name, DType dtype) const {
  TensorMap all = part(name, "draws/", dtype);
  for (const char* input : {"x", "target"})
    all[input] = part(name, input, dtype).at("");
  TensorMap asked;
  for (const InputInfo& input : plan.inputs)
    if (auto given = all.find(input.name); given != all.end()) {
      Shape shape = given->second.shape(); // of one expert: draws are inputs without trailing dimensions of 1
      while (shape.size() > input.shape.size() && shape.back() == 1)
        shape.pop_back();
      asked[input.name] = given->second.reshaped(shape);
    }
  return asked;
}

bool RoutingGolden::refuses(const std::string& name, const std::string& mode) const {
  const nlohmann::json& about = cases.at(name);
  if (!about.contains("refused"))
    return false;
  std::vector<std::string> modes = about.at("refused");
  return std::ranges::count(modes, mode) > 0;
}

} // namespace moec::test
