#include "models/ForeignWords.h"

#include "models/json/Words.h"
#include "runtime/core/NearestName.h"

#include <fmt/format.h>

#include <algorithm>

namespace moec::models {

namespace {

using Words = std::vector<std::string_view>;

/// Words elsewhere, in small letters without underscores; the words here, the likeliest first; what to know where none of them fits.
struct Foreign {
  Words theirs, ours;
  std::string_view otherwise = {};
};

const std::vector<Foreign>& parameters() {
  static const std::vector<Foreign> table{
      {{"numexperts", "numexpert", "nexperts", "nexpert", "expertcount", "nroutedexperts", "numlocalexperts", "expertsnum"},
       {"count", "experts"},
       R"(the number of experts is the "count" of a moe's "experts")"},
      {{"topk", "k", "numexpertspertok", "numselects", "moetopk", "numselectedexperts", "expertspertoken", "numexpertspertoken"}, {"top_k"}},
      {{"capacityfactor", "caprate", "evalcapacityfactor", "traincapacityfactor"}, {"capacity"}},
      {{"hiddensize", "hiddendim", "dhidden", "dff", "dffn", "ffndim", "ffnhidden", "intermediatesize", "innerdim", "mlpdim", "feedforwardsize",
        "dimfeedforward"},
       {"hidden", "dim", "out"}},
      {{"dmodel", "modeldim", "embeddim", "embeddingdim", "nembd", "inputdim", "indim", "infeatures", "inputsize"}, {"dim"}, "the width is that of the input"},
      {{"outfeatures", "outputdim", "outdim", "outputsize", "units", "numclasses"}, {"out"}},
      {{"act", "actlayer", "activationfunction", "hiddenact", "activationfn", "nonlinearity"}, {"activation", "function"}},
      {{"numheads", "nheads", "nhead", "numattentionheads"}, {"heads"}},
      {{"numkvheads", "numkeyvalueheads", "nkvheads"}, {"kv_heads"}},
      {{"headsize", "dimhead", "headdimension", "dhead", "dkv"}, {"head_dim"}},
      {{"vocabsize", "numembeddings", "nvocab"}, {"vocabulary"}},
      {{"numlayers", "nlayers", "nlayer", "depth", "numhiddenlayers", "numblocks"}, {"times"}},
      {{"patchsize"}, {"patch"}},
      {{"dropoutprob", "dropoutrate", "droprate", "attentiondropout", "hiddendropout"}, {"dropout", "p"}},
      {{"epsilon", "layernormeps", "rmsnormeps", "normeps"}, {"eps"}},
      {{"maxlength", "maxpositionembeddings", "maxlen", "maxseqlen", "nctx", "blocksize", "nummaxpositions"}, {"length"}},
      {{"jitternoise", "routerjitternoise", "jittereps", "switcheps"}, {"jitter"}},
      {{"auxlosscoef", "routerauxlosscoef", "balancelossweight", "lossweight", "auxlossweight"}, {"balance_loss"}},
      {{"usebias", "hasbias"}, {"bias", "qkv_bias"}},
      {{"qkvbias", "attentionbias"}, {"qkv_bias"}},
      {{"lr", "learningrate"}, {}, "the learning rate is said to the training: moec train --learning-rate"},
      {{"type", "classname"}, {"kind"}},
      {{"layers", "blocks", "modules"}, {"body"}},
  };
  return table;
}

const std::vector<Foreign>& kinds() {
  static const std::vector<Foreign> table{
      {{"feedforward", "ffn", "ff", "dense", "perceptron", "multilayerperceptron", "fmoetransformermlp"}, {"mlp", "linear"}},
      {{"fc", "fullyconnected", "projection", "fmoelinear"}, {"linear"}},
      {{"multiheadattention", "mha", "selfattention", "crossattention", "attn"}, {"attention"}},
      {{"swiglu", "geglu", "reglu", "glu", "llamamlp"}, {"gated_mlp"}},
      {{"rmsnormalization"}, {"rms_norm"}},
      {{"mixtureofexperts", "fmoe", "moelayer", "sparsemoe", "experts"}, {"moe"}},
      {{"naive", "naivegate", "softmaxtopk", "top"}, {"top_k"}},
      {{"gshardgate"}, {"gshard"}},
      {{"switchgate", "switchtransformer", "top1"}, {"switch"}},
      {{"skip", "skipconnection", "shortcut"}, {"residual"}},
      {{"posemb", "positionalembedding", "learnedpositions", "wpe"}, {"position_embedding"}},
      {{"token", "tokenembedding", "wte", "embed"}, {"embedding"}},
      {{"clstoken", "cls"}, {"class_token"}},
      {{"patchembed", "conv2d"}, {"patch_embedding"}},
      {{"act", "relu", "gelu", "silu", "tanh", "sigmoid"}, {"activation"}},
      {{"crossentropyloss", "nllloss", "ce"}, {"cross_entropy"}},
      {{"mseloss", "l2"}, {"mse"}},
  };
  return table;
}

/// Small letters and digits alone: "numExperts" and "num_experts" are one word.
std::string plain(std::string_view word) {
  std::string result;
  for (char c : word)
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
      result += c;
    else if (c >= 'A' && c <= 'Z')
      result += static_cast<char>(c - 'A' + 'a');
  return result;
}

const Foreign* find(const std::vector<Foreign>& table, std::string_view word) {
  std::string theirs = plain(word);
  auto found = std::find_if(table.begin(), table.end(), [&](const Foreign& one) { return std::count(one.theirs.begin(), one.theirs.end(), theirs) > 0; });
  return found == table.end() ? nullptr : &*found;
}

/// The family of a parameter whose value is an object of a kind, and no block.
std::optional<Family> familyOf(const Parameter& parameter) {
  switch (parameter.type) {
  case ParameterType::Gate:
    return Family::Gate;
  case ParameterType::Expert:
  case ParameterType::Experts:
    return Family::Expert;
  default:
    return std::nullopt;
  }
}

/// The kind's parameter inside whose value `word` is known to some kind.
const Parameter* holderOf(const Kind& kind, std::string_view word) {
  for (const Parameter& parameter : kind.parameters)
    if (std::optional<Family> family = familyOf(parameter))
      for (const Kind* inner : kindsOf(*family))
        if (inner->find(word))
          return &parameter;
  return nullptr;
}

} // namespace

Meaning meaningOf(std::string_view key, const Kind& kind, std::span<const std::string> known) {
  const Foreign* foreign = find(parameters(), key);
  Words words{key};
  if (foreign)
    words.insert(words.end(), foreign->ours.begin(), foreign->ours.end());
  for (std::string_view word : words) {
    if (std::count(known.begin(), known.end(), word))
      return {fmt::format("; did you mean {}?", inQuotes(word)), std::string(word), nullptr};
    if (const Parameter* holder = holderOf(kind, word))
      return {fmt::format("; did you mean {} inside {}?", inQuotes(word), inQuotes(holder->name)), std::string(word), holder};
  }
  if (std::optional<std::string> nearest = nearestName(key, {known.begin(), known.end()}))
    return {fmt::format("; did you mean {}?", inQuotes(*nearest)), *nearest, nullptr};
  return {foreign && !foreign->otherwise.empty() ? fmt::format("; {}", foreign->otherwise) : "", {}, nullptr};
}

std::optional<std::string> kindMeantBy(std::string_view word, std::span<const std::string> known) {
  if (const Foreign* foreign = find(kinds(), word))
    for (std::string_view ours : foreign->ours)
      if (std::count(known.begin(), known.end(), ours))
        return std::string(ours);
  return std::nullopt;
}

} // namespace moec::models
