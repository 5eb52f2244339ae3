// Is every listed gate, expert, mixture and loss in models/README.md, in the manifest of the routing goldens and in
// docs/STATUS.md, and is nothing else there? A kind without a golden fails here.

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

namespace {

const nlohmann::json& manifest() {
  static const nlohmann::json files = nlohmann::json::parse(fileText("tests/goldens/routing/manifest.json")).at("files");
  return files;
}

/// What the manifest says of a kind's rows: the JSON of the gate, the loss or the layer, or that of each expert of the kind.
std::vector<nlohmann::json> saidOf(const std::string& family, const std::string& kind) {
  std::vector<nlohmann::json> said;
  for (const auto& entry : manifest())
    if (entry.at("family") == family && entry.at("kind") == kind)
      for (const nlohmann::json& parameters = entry.at("parameters");
           const auto& one : parameters.is_array() ? parameters : nlohmann::json::array({parameters}))
        said.push_back(one);
  return said;
}

Names kindsIn(const std::string& family) {
  Names kinds;
  for (const auto& entry : manifest())
    if (entry.at("family") == family)
      kinds.insert(entry.at("kind").get<std::string>());
  return kinds;
}

Names namesOf(const std::vector<const Kind*>& kinds) {
  Names names;
  for (const Kind* kind : kinds)
    names.insert(kind->name);
  return names;
}

/// The blocks that are mixtures: those with experts of their own, and the layer whose parameters are mixed.
std::vector<const Kind*> mixtures() {
  std::vector<const Kind*> kinds;
  for (const Kind* kind : blockKinds())
    if (kind->name == "mixed_linear" || std::ranges::any_of(kind->parameters, [](const Parameter& parameter) {
          return parameter.type == ParameterType::Expert || parameter.type == ParameterType::Experts;
        }))
      kinds.push_back(kind);
  return kinds;
}

} // namespace

TEST(GoldenKinds, ListReadmeManifestAndStatusAreOfTheSameKinds) {
  Names losses = namesOf(lossKinds());
  for (const char* ofGates : {"balance_loss", "z_loss"}) // of several layers at once
    losses.insert(ofGates);
  struct Listed {
    Names names;
    std::string family, readme, status, next;
  };
  for (const Listed& listed : {Listed{namesOf(gateKinds()), "gate", "## Gates", "## Gates", "## Experts"},
                               {namesOf(expertKinds()), "expert", "## Experts", "## Experts", "## Whole layers"},
                               {namesOf(mixtures()), "block", "", "## Whole layers", "## Losses"},
                               {losses, "loss", "", "## Losses", ""}}) {
    EXPECT_EQ(kindsIn(listed.family), listed.names) << "every " << listed.family << " has goldens (tests/goldens/routing/README.md)";
    EXPECT_EQ(quotedIn("docs/STATUS.md", "| ", listed.status, listed.next), listed.names) << "write_routing_status makes docs/STATUS.md";
    if (!listed.readme.empty())
      EXPECT_EQ(quotedIn("models/README.md", "### ", listed.readme, listed.family == "gate" ? "## Experts" : "## Losses"), listed.names)
          << "write_model_docs makes models/README.md";
  }
}

namespace {

/// `elsewhere`: "kind.parameter" of what no golden has.
void expectInGoldens(const std::string& family, const Kind& kind, const Names& elsewhere) {
  Names given;
  for (const auto& said : saidOf(family, kind.name))
    for (const auto& [name, value] : said.items())
      given.insert(name);
  for (const Parameter& parameter : kind.parameters)
    if (parameter.name != "init" && parameter.name != "count") // of all kinds with weights, and of all experts: tests/models
      EXPECT_NE(given.contains(parameter.name), elsewhere.contains(kind.name + "." + parameter.name)) << kind.name << "." << parameter.name;
}

} // namespace

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
  for (const Kind* kind : gateKinds())
    expectInGoldens("gate", *kind, elsewhere);
}

TEST(GoldenKinds, EveryParameterOfAnExpertAMixtureAndALossIsInAGolden) {
  const std::set<std::string> elsewhere = {// in a golden of a mixture: soft_moe.soft-moe-pytorch.dropout; the code is the same
                                           "mlp.dropout", "gated_mlp.dropout",
                                           // no original has it: tests/models
                                           "moe.out",
                                           // names of values, which every case has
                                           "cross_entropy.scores", "cross_entropy.labels", "mse.prediction", "mse.target"};
  for (const Kind* kind : expertKinds())
    expectInGoldens("expert", *kind, elsewhere);
  for (const Kind* kind : mixtures())
    expectInGoldens("block", *kind, elsewhere);
  for (const Kind* kind : lossKinds())
    expectInGoldens("loss", *kind, elsewhere);
}

// Activations of experts are in tests/codegen and tests/ir.
TEST(GoldenKinds, EveryWordOfAMixtureIsInAGolden) {
  for (const Kind* kind : mixtures())
    for (const Parameter& parameter : kind->parameters) {
      if (parameter.type != ParameterType::Word)
        continue;
      Names given;
      for (const auto& said : saidOf("block", kind->name))
        given.insert(said.contains(parameter.name) ? said.at(parameter.name).get<std::string>() : nlohmann::json::parse(parameter.fallback).get<std::string>());
      EXPECT_EQ(given, Names(parameter.words.begin(), parameter.words.end())) << kind->name << "." << parameter.name;
    }
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
