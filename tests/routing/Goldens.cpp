#include "tests/routing/Goldens.h"

#include "runtime/io/SafeTensors.h"
#include "tests/e2e/Support.h"

#include <algorithm>
#include <fstream>
#include <set>
#include <stdexcept>

namespace moec::test {

namespace {

std::filesystem::path folder() { return sourceDir() / "tests/goldens/routing"; }

} // namespace

std::vector<RoutingRow> routingRows() {
  std::ifstream file(folder() / "manifest.json");
  std::vector<RoutingRow> rows;
  nlohmann::json manifest = nlohmann::json::parse(file);
  for (const nlohmann::json& entry : manifest.at("files")) {
    RoutingRow row{entry.at("family"), entry.at("kind"), entry.at("name"), entry.at("origin"), entry.at("version"), entry.at("file"), entry.at("cases"), {}};
    if (entry.contains("inexact_f64"))
      row.inexact = entry.at("inexact_f64");
    rows.push_back(row);
  }
  return rows;
}

std::vector<RoutingRow> oneOfEachKind() {
  std::vector<RoutingRow> rows;
  std::set<std::pair<std::string, std::string>> kinds;
  for (const RoutingRow& row : routingRows())
    if (kinds.insert({row.family, row.kind}).second)
      rows.push_back(row);
  return rows;
}

namespace {

/// A model of one moe block with a gate and an expert of one linear layer each; mse is its loss.
nlohmann::json aroundGate(const std::map<std::string, std::string>& metadata) {
  nlohmann::json gate = nlohmann::json::parse(metadata.at("gate")), shape = {"tokens", std::stoll(metadata.at("width"))};
  if (metadata.at("rank") == "3")
    shape.insert(shape.begin(), "batch");
  nlohmann::json experts = {{"kind", "linear"}, {"count", std::stoll(metadata.at("experts"))}};
  nlohmann::json block = {{"kind", "moe"}, {"name", "moe"}, {"gate", gate}, {"experts", experts}};
  nlohmann::json model = {{"name", "routing"},
                          {"inputs", {{"x", {{"shape", shape}}}, {"target", {{"shape", shape}, {"for", "loss"}}}}},
                          {"model", {block}},
                          {"loss", {{"kind", "mse"}, {"prediction", "moe"}, {"target", "target"}}}};
  if (gate.contains("ids")) {
    nlohmann::json ids = shape;
    ids.erase(ids.end() - 1);
    model["model"][0]["from"] = "x";
    model["inputs"][gate.at("ids").get<std::string>()] = {{"shape", ids}, {"dtype", "i32"}};
  }
  return model;
}

/// The parameters of a layer are one tensor, its gradients another, in f64 alone: here each gets its own, and f32 the same gradients.
void unpack(TensorMap& tensors, const std::string& name, const nlohmann::ordered_json& parameters) {
  auto split = [&](const std::string& packed, const std::string& prefix) {
    auto all = tensors.find(name + packed);
    if (all == tensors.end())
      return;
    auto* next = static_cast<std::byte*>(all->second.data());
    for (const auto& [path, shape] : parameters.items()) {
      Tensor part = Tensor::borrow(next, shape, all->second.dtype()).clone();
      next += part.bytes();
      tensors[name + prefix + path] = part;
    }
    if (next != static_cast<std::byte*>(all->second.data()) + all->second.bytes())
      throw std::runtime_error(name + packed + " is of another size than its parameters");
    tensors.erase(all);
  };
  split("/weights", "/weights/");
  split("/f64/parameter_gradients", "/f64/gradients/");
  std::string wide = name + "/f64/gradients/";
  TensorMap narrow;
  for (const auto& [key, tensor] : tensors)
    if (key.starts_with(wide))
      narrow[name + "/f32/gradients/" + key.substr(wide.size())] = tensor.cast(DType::F32);
  tensors.merge(narrow);
}

} // namespace

RoutingGolden::RoutingGolden(const RoutingRow& row) : row(row) {
  std::map<std::string, std::string> metadata;
  tensors = readSafeTensors(folder() / row.file, &metadata);
  text = metadata.contains("model") ? nlohmann::json::parse(metadata.at("model")) : aroundGate(metadata);
  cases = nlohmann::json::parse(metadata.at("cases"));
  if (metadata.contains("parameters"))
    for (const std::string& name : row.cases)
      unpack(tensors, name, nlohmann::ordered_json::parse(metadata.at("parameters")));
}

std::string RoutingGolden::model(DType dtype) const {
  nlohmann::json model = text;
  model["dtype"] = name(dtype);
  return model.dump();
}

std::string RoutingGolden::result() const { return row.family == "gate" ? "moe" : "y"; }

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
  if (row.family == "gate")
    for (const char* input : {"x", "target"})
      all[input] = part(name, input, dtype).at("");
  all.merge(part(name, "inputs/", dtype));
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

std::map<std::string, std::vector<int32_t>> RoutingGolden::choicesOf(const std::string& name, const std::string& mode) const {
  std::map<std::string, std::vector<int32_t>> choices;
  auto add = [&](const std::string& label, const Tensor& tensor) {
    auto data = tensor.as<int32_t>();
    choices[label] = {data.begin(), data.end()};
  };
  for (const auto& [label, tensor] : part(name, mode + "/choices/", DType::F32))
    add(label, tensor);
  for (const auto& [stored, label] : {std::pair("indices", row.kind == "hierarchical" ? "moe.gate.inner" : "moe.gate"), {"outer", "moe.gate.outer"}})
    for (const auto& [rest, tensor] : part(name, mode + "/" + stored, DType::F32))
      add(label, tensor);
  return choices;
}

bool RoutingGolden::refuses(const std::string& name, const std::string& mode) const {
  const nlohmann::json& about = cases.at(name);
  if (!about.contains("refused"))
    return false;
  std::vector<std::string> modes = about.at("refused");
  return std::ranges::count(modes, mode) > 0;
}

} // namespace moec::test
