#include "runtime/data/Bind.h"

#include "runtime/GateRecord.h"
#include "runtime/core/Digest.h"
#include "runtime/core/NearestName.h"
#include "runtime/data/PictureNumbers.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>

namespace moec::data {

namespace {

std::string describe(const InputInfo& input) {
  std::vector<std::string> sizes;
  for (const Size& size : input.shape)
    sizes.push_back(size.str());
  return fmt::format("input \"{}\" ({}[{}])", input.name, name(input.dtype), fmt::join(sizes, ", "));
}

/// "label i64, image u8[28, 28]".
std::string list(const std::vector<Field>& fields) {
  std::string text;
  for (const Field& field : fields)
    text += fmt::format("{}\"{}\" {}", text.empty() ? "" : ", ", field.name,
                        field.shape.empty() ? std::string(name(field.dtype)) : moec::describe(field.dtype, field.shape));
  return text;
}

bool isPicture(const InputInfo& input) { return input.photo || (isFloat(input.dtype) && input.shape.size() == 4); }

/// The name of the field that data of its kind have for such an input.
const char* roleOf(const InputInfo& input) {
  if (isPicture(input))
    return "image";
  if (isFloat(input.dtype))
    return nullptr;
  if (input.shape.size() == 1)
    return "label";
  if (input.shape.size() == 2)
    return input.forLoss ? "targets" : "tokens";
  return nullptr;
}

int64_t product(const Shape& shape) {
  int64_t result = 1;
  for (int64_t size : shape)
    result *= size;
  return result;
}

/// Not as doubles: above 2^53 not every whole number is one.
bool isEqual(int64_t whole, double number) { return number >= -0x1p63 && number < 0x1p63 && static_cast<int64_t>(number) == whole; }

/// How one input is filled.
struct Filling {
  InputInfo input;
  size_t field = 0;
  bool copies = false; // the field's bytes are the input's
  std::optional<PictureNumbers> picture;
};

class Bound : public Dataset {
public:
  Bound(DatasetPtr source, const std::vector<Binding>& bindings, const std::vector<SizeRule>& rules) : source_(std::move(source)) {
    const std::vector<Field>& from = source_->fields();
    for (const Binding& binding : bindings) {
      auto at = std::find_if(from.begin(), from.end(), [&](const Field& field) { return field.name == binding.field; });
      if (at == from.end())
        throw Error(Fault::Usage,
                    fmt::format("{}: {} is to read \"{}\"; the fields are {}", source_->describe(), data::describe(binding.input), binding.field, list(from)));
      add(binding.input, *at, static_cast<size_t>(at - from.begin()));
    }
    checkRules(rules);
    for (const Field& field : from)
      bytes_.push_back(static_cast<size_t>(product(field.shape)) * byteSize(field.dtype));
  }

  const std::vector<Field>& fields() const override { return fields_; }
  int64_t size() const override { return source_->size(); }
  std::string describe() const override { return source_->describe(); }
  std::string placeOf(int64_t record) const override { return source_->placeOf(record); }

  void read(int64_t record, std::span<std::byte* const> out) const override {
    std::vector<std::byte*> places(bytes_.size(), nullptr);
    for (size_t i = 0; i < fillings_.size(); ++i)
      if (fillings_[i].copies && !places[fillings_[i].field])
        places[fillings_[i].field] = out[i];
    std::vector<std::vector<std::byte>> own(bytes_.size());
    for (size_t f = 0; f < bytes_.size(); ++f)
      if (!places[f]) {
        own[f].resize(bytes_[f] + 1);
        places[f] = own[f].data();
      }
    source_->read(record, places);
    for (size_t i = 0; i < fillings_.size(); ++i) {
      const Filling& filling = fillings_[i];
      const std::byte* points = places[filling.field];
      if (filling.picture)
        filling.picture->convert(points, out[i], source_->placeOf(record));
      else if (!filling.copies)
        convert(record, i, points, out[i]);
      else if (points != out[i])
        std::memcpy(out[i], points, bytes_[filling.field]);
      checkRange(record, i, out[i]);
    }
  }

  std::string digest() const override {
    std::string parts = source_->digest();
    for (size_t i = 0; i < fillings_.size(); ++i)
      parts += fmt::format("\n{} {} {}", source_->fields()[fillings_[i].field].name, fields_[i].name, moec::describe(fields_[i].dtype, fields_[i].shape));
    return digestOf(parts).hex();
  }
  std::string recordsDigest() const override { return source_->recordsDigest(); }

private:
  Error wrong(const InputInfo& input, const Field& field, const std::string& what) const {
    return {Fault::Data, fmt::format("{}: \"{}\" is {}, which does not fit {}{}", source_->describe(), field.name, moec::describe(field.dtype, field.shape),
                                     data::describe(input), what)};
  }

  void add(const InputInfo& input, const Field& field, size_t number) {
    Filling filling{input, number, false, {}};
    Field to{input.name, input.dtype, field.shape, field.below, field.words};
    to.shared = field.shared;
    InputInfo one = input; // of a record
    if (!field.shared && !one.shape.empty())
      one.shape.erase(one.shape.begin());
    bool asPicture = isFloat(input.dtype) && !field.shared && (field.picture || (field.dtype == DType::U8 && input.photo));
    if (asPicture) {
      filling.picture.emplace(field, one, source_->describe());
      to.shape = filling.picture->shape();
    } else {
      to.shape = fitted(input, one, field);
      filling.copies = field.dtype == input.dtype;
      checkClasses(input, field);
    }
    bindSymbols(input, field, to.shape);
    if (isFloat(input.dtype))
      to.below.reset();
    fields_.push_back(std::move(to));
    fillings_.push_back(std::move(filling));
  }

  /// The input's sizes when it is filled with this field.
  Shape fitted(const InputInfo& input, const InputInfo& one, const Field& field) const {
    bool isConstant = std::all_of(one.shape.begin(), one.shape.end(), [](const Size& size) { return size.isConstant(); });
    if (isConstant) {
      Shape shape, without;
      for (const Size& size : one.shape) {
        shape.push_back(*size.constant());
        if (shape.back() != 1)
          without.push_back(shape.back());
      }
      Shape given = field.shape;
      std::erase(given, 1);
      if (given == without || (given.size() == 1 && product(shape) == given[0]))
        return shape;
      throw wrong(input, field, "");
    }
    if (field.shape.size() != one.shape.size())
      throw wrong(input, field, fmt::format(": it has {} sizes in a record, expected {}", field.shape.size(), one.shape.size()));
    for (size_t i = 0; i < field.shape.size(); ++i)
      if (one.shape[i].constant().value_or(field.shape[i]) != field.shape[i])
        throw wrong(input, field, fmt::format(": a size is {}, expected {}", field.shape[i], one.shape[i].str()));
    return field.shape;
  }

  void bindSymbols(const InputInfo& input, const Field& field, const Shape& shape) {
    size_t skipped = input.shape.size() - shape.size();
    for (size_t i = 0; i < shape.size(); ++i) {
      const Size& size = input.shape[i + skipped];
      if (!size.asSymbol())
        continue;
      auto [known, isNew] = symbols_.try_emplace(size.str(), Symbol{shape[i], input.name});
      if (!isNew && known->second.value != shape[i])
        throw wrong(input, field, fmt::format(": '{}' is {} in input \"{}\"", size.str(), known->second.value, known->second.input));
    }
  }

  void checkClasses(const InputInfo& input, const Field& field) const {
    if (!input.below || !field.below || *field.below <= *input.below)
      return;
    if (input.except && *input.except >= *input.below && *input.except < *field.below)
      return; // the largest may be the one that does not count: each record is looked at
    throw Error(Fault::Data, fmt::format("{}: \"{}\" has values below {}, but {} takes those below {}; take a model with as many, or other data",
                                         source_->describe(), field.name, *field.below, data::describe(input), *input.below));
  }

  void checkRules(const std::vector<SizeRule>& rules) const {
    Bindings values;
    for (const auto& [symbol, value] : symbols_)
      values.emplace(symbol, value.value);
    for (const SizeRule& rule : rules) {
      std::vector<std::string> symbols = rule.size.symbols();
      if (symbols.empty() || !std::all_of(symbols.begin(), symbols.end(), [&](const std::string& symbol) { return values.contains(symbol); }))
        continue;
      int64_t size = rule.size.evaluate(values);
      if (size > rule.atMost.value_or(size) || size < rule.atLeast.value_or(size))
        throw Error(Fault::Data,
                    fmt::format("{}: {} ({}) is {}, expected {} {}", source_->describe(), rule.what, rule.size.str(), size,
                                size > rule.atMost.value_or(size) ? "at most" : "at least", size > rule.atMost.value_or(size) ? *rule.atMost : *rule.atLeast));
    }
  }

  void convert(int64_t record, size_t i, const std::byte* from, std::byte* to) const {
    const Filling& filling = fillings_[i];
    const Field& field = source_->fields()[filling.field];
    Tensor values = Tensor::borrow(const_cast<std::byte*>(from), field.shape, field.dtype);
    auto bad = [&](const std::string& what) {
      return Error(Fault::Data, fmt::format("{}: \"{}\" for {}: {}", source_->placeOf(record), field.name, data::describe(filling.input), what));
    };
    Tensor result;
    try {
      result = values.cast(filling.input.dtype);
    } catch (const Error& error) {
      throw bad(error.what());
    }
    std::memcpy(to, result.data(), result.bytes());
    if (!isFloat(result.dtype())) // the cast itself refuses what is not equal
      return;
    auto check = [&](auto before, auto isKept) {
      std::vector<double> behind = result.toDoubles();
      for (size_t n = 0; n < behind.size(); ++n)
        if (!isKept(before[n], behind[n]))
          throw bad(fmt::format("{} is no value of {}", before[n], name(result.dtype())));
    };
    if (field.dtype == DType::I64)
      check(values.as<int64_t>(), isEqual);
    else if (field.dtype == DType::I32)
      check(values.as<int32_t>(), isEqual);
    else if (isFloat(field.dtype) && byteSize(field.dtype) > byteSize(result.dtype()))
      check(values.toDoubles(), [](double wide, double narrow) { return std::isinf(wide) || !std::isinf(narrow); });
  }

  void checkRange(int64_t record, size_t i, const std::byte* values) const {
    const Filling& filling = fillings_[i];
    const Field& field = source_->fields()[filling.field];
    if (!filling.input.below || isFloat(filling.input.dtype) || (filling.copies && field.below && *field.below <= *filling.input.below))
      return;
    Tensor tensor = Tensor::borrow(const_cast<std::byte*>(values), fields_[i].shape, fields_[i].dtype).cast(DType::I64);
    for (int64_t value : tensor.as<int64_t>())
      if ((value < 0 || value >= *filling.input.below) && value != filling.input.except)
        throw Error(Fault::Data,
                    fmt::format("{}: \"{}\" is {}, {} takes 0 to {}{}", source_->placeOf(record), field.name, value, data::describe(filling.input),
                                *filling.input.below - 1, filling.input.except ? fmt::format(" (or {} where there is none)", *filling.input.except) : ""));
  }

  struct Symbol {
    int64_t value;
    std::string input; // that gave it
  };

  DatasetPtr source_;
  std::vector<Filling> fillings_;
  std::vector<Field> fields_;
  std::vector<size_t> bytes_; // of a record, by the source's field
  std::map<std::string, Symbol> symbols_;
};

} // namespace

std::vector<InputInfo> dataInputs(const std::vector<InputInfo>& inputs) {
  std::vector<InputInfo> result;
  for (const InputInfo& input : inputs)
    if (!input.isDraw && input.list == LaunchList::Forward && input.name != kLearningRateInput && input.name != kStepInput && input.name != kCountInput &&
        !isChoices(input.name)) // of a gate, which no data have
      result.push_back(input);
  return result;
}

bool isByRecord(const InputInfo& input, const std::vector<InputInfo>& inputs) {
  auto first = std::find_if(inputs.begin(), inputs.end(), [](const InputInfo& other) { return other.forLoss && !other.shape.empty(); });
  if (first == inputs.end())
    first = std::find_if(inputs.begin(), inputs.end(), [](const InputInfo& other) { return !other.shape.empty(); });
  return first != inputs.end() && !input.shape.empty() && input.shape[0] == first->shape[0];
}

std::vector<Binding> chooseFields(const std::vector<InputInfo>& inputs, const std::vector<Field>& fields, const std::map<std::string, std::string>& given,
                                  const std::string& where, bool anyField) {
  std::vector<std::string> inputNames, fieldNames;
  for (const InputInfo& input : inputs)
    inputNames.push_back(input.name);
  for (const Field& field : fields)
    fieldNames.push_back(field.name);
  auto isField = [&](const std::string& name) { return std::find(fieldNames.begin(), fieldNames.end(), name) != fieldNames.end(); };
  for (const auto& [input, field] : given) {
    if (std::find(inputNames.begin(), inputNames.end(), input) == inputNames.end())
      throw Error(Fault::Usage, fmt::format("\"{}\" is to read the field \"{}\", but the model's inputs are {}{}", input, field, fmt::join(inputNames, ", "),
                                            didYouMean(input, inputNames)));
    if (!isField(field) && !anyField)
      throw Error(Fault::Usage,
                  fmt::format("{}: no field \"{}\" for input \"{}\"; there are {}{}", where, field, input, list(fields), didYouMean(field, fieldNames)));
  }
  std::vector<Binding> bindings;
  for (const InputInfo& input : inputs) {
    const char* role = roleOf(input);
    if (auto named = given.find(input.name); named != given.end())
      bindings.push_back({input, named->second});
    else if (isField(input.name))
      bindings.push_back({input, input.name});
    else if (role && isField(role))
      bindings.push_back({input, role});
    else
      throw Error(Fault::Usage,
                  fmt::format("{}: no field for {}; there are {}. Say which one it reads: --field {}=NAME", where, describe(input), list(fields), input.name));
  }
  return bindings;
}

DatasetPtr bind(DatasetPtr dataset, const std::vector<Binding>& bindings, const std::vector<SizeRule>& rules) {
  return std::make_shared<Bound>(std::move(dataset), bindings, rules);
}

} // namespace moec::data
