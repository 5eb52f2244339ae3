#include "models/ModelFile.h"
#include "models/Schema.h"

#include <fmt/format.h>

namespace moec::models {

namespace {

/// A table's cell: its bars would end it.
std::string cell(std::string text) {
  for (size_t at = 0; (at = text.find('|', at)) != std::string::npos; at += 2)
    text.insert(at, "\\");
  return text;
}

std::string defaultOf(const Parameter& parameter) {
  if (parameter.required)
    return "required";
  return parameter.fallback.empty() ? "" : "`" + parameter.fallback + "`";
}

void section(std::string& text, const Kind& kind, const char* heading) {
  text += fmt::format("{} `{}`\n{}\n\nSource: {}.\n\n", heading, kind.name, kind.doc, kind.source);
  if (kind.parameters.empty())
    return;
  text += "| Parameter | Takes | Default | Meaning |\n|---|---|---|---|\n";
  for (const Parameter& parameter : kind.parameters) {
    std::string meaning = parameter.source.empty() ? parameter.doc : fmt::format("{} ({})", parameter.doc, parameter.source);
    text += fmt::format("| `{}` | {} | {} | {} |\n", parameter.name, cell(expectation(parameter)), cell(defaultOf(parameter)), cell(meaning));
  }
  text += "\n";
}

/// Which blocks a model that continues texts may have.
std::string continuing() {
  std::string names;
  for (const Kind* kind : kindsOf(Family::Block))
    if (kind->byToken)
      names += fmt::format("{}`{}`", names.empty() ? "" : ", ", kind->name);
  return fmt::format("Models that continue texts (`moec compile --context`) are made of {}.\n\n", names);
}

} // namespace

std::string modelsReadme() {
  std::string text =
      "# The kinds\n\n"
      "Made from the tables of the kinds by `write_model_docs`; a test compares. The shape of the language is in "
      "docs/LANGUAGE.md.\n\n"
      "- `ModelFile` reads the file's top, `Vocabulary` says what a word stands for, `Check` reports every wrong word, "
      "then\n"
      "  `ModelBuilder` walks the blocks and the kinds' build functions emit ops (`Site`, `Ops`, `Layers`).\n"
      "- To add a kind: one file in blocks/, gates/, experts/, losses/ or optimizers/, and one line in its List.cpp.\n"
      "- Every block also takes `name` and `from`, and everything a `note`. Values may be `\"$name\"` or "
      "`\"$(4*name)\"`.\n"
      "- `init` says how a layer of in columns and out rows begins, \"weight\" and \"bias\" by themselves: a number for a constant, or a word: "
      "default (what the kind says), zeros, ones,\n  uniform_fan_in and uniform_fan_out (+-1/sqrt(in), +-1/sqrt(out)); and words that take a number from 0, as {\"normal\": 0.02}: "
      "uniform (its bound, else 1), normal and truncated_normal\n  (the deviation, else 1; what is farther than two deviations is drawn anew), kaiming_uniform and kaiming_normal (the slope a "
      "of a leaky ReLU, else 0: sqrt(2/(1 + a^2)/in) is the deviation),\n  xavier_uniform and xavier_normal (the gain, else 1: the deviation is gain * sqrt(2/(in + out))), orthogonal (the gain, "
      "else 1; each expert by itself). They are torch.nn.init's rules for the\n  weight of a Linear; a bias takes in and out from its layer.\n\n## The file\n\n";
  for (const Kind* table : {&modelTable(), &inputTable(), &photoTable(), &moefyTable(), &ownBlockTable()})
    section(text, *table, "###");
  const std::pair<Family, const char*> families[] = {
      {Family::Block, "Blocks"}, {Family::Gate, "Gates"}, {Family::Expert, "Experts"}, {Family::Loss, "Losses"}, {Family::Optimizer, "Optimizers"}};
  for (const auto& [family, title] : families) {
    text += fmt::format("## {}\n\n", title);
    if (family == Family::Block)
      text += continuing();
    for (const Kind* kind : kindsOf(family))
      section(text, *kind, "###");
  }
  text.pop_back(); // one newline at the end
  return text;
}

} // namespace moec::models
