#include "runtime/data/OpenData.h"

#include "runtime/data/Bind.h"
#include "runtime/data/DataKind.h"
#include "runtime/data/Shipped.h"
#include "runtime/data/Sources.h"
#include "runtime/data/Text.h"
#include "runtime/data/TextRecords.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>

namespace moec::data {

namespace {

namespace fs = std::filesystem;

constexpr double kHeldOutText = 0.1, kHeldOut = 0.2;

/// What opening needs to know.
struct Request {
  const DataOptions& options;
  std::vector<InputInfo> inputs; // that data have to give
  const std::vector<SizeRule>& rules;
};

std::string baseName(const fs::path& path) {
  fs::path clean = path.lexically_normal();
  return (clean.has_filename() ? clean : clean.parent_path()).filename().string();
}

/// Holds out what the options say; what the data hold out themselves, where they say nothing.
Parts heldOut(Parts parts, const DataOptions& options) {
  if (parts.validation && (!options.validation || !options.validationPath.empty()))
    return parts;
  double share = options.validation.value_or(kHeldOut);
  if (share == 0)
    return {parts.train, nullptr};
  Split two = split(parts.train, share, options.seed);
  return {two.train, two.validation};
}

OpenedData bound(const Parts& parts, const std::vector<Binding>& bindings, const Request& request, std::string name) {
  OpenedData opened;
  opened.train = bind(parts.train, bindings, request.rules);
  if (parts.validation) {
    opened.validation = bind(parts.validation, bindings, request.rules);
    for (size_t i = 0; i < opened.train->fields().size(); ++i)
      if (const Field &learnt = opened.train->fields()[i], &held = opened.validation->fields()[i]; learnt.words != held.words)
        throw Error(Fault::Data, fmt::format("{}: the words of \"{}\" are {}, but {} of the data to learn from", opened.validation->describe(), held.name,
                                             fmt::join(held.words, ", "), fmt::join(learnt.words, ", ")));
  }
  opened.name = std::move(name);
  return opened;
}

// Text.

/// For data that are none.
void refuseTextOptions(const DataOptions& options, const std::string& where, std::string_view kind) {
  for (auto [given, what] :
       {std::pair(options.window > 0, "window"), {options.stride != DataOptions().stride, "stride"}, {!options.tokenizer.empty(), "tokenizer"}})
    if (given)
      throw Error(Fault::Usage, fmt::format("{}: a {} is for text, but these data are of kind {}", where, what, kind));
}

/// "sentencepiece:2000" is 2000, "sentencepiece" nothing; Error(Usage) for another number.
std::optional<int64_t> piecesIn(const std::string& word) {
  size_t colon = word.find(':');
  if (colon == std::string::npos)
    return std::nullopt;
  int64_t pieces = 0;
  const char *begin = word.data() + colon + 1, *end = word.data() + word.size();
  auto [stop, error] = std::from_chars(begin, end, pieces);
  if (error != std::errc() || stop != end || pieces < 1)
    throw Error(Fault::Usage, fmt::format("tokenizer \"{}\": expected a number of pieces behind the colon, as sentencepiece:2000", word));
  return pieces;
}

TokenizerPtr tokenizerFor(const Request& request, std::string_view text, const std::string& name, std::optional<int64_t> vocabulary) {
  const DataOptions& options = request.options;
  TokenizerPtr tokenizer;
  const std::string& word = options.tokenizer;
  if (options.tokenizerInHand) {
    tokenizer = options.tokenizerInHand;
  } else if (isTokenizerFile(word)) {
    tokenizer = openTokenizer(word);
  } else if (word == "bytes") {
    tokenizer = byteTokenizer();
  } else {
    std::optional<int64_t> pieces = piecesIn(word);
    if (!pieces && !vocabulary)
      throw Error(Fault::Usage, "the model does not tell the size of its vocabulary; give a tokenizer, as sentencepiece:2000");
    if (pieces && vocabulary && *pieces > *vocabulary)
      throw Error(Fault::Usage, fmt::format("tokenizer \"{}\": the model's vocabulary has {}", word, *vocabulary));
    tokenizer = learnSentencePiece(text, pieces.value_or(vocabulary.value_or(0)));
  }
  if (vocabulary && tokenizer->vocabulary() > *vocabulary)
    throw Error(
        Fault::Data,
        fmt::format(
            "{}: the tokenizer, {}, has a vocabulary of {}, but the model takes ids below {}; take another tokenizer, or a model with \"vocabulary\": {}", name,
            tokenizer->describe(), tokenizer->vocabulary(), *vocabulary, tokenizer->vocabulary()));
  return tokenizer;
}

OpenedData openText(const Request& request, std::string_view text, const std::string& name) {
  const DataOptions& options = request.options;
  std::vector<Field> fields = {{"tokens", DType::I64, {}, {}, {}}, {"targets", DType::I64, {}, {}, {}}};
  std::vector<Binding> bindings = chooseFields(request.inputs, fields, options.inputs, name);
  Windows windows = windowsFor(request.inputs, request.rules, options.window);
  std::optional<int64_t> vocabulary; // the least of the inputs'
  for (const InputInfo& input : request.inputs)
    if (input.below)
      vocabulary = std::min(*input.below, vocabulary.value_or(*input.below));
  TokenizerPtr tokenizer = tokenizerFor(request, text, name, vocabulary);
  bool hasOther = !options.validationPath.empty();
  double share = hasOther ? 0 : options.validation.value_or(kHeldOutText);
  Parts parts = textRecords(tokenizer->encode(text), tokenizer->vocabulary(), windows, options.stride, share, name);
  if (hasOther)
    parts.validation =
        textRecords(tokenizer->encode(readText(options.validationPath)), tokenizer->vocabulary(), windows, 0, 0, baseName(options.validationPath)).train;
  OpenedData opened = bound(parts, bindings, request, name);
  opened.tokenizer = std::move(tokenizer);
  return opened;
}

// What ships with moec.

/// A picture of 3 x 32 x 32 and a label of ten classes or more.
bool takesDigits(const std::vector<InputInfo>& inputs) {
  if (inputs.size() != 2)
    return false;
  bool picture = false, label = false;
  for (const InputInfo& input : inputs) {
    const std::vector<Size>& shape = input.shape;
    picture = picture || (isFloat(input.dtype) && shape.size() == 4 && shape[1] == 3 && shape[2] == 32 && shape[3] == 32);
    label = label || (input.dtype == DType::I64 && shape.size() == 1 && input.below.value_or(10) >= 10);
  }
  return picture && label;
}

bool takesText(const std::vector<InputInfo>& inputs) {
  auto isTokens = [](const InputInfo& input) { return input.dtype == DType::I64 && input.shape.size() == 2; };
  return inputs.size() == 2 && std::all_of(inputs.begin(), inputs.end(), isTokens) &&
         (inputs[0].forLoss != inputs[1].forLoss || inputs[0].shape[1] != inputs[1].shape[1]);
}

OpenedData openShipped(const Request& request) {
  const DataOptions& options = request.options;
  if (!options.validationPath.empty())
    throw Error(Fault::Usage, fmt::format("{} is to validate with, but no data to learn from are given", options.validationPath.string()));
  std::optional<DataKind> kind;
  if (!options.kind.empty())
    kind = parseDataKind(options.kind);
  if (takesText(request.inputs) && kind.value_or(DataKind::Text) == DataKind::Text)
    return openText(request, shakespeare(), "shakespeare (ships with moec)");
  if (takesDigits(request.inputs) && kind.value_or(DataKind::Pictures) == DataKind::Pictures) {
    refuseTextOptions(options, "digits (ships with moec)", data::name(DataKind::Pictures));
    Parts parts = heldOut({digits(), nullptr}, options);
    return bound(parts, chooseFields(request.inputs, parts.train->fields(), options.inputs, "digits"), request, "digits (ships with moec)");
  }
  std::vector<std::string> names;
  for (const InputInfo& input : request.inputs)
    names.push_back(fmt::format("\"{}\"", input.name));
  throw Error(
      Fault::Usage,
      fmt::format(
          "no data that ship with moec fit a model with the inputs {}: those are digits (a picture of 3 x 32 x 32, a label of 10 classes or more) and a text (ids of batch and sequence, and targets); "
          "give data",
          fmt::join(names, ", ")));
}

// Everything else.

std::vector<std::string> fieldsIn(const std::vector<Binding>& bindings) {
  std::vector<std::string> names;
  for (const Binding& binding : bindings)
    if (std::find(names.begin(), names.end(), binding.field) == names.end())
      names.push_back(binding.field);
  return names;
}

OpenedData openArrayData(const Request& request, const std::string& name) {
  const DataOptions& options = request.options;
  std::vector<Binding> bindings = chooseFields(request.inputs, listArrays(options.path), options.inputs, options.path.string());
  std::vector<std::string> shared;
  for (const Binding& binding : bindings)
    if (!isByRecord(binding.input, request.inputs))
      shared.push_back(binding.field);
  auto open = [&](const fs::path& path) { return openArrays(path, fieldsIn(bindings), shared); };
  Parts parts{open(options.path), options.validationPath.empty() ? nullptr : open(options.validationPath)};
  return bound(heldOut(parts, options), bindings, request, name);
}

OpenedData openTableData(const Request& request, const std::string& name) {
  const DataOptions& options = request.options;
  std::vector<Binding> bindings = chooseFields(request.inputs, listCsv(options.path), options.inputs, options.path.string(), true);
  std::vector<CsvField> fields;
  for (const std::string& field : fieldsIn(bindings))
    fields.push_back(
        {field,
         std::all_of(bindings.begin(), bindings.end(), [&](const Binding& binding) { return binding.field != field || isFloat(binding.input.dtype); }),
         {}});
  Parts parts{openCsv(options.path, fields), nullptr};
  if (!options.validationPath.empty()) {
    for (size_t i = 0; i < fields.size(); ++i)
      fields[i].words = parts.train->fields()[i].words;
    parts.validation = openCsv(options.validationPath, fields);
  }
  return bound(heldOut(parts, options), bindings, request, name);
}

OpenedData openPictureData(const Request& request, const std::string& name) {
  const DataOptions& options = request.options;
  std::vector<Field> fields = {{"image", DType::U8, {}, {}, {}}, {"label", DType::I64, {}, {}, {}}};
  std::vector<Binding> bindings = chooseFields(request.inputs, fields, options.inputs, options.path.string());
  auto picture = std::find_if(bindings.begin(), bindings.end(), [](const Binding& binding) { return binding.field == "image"; });
  if (picture == bindings.end())
    throw Error(Fault::Usage, fmt::format("{}: holds pictures, but no input of the model is one", options.path.string()));
  Parts parts = openPictures(options.path, picture->input);
  if (!options.validationPath.empty())
    parts.validation = openPictures(options.validationPath, picture->input, parts.train->fields()[1].words).train;
  return bound(heldOut(parts, options), bindings, request, name);
}

/// Data whose fields are known when they are open.
OpenedData openPoints(const Request& request, Parts (*open)(const fs::path&), const std::string& name) {
  const DataOptions& options = request.options;
  Parts parts = open(options.path);
  if (!options.validationPath.empty())
    parts.validation = open(options.validationPath).train;
  return bound(heldOut(parts, options), chooseFields(request.inputs, parts.train->fields(), options.inputs, options.path.string()), request, name);
}

void check(const Request& request) {
  const DataOptions& options = request.options;
  if (options.validation && !(*options.validation >= 0 && *options.validation < 1))
    throw Error(Fault::Usage, fmt::format("a share of {} to be held out; expected 0 or more and less than 1", *options.validation));
  if (options.validation.value_or(0) > 0 && !options.validationPath.empty())
    throw Error(Fault::Usage, fmt::format("{} is to validate with, and a share of {} of the data too; give one of them", options.validationPath.string(),
                                          *options.validation));
  if (options.window < 0)
    throw Error(Fault::Usage, fmt::format("a window of {} tokens; expected 1 or more, or 0 for as many as the model takes", options.window));
  if (options.stride < 0)
    throw Error(Fault::Usage, fmt::format("a stride of {} tokens; expected 1 or more, or 0 for as many as a window has", options.stride));
  if (request.inputs.empty())
    throw Error(Fault::Usage, "the model has no inputs that data could give");
}

DataKind kindOf(const DataOptions& options) { return options.kind.empty() ? findDataKind(options.path) : parseDataKind(options.kind); }

OpenedData open(const Request& request) {
  const DataOptions& options = request.options;
  if (options.path.empty())
    return openShipped(request);
  DataKind kind = kindOf(options);
  std::string name = baseName(options.path);
  if (kind != DataKind::Text)
    refuseTextOptions(options, options.path.string(), data::name(kind));
  switch (kind) {
  case DataKind::Text:
    return openText(request, readText(options.path), name);
  case DataKind::Pictures:
    return openPictureData(request, name);
  case DataKind::Idx:
    return openPoints(request, openIdx, name);
  case DataKind::Cifar:
    return openPoints(request, openCifar, name);
  case DataKind::Arrays:
    return openArrayData(request, name);
  case DataKind::Csv:
    return openTableData(request, name);
  }
  throw Error(Fault::Internal, "a kind of data without an opener");
}

} // namespace

bool isTokenizerFile(const std::string& tokenizer) {
  return !tokenizer.empty() && tokenizer != "bytes" && tokenizer != "sentencepiece" && !tokenizer.starts_with("sentencepiece:");
}

void checkSources(const DataOptions& options) {
  bool readsTokenizer = !options.tokenizerInHand && isTokenizerFile(options.tokenizer);
  for (const fs::path& path : {options.path, options.validationPath, fs::path(readsTokenizer ? options.tokenizer : "")}) {
    std::error_code code;
    if (fs::file_status there = fs::status(path, code); !path.empty() && !fs::exists(there))
      throw Error(Fault::Data, fmt::format("{}: cannot read: {}", path.string(), code.message()));
  }
  if (!options.path.empty())
    kindOf(options);
}

OpenedData openData(const DataOptions& options, const std::vector<InputInfo>& inputs, const std::vector<SizeRule>& rules) {
  Request request{options, dataInputs(inputs), rules};
  check(request);
  try {
    return open(request);
  } catch (const fs::filesystem_error& error) {
    throw Error(Fault::Data, fmt::format("{}: cannot read: {}", error.path1().string(), error.code().message()));
  }
}

} // namespace moec::data
