#include "tests/models/Goldens.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace moec::test {

namespace {

std::filesystem::path folder() { return std::filesystem::path(MOEC_SOURCE_DIR) / "tests/goldens"; }

nlohmann::json headerOf(const std::string& bytes) {
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof length);
  return nlohmann::json::parse(bytes.substr(sizeof length, length));
}

} // namespace

std::map<std::string, Tensor> Golden::part(const std::string& prefix) const {
  std::map<std::string, Tensor> some;
  for (const auto& [name, tensor] : tensors)
    if (name.starts_with(prefix + "/"))
      some.emplace(name.substr(prefix.size() + 1), tensor);
  return some;
}

std::string Golden::model(const std::string& key) const {
  nlohmann::json model = nlohmann::json::parse(fileText("models/zoo/" + metadata.at(key).get<std::string>() + ".json"));
  model.merge_patch(nlohmann::json::parse(metadata.at("overrides").get<std::string>()));
  return model.dump(1);
}

Bindings Golden::sizes() const {
  Bindings bindings;
  nlohmann::json sizes = nlohmann::json::parse(metadata.at("sizes").get<std::string>());
  for (const auto& [name, size] : sizes.items())
    bindings[name] = size.get<int64_t>();
  return bindings;
}

std::string fileText(const std::string& path) {
  std::ifstream file(std::string(MOEC_SOURCE_DIR) + "/" + path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

Golden readGolden(const std::string& name) {
  std::string bytes = fileText("tests/goldens/" + name + ".safetensors");
  nlohmann::json header = headerOf(bytes);
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof length);
  Golden golden{header.at("__metadata__"), {}};
  for (const auto& [key, entry] : header.items()) {
    if (key == "__metadata__")
      continue;
    std::string dtype = entry.at("dtype");
    std::transform(dtype.begin(), dtype.end(), dtype.begin(), [](char c) { return std::tolower(c); });
    Tensor tensor(*parseDType(dtype), entry.at("shape").get<Shape>());
    std::memcpy(tensor.data(), bytes.data() + 8 + length + entry.at("data_offsets")[0].get<size_t>(), tensor.bytes());
    golden.tensors.emplace(key, tensor);
  }
  return golden;
}

std::vector<std::string> goldensWith(const std::string& key) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder()))
    if (entry.path().extension() == ".safetensors" && headerOf(fileText("tests/goldens/" + entry.path().filename().string())).at("__metadata__").contains(key))
      names.push_back(entry.path().stem().string());
  std::sort(names.begin(), names.end());
  return names;
}

std::string testName(const std::string& golden) {
  std::string name = golden;
  std::ranges::replace_if(name, [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
  return name;
}

void expectClose(const Tensor& found, const Tensor& expected, double limit, const std::string& what) {
  ASSERT_EQ(found.shape(), expected.shape()) << what;
  std::vector<double> a = found.toDoubles(), b = expected.toDoubles();
  double largest = 0, apart = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    largest = std::max(largest, std::abs(b[i]));
    apart = std::max(apart, std::isfinite(a[i]) ? std::abs(a[i] - b[i]) : INFINITY);
  }
  EXPECT_LE(apart, limit * largest) << what << ": the largest expected is " << largest;
}

} // namespace moec::test
