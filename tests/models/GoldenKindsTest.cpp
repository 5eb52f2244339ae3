// Is every listed gate in models/README.md, in the manifest of the routing goldens and in docs/STATUS.md, and is
// nothing else there? A gate without a golden fails here.

#include "models/Kind.h"
#include "tests/models/Goldens.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <sstream>

using namespace moec::models;
using namespace moec::test;

namespace {

using Names = std::set<std::string>;

/// What stands between backquotes at the beginning of lines, behind `before`, in the part of a page from one line to
/// another.
Names quotedIn(const std::string& page, const std::string& before, const std::string& from = "", const std::string& to = "") {
  Names names;
  std::istringstream lines(fileText(page));
  bool inside = from.empty();
  for (std::string line; std::getline(lines, line);) {
    if (!from.empty() && line == from)
      inside = true;
    else if (inside && !to.empty() && line == to)
      break;
    if (std::string start = before + "`"; inside && line.starts_with(start))
      names.insert(line.substr(start.size(), line.find('`', start.size()) - start.size()));
  }
  return names;
}

} // namespace

TEST(GoldenKinds, ListReadmeManifestAndStatusAreOfTheSameGates) {
  nlohmann::json manifest = nlohmann::json::parse(fileText("tests/goldens/routing/manifest.json"));
  Names listed, inManifest;
  for (const Kind* kind : gateKinds())
    listed.insert(kind->name);
  for (const auto& entry : manifest.at("files"))
    inManifest.insert(entry.at("kind").get<std::string>());
  EXPECT_EQ(inManifest, listed) << "every gate has goldens (tests/goldens/routing/README.md)";
  EXPECT_EQ(quotedIn("models/README.md", "### ", "## Gates", "## Experts"), listed) << "write_model_docs makes models/README.md";
  EXPECT_EQ(quotedIn("docs/STATUS.md", "| "), listed) << "write_routing_status makes docs/STATUS.md";
}

// Of the parameters of every gate at least one value that is not the default stands in a golden, or the parameter is
// named here with the reason.
TEST(GoldenKinds, EveryParameterOfAGateIsInAGolden) {
  const std::set<std::string> elsewhere = {
      // where a parameter begins, and defaults that every case has
      "cosine.temperature", "hierarchical.eps", "hierarchical.least_capacity", "noisy_top_k.least_noise", "switch.least_capacity", "top_2.eps",
      "top_2.least_capacity", "top_n.eps", "top_n.least_capacity", "expert_choice.least_capacity",
      // a piece that is in a golden of another gate, in the same code
      "dc.bias", "dc.priority", "dc.z_loss", "expert_choice.bias", "faster.bias", "noisy_top_k.z_loss", "sigmoid.bias", "swipe.bias", "switch.priority",
      // of several layers: goldens of whole models
      "switch.loss_mask", "switch.loss_pool", "top_k.loss_mask", "top_k.loss_pool",
      // no original has it: tests/models
      "dense.activation", "top_k.noise"};
  nlohmann::json manifest = nlohmann::json::parse(fileText("tests/goldens/routing/manifest.json"));
  std::map<std::string, Names> given;
  for (const auto& entry : manifest.at("files"))
    for (const auto& [name, value] : entry.at("parameters").items())
      given[entry.at("kind")].insert(name);
  for (const Kind* kind : gateKinds())
    for (const Parameter& parameter : kind->parameters)
      if (parameter.name != "init") // of all kinds with weights: tests/models
        EXPECT_NE(given[kind->name].contains(parameter.name), elsewhere.contains(kind->name + "." + parameter.name)) << kind->name << "." << parameter.name;
}

// docs/GATES.md shows a gate that is in the tree: each block of code below a path stands word for word in that file.
TEST(GoldenKinds, ThePageOnGatesShowsWhatIsInTheTree) {
  std::istringstream page(fileText("docs/GATES.md"));
  size_t blocks = 0;
  for (std::string before, line; std::getline(page, line); before = line) {
    if (!line.starts_with("```"))
      continue;
    std::string code;
    for (std::string inner; std::getline(page, inner) && inner != "```";)
      code += inner + "\n";
    if (!before.starts_with("`") || !before.ends_with("`:"))
      continue; // a command
    ASSERT_FALSE(code.empty());
    code.pop_back();
    std::string path = before.substr(1, before.size() - 3), text = fileText(path);
    EXPECT_NE(text.find(code), std::string::npos) << path << " does not hold\n" << code;
    ++blocks;
    line.clear();
  }
  EXPECT_EQ(blocks, 5u);
}
