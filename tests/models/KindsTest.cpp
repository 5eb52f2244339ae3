// Every listed kind: is its table whole, and do the texts made from the tables agree with what is committed?

#include "models/Arguments.h"
#include "models/ModelFile.h"
#include "models/Schema.h"
#include "models/json/Parse.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <sstream>

using namespace moec::models;

namespace {

std::vector<const Kind*> allTables() {
  std::vector<const Kind*> all{&modelTable(), &inputTable(), &photoTable(), &moefyTable(), &ownBlockTable()};
  for (Family family : kFamilies)
    all.insert(all.end(), kindsOf(family).begin(), kindsOf(family).end());
  return all;
}

TEST(Kinds, ListsAreSortedAndOfOneFamily) {
  for (Family family : kFamilies) {
    const auto& kinds = kindsOf(family);
    EXPECT_TRUE(std::is_sorted(kinds.begin(), kinds.end(), [](const Kind* a, const Kind* b) { return a->name < b->name; }));
    for (const Kind* kind : kinds) {
      EXPECT_EQ(kind->family, family) << kind->name;
      EXPECT_EQ(kind->block != nullptr, family == Family::Block) << kind->name;
      EXPECT_EQ(kind->gate != nullptr, family == Family::Gate) << kind->name;
      EXPECT_EQ(kind->expert != nullptr, family == Family::Expert) << kind->name;
      EXPECT_EQ(kind->loss != nullptr, family == Family::Loss) << kind->name;
      EXPECT_EQ(kind->checkLoss != nullptr, family == Family::Loss) << kind->name;
      EXPECT_EQ(kind->update != nullptr, family == Family::Optimizer) << kind->name;
    }
  }
}

TEST(Kinds, EachDocumentsItselfAndItsParameters) {
  for (const Kind* kind : allTables()) {
    EXPECT_FALSE(kind->doc.empty()) << kind->name;
    EXPECT_FALSE(kind->source.empty()) << kind->name;
    std::set<std::string> names;
    for (const Parameter& parameter : kind->parameters) {
      EXPECT_TRUE(names.insert(parameter.name).second) << kind->name << "." << parameter.name;
      EXPECT_FALSE(parameter.doc.empty()) << kind->name << "." << parameter.name;
      EXPECT_FALSE(parameter.required && !parameter.fallback.empty()) << kind->name << "." << parameter.name;
      bool isWord = parameter.type == ParameterType::Word || parameter.type == ParameterType::WordByMode;
      EXPECT_EQ(isWord, !parameter.words.empty()) << kind->name << "." << parameter.name;
    }
  }
}

TEST(Kinds, DefaultsFit) {
  for (const Kind* kind : allTables())
    for (const Parameter& parameter : kind->parameters) {
      if (parameter.fallback.empty())
        continue;
      Diagnostics diagnostics;
      std::optional<Json> value = parseJson(parameter.fallback, diagnostics);
      ASSERT_TRUE(value) << kind->name << "." << parameter.name;
      EXPECT_TRUE(fits(parameter, *value)) << kind->name << "." << parameter.name;
    }
}

std::string committed(const std::string& name) {
  std::ifstream file(std::string(MOEC_SOURCE_DIR) + "/models/" + name);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(Kinds, CommittedTextsAreUpToDate) {
  EXPECT_EQ(committed("README.md"), modelsReadme()) << "run: write_model_docs models";
  EXPECT_EQ(committed("model.schema.json"), modelSchema()) << "run: write_model_docs models";
}

TEST(Kinds, SchemaIsJson) {
  Diagnostics diagnostics;
  std::optional<Json> schema = parseJson(modelSchema(), diagnostics);
  ASSERT_TRUE(schema) << diagnostics.text();
  EXPECT_TRUE(schema->find("$defs")->find("gate"));
}

} // namespace
