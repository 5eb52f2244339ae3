#include "models/ModelFile.h"

// The tables of what is no kind: the file, its inputs, moefy.

namespace moec::models {

const Kind& modelTable() {
  static const std::vector<std::string> dtypes{"f32", "f64", "bf16"};
  static const Kind table{
      .name = "model",
      .doc = "A model file.",
      .source = "moec",
      .parameters = {
          {.name = "name", .type = ParameterType::Text, .required = true, .doc = "What the model is called."},
          {.name = "dtype",
           .type = ParameterType::Word,
           .fallback = "\"f32\"",
           .words = dtypes,
           .doc = "Of parameters and activations. With bf16, sums and routers are f32."},
          {.name = "inputs", .type = ParameterType::Object, .required = true, .doc = "Name -> input."},
          {.name = "let", .type = ParameterType::Object, .doc = "Names for values: \"$dim\" uses one, \"$(4*dim)\" computes."},
          {.name = "blocks",
           .type = ParameterType::Object,
           .doc = "Own blocks, used by their name as a kind: another kind with its parameters, or \"parameters\" and a "
                  "\"body\"."},
          {.name = "model", .type = ParameterType::Body, .required = true, .doc = "The blocks."},
          {.name = "outputs", .type = ParameterType::ValueNames, .doc = "Names of blocks whose values are results; default: the last value."},
          {.name = "loss", .type = ParameterType::Object, .doc = "The loss, by kind."},
          {.name = "optimizer", .type = ParameterType::Object, .doc = "How a step of training changes the parameters, by kind; default: adam."},
          {.name = "moefy", .type = ParameterType::Object, .doc = "Makes every dense mlp a mixture of experts."},
          {.name = "check", .type = ParameterType::Object, .doc = "Small values for names of \"let\" and for symbolic sizes, for checks."},
      }};
  return table;
}

const Kind& inputTable() {
  static const Kind table{.name = "input",
                          .doc = "An input of the model. The first that is not for the loss is what the first block takes.",
                          .source = "moec",
                          .parameters = {
                              {.name = "shape",
                               .type = ParameterType::Shape,
                               .required = true,
                               .doc = "Sizes: integers, or names of sizes that a call decides; one name is one size."},
                              {.name = "dtype", .type = ParameterType::Word, .words = {"f32", "f64", "bf16", "i64", "i32"}, .doc = "Default: the model's."},
                              {.name = "photo", .type = ParameterType::Object, .doc = "How a picture becomes this input."},
                              {.name = "for", .type = ParameterType::Word, .words = {"loss"}, .doc = "Only the loss needs this input."},
                          }};
  return table;
}

const Kind& photoTable() {
  static const Kind table{.name = "photo",
                          .doc = "Pixels over 255, minus mean, over std, for each channel.",
                          .source = "torchvision 0.20 (ToTensor, Resize, Normalize)",
                          .parameters = {
                              {.name = "resize",
                               .type = ParameterType::Word,
                               .fallback = "\"none\"",
                               .words = {"none", "stretch"},
                               .doc = "stretch: bilinear to the input's height and width; the aspect is not kept."},
                              {.name = "mean", .type = ParameterType::Numbers, .least = -1e6, .most = 1e6, .doc = "One number per channel; default 0."},
                              {.name = "std", .type = ParameterType::Numbers, .least = -1e6, .most = 1e6, .doc = "One number per channel; default 1."},
                          }};
  return table;
}

const Kind& moefyTable() {
  auto names = [] {
    std::vector<std::string> result;
    for (const Kind* kind : gateKinds())
      if (kind->find("top_k"))
        result.push_back(kind->name);
    return result;
  };
  static const Kind table{.name = "moefy",
                          .doc = "Replaces every dense mlp block by a moe of that expert.",
                          .source = "fastmoe ee3c561 (fmoefy)",
                          .parameters = {
                              {.name = "experts", .required = true, .most = 65536, .doc = "How many experts (E)."},
                              {.name = "top_k", .required = true, .most = 65536, .doc = "Choices per token (K)."},
                              {.name = "gate",
                               .type = ParameterType::Word,
                               .fallback = "\"top_k\"",
                               .words = names(),
                               .doc = "The gate's kind; fastmoe's default is its NaiveGate, here top_k."},
                              {.name = "hidden", .doc = "Hidden width of an expert; default: the mlp's own."},
                          }};
  return table;
}

const Kind& ownBlockTable() {
  static const Kind table{.name = "block",
                          .doc = "An entry of \"blocks\".",
                          .source = "moec",
                          .parameters = {
                              {.name = "parameters", .type = ParameterType::Object, .doc = "Name -> default; a default of null means that it must be given."},
                              {.name = "body", .type = ParameterType::Body, .required = true, .doc = "The blocks that it stands for."},
                          }};
  return table;
}

} // namespace moec::models
