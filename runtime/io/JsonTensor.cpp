#include "runtime/io/JsonTensor.h"

#include "runtime/core/Error.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <optional>

namespace moec {

namespace {

using Json = nlohmann::json;

constexpr size_t kMaxDepth = 16;

class Reader final : public nlohmann::json_sax<Json> {
public:
  explicit Reader(DType type) : type_(type) {}

  std::string problem;
  Shape shape;
  std::vector<double> floats; // one of the two is filled, by the dtype
  std::vector<int64_t> integers;

  /// After an event: all lists that were opened are closed.
  bool isWhole() const { return counts_.empty(); }
  /// What was read, once it is whole.
  Tensor tensor() {
    // Lists below an empty one were never seen: [[], []] is [2, 0].
    for (int64_t& size : shape)
      size = std::max<int64_t>(size, 0);
    if (isFloat(type_))
      return Tensor::of(std::move(floats), shape).cast(type_);
    Tensor result(type_, shape);
    auto* bytes = static_cast<uint8_t*>(result.data());
    size_t width = byteSize(type_);
    // Little-endian: the low bytes of an integer in range are the narrower integer.
    for (size_t i = 0; i < integers.size(); ++i)
      std::memcpy(bytes + i * width, &integers[i], width);
    return result;
  }

  bool null() override { return fail("null where a number belongs"); }
  bool binary(Json::binary_t&) override { return fail("binary where a number belongs"); }
  bool start_object(size_t) override { return fail("an object where a list or a number belongs"); }
  bool end_object() override { return fail("an object where a list or a number belongs"); }
  bool key(std::string&) override { return fail("an object where a list or a number belongs"); }

  bool boolean(bool value) override {
    if (type_ != DType::Bool)
      return fail(value ? "true where a number belongs" : "false where a number belongs");
    integers.push_back(value);
    return leaf();
  }
  bool number_integer(int64_t value) override { return isFloat(type_) ? real(static_cast<double>(value)) : integer(value, false); }
  bool number_unsigned(uint64_t value) override {
    if (isFloat(type_))
      return real(static_cast<double>(value));
    return integer(static_cast<int64_t>(value), value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()));
  }
  bool number_float(double value, const std::string& text) override {
    return isFloat(type_) ? real(value) : fail(fmt::format("{} where an integer belongs", text));
  }
  bool string(std::string& value) override {
    if (isFloat(type_)) {
      if (value == "NaN")
        return real(std::numeric_limits<double>::quiet_NaN());
      if (value == "Infinity" || value == "-Infinity")
        return real(value[0] == '-' ? -std::numeric_limits<double>::infinity() : std::numeric_limits<double>::infinity());
    }
    return fail(fmt::format("\"{}\" where a number belongs", value));
  }

  bool start_array(size_t) override {
    if (counts_.size() == kMaxDepth)
      return fail(fmt::format("lists nested deeper than {}", kMaxDepth));
    if (depth_ && counts_.size() >= *depth_)
      return fail("a list where a number belongs");
    counts_.push_back(0);
    if (shape.size() < counts_.size())
      shape.push_back(-1);
    return true;
  }
  bool end_array() override {
    size_t level = counts_.size() - 1;
    int64_t count = counts_.back();
    if (!depth_ && count == 0)
      depth_ = counts_.size(); // an empty list holds numbers, none of them
    if (shape[level] >= 0 && shape[level] != count)
      return fail(fmt::format("this list has {} elements, those before it have {}", count, shape[level]));
    shape[level] = count;
    counts_.pop_back();
    if (!counts_.empty())
      ++counts_.back();
    return true;
  }

  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception& error) override {
    problem = fmt::format("not JSON at byte {}: {}", position, error.what());
    return false;
  }

private:
  DType type_;
  std::vector<int64_t> counts_; // elements seen of each open list
  std::optional<size_t> depth_; // how deep the numbers stand, known from the first one

  bool fail(const std::string& message) {
    std::string place;
    for (int64_t count : counts_)
      place += fmt::format("[{}]", count);
    problem = fmt::format("at {}: {}", place.empty() ? "the top" : place, message);
    return false;
  }
  bool leaf() {
    if (!depth_)
      depth_ = counts_.size();
    if (counts_.size() != *depth_)
      return fail("a number where a list belongs");
    if (!counts_.empty())
      ++counts_.back();
    return true;
  }
  bool real(double value) {
    floats.push_back(value);
    return leaf();
  }
  bool integer(int64_t value, bool tooLarge) {
    int64_t low = std::numeric_limits<int64_t>::min(), high = std::numeric_limits<int64_t>::max();
    if (type_ == DType::Bool)
      return fail("a number where true or false belongs");
    if (type_ == DType::I32)
      low = std::numeric_limits<int32_t>::min(), high = std::numeric_limits<int32_t>::max();
    if (type_ == DType::U8)
      low = 0, high = 255;
    if (tooLarge || value < low || value > high)
      return fail(fmt::format("{} is outside {}", tooLarge ? std::to_string(static_cast<uint64_t>(value)) : std::to_string(value), name(type_)));
    integers.push_back(value);
    return leaf();
  }
};

/// An object of tensors; the events between a tensor's "values" and its end are the Reader's.
class TensorsReader final : public nlohmann::json_sax<Json> {
public:
  std::string problem;
  TensorMap tensors;

  bool null() override {
    return value("null", [](Reader& reader) { return reader.null(); });
  }
  bool binary(Json::binary_t&) override { return fail("binary data"); }
  bool boolean(bool truth) override {
    return value(truth ? "true" : "false", [&](Reader& reader) { return reader.boolean(truth); });
  }
  bool number_float(double number, const std::string& text) override {
    return value(text, [&](Reader& reader) { return reader.number_float(number, text); });
  }
  bool number_integer(int64_t number) override {
    return value(std::to_string(number), [&](Reader& reader) { return reader.number_integer(number); });
  }
  bool number_unsigned(uint64_t number) override {
    if (!values_ && inShape_ && number <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      shape_->push_back(static_cast<int64_t>(number));
      return true;
    }
    return value(std::to_string(number), [&](Reader& reader) { return reader.number_unsigned(number); });
  }
  bool string(std::string& text) override {
    if (values_ || !isKey("dtype"))
      return value(fmt::format("\"{}\"", text), [&](Reader& reader) { return reader.string(text); });
    dtype_ = parseDType(text);
    return dtype_ ? true : fail(fmt::format("\"{}\" is no dtype", text));
  }

  bool start_object(size_t) override {
    if (values_)
      return value("an object", [](Reader& reader) { return reader.start_object(0); });
    if (depth_ == 2)
      return fail("an object inside a tensor");
    ++depth_;
    return true;
  }
  bool end_object() override {
    if (--depth_ == 0)
      return true;
    auto tensor = tensors.find(name_);
    if (tensor == tensors.end())
      return fail("it has no \"values\"");
    if (shape_ && tensor->second.elements() == 0 && std::ranges::find(*shape_, 0) != shape_->end())
      tensor->second = tensor->second.reshaped(*shape_); // lists do not tell the sizes behind one of zero
    if (shape_ && *shape_ != tensor->second.shape())
      return fail(fmt::format("its \"shape\" is [{}], its values are {}", fmt::join(*shape_, ", "), describe(tensor->second)));
    return true;
  }
  bool key(std::string& text) override {
    if (values_)
      return value("an object", [&](Reader& reader) { return reader.key(text); });
    key_ = text;
    if (depth_ == 1) {
      name_ = text;
      dtype_.reset(), shape_.reset();
      return tensors.contains(name_) ? fail("it is there twice") : true;
    }
    if (text != "dtype" && text != "shape" && text != "values")
      return fail(fmt::format("\"{}\" where \"dtype\", \"shape\" or \"values\" belongs", text));
    if (text == "shape")
      return true;
    if (text == "values") {
      if (!dtype_)
        return fail("\"dtype\" must stand before \"values\"");
      if (tensors.contains(name_))
        return fail("\"values\" is there twice");
      values_.emplace(*dtype_);
    }
    return true;
  }

  bool start_array(size_t) override {
    if (!values_ && isKey("shape") && !inShape_) {
      inShape_ = true;
      shape_.emplace();
      return true;
    }
    return value("a list", [](Reader& reader) { return reader.start_array(0); });
  }
  bool end_array() override {
    if (!values_) {
      inShape_ = false;
      return true;
    }
    return value("a list", [](Reader& reader) { return reader.end_array(); });
  }

  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception& error) override {
    problem = fmt::format("not JSON at byte {}: {}", position, error.what());
    return false;
  }

private:
  int depth_ = 0; // 1: among the names of tensors, 2: inside one
  std::string name_, key_;
  std::optional<DType> dtype_;
  std::optional<Shape> shape_;
  std::optional<Reader> values_; // while they are read
  bool inShape_ = false;

  bool isKey(std::string_view key) const { return depth_ == 2 && key_ == key; }
  bool fail(const std::string& message) {
    problem = name_.empty() ? message : fmt::format("tensor \"{}\": {}", name_, message);
    return false;
  }
  template <class Event> bool value(const std::string& what, const Event& event) {
    if (!values_)
      return fail(fmt::format("{} where {} belongs", what,
                              depth_ < 2                    ? "an object of \"dtype\", \"shape\" and \"values\""
                              : inShape_ || key_ == "shape" ? "a list of sizes"
                                                            : "a dtype's name"));
    if (!event(*values_))
      return fail(values_->problem);
    if (values_->isWhole()) {
      tensors.emplace(name_, values_->tensor());
      values_.reset();
    }
    return true;
  }
};

template <class T> std::string number(T value) {
  double wide = static_cast<double>(value);
  if (std::isnan(wide))
    return "\"NaN\"";
  if (std::isinf(wide))
    return wide < 0 ? "\"-Infinity\"" : "\"Infinity\"";
  // An integer's "-0" loses its sign when it is read.
  return wide == 0 && std::signbit(wide) ? "-0.0" : fmt::format("{}", value);
}

std::string element(const Tensor& tensor, size_t index) {
  switch (tensor.dtype()) {
  case DType::F64:
    return number(tensor.as<double>()[index]);
  case DType::F32:
    return number(tensor.as<float>()[index]);
  case DType::I64:
    return fmt::format("{}", tensor.as<int64_t>()[index]);
  case DType::I32:
    return fmt::format("{}", tensor.as<int32_t>()[index]);
  case DType::U8:
    return fmt::format("{}", static_cast<const uint8_t*>(tensor.data())[index]);
  case DType::Bool:
    return static_cast<const uint8_t*>(tensor.data())[index] ? "true" : "false";
  case DType::BF16:
    break; // widened by the caller
  }
  return {};
}

/// To the parser a zero byte is the end, whatever comes behind it.
void refuseZeroBytes(std::span<const uint8_t> text, const std::string& where) {
  if (auto zero = std::find(text.begin(), text.end(), 0); zero != text.end())
    throw Error(Fault::Data, fmt::format("{}: not JSON at byte {}: a zero byte", where, zero - text.begin() + 1));
}

} // namespace

Tensor parseJsonTensor(std::span<const uint8_t> text, DType type, const std::string& where) {
  Reader reader(type);
  refuseZeroBytes(text, where);
  if (!Json::sax_parse(text.begin(), text.end(), &reader))
    throw Error(Fault::Data, fmt::format("{}: {}", where, reader.problem));
  return reader.tensor();
}

TensorMap parseJsonTensors(std::span<const uint8_t> text, const std::string& where) {
  TensorsReader reader;
  refuseZeroBytes(text, where);
  if (!Json::sax_parse(text.begin(), text.end(), &reader))
    throw Error(Fault::Data, fmt::format("{}: {}", where, reader.problem));
  return std::move(reader.tensors);
}

std::string toJsonText(const Tensor& original) {
  Tensor tensor = original.dtype() == DType::BF16 ? original.cast(DType::F32) : original;
  const Shape& shape = tensor.shape();
  if (shape.empty())
    return element(tensor, 0);
  // Elements come in order; a bracket opens and closes wherever an inner block of elements begins and ends.
  std::string result;
  std::function<void(size_t, size_t&)> write = [&](size_t level, size_t& index) {
    if (level == shape.size()) {
      result += element(tensor, index++);
      return;
    }
    result += '[';
    for (int64_t i = 0; i < shape[level]; ++i) {
      if (i != 0)
        result += ", ";
      write(level + 1, index);
    }
    result += ']';
  };
  size_t index = 0;
  write(0, index);
  return result;
}

} // namespace moec
