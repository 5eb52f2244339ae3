#include "compiler/passes/BufferTable.h"

#include "runtime/core/Error.h"

#include "llvm/ADT/StringExtras.h"

using namespace mlir;
using namespace moec::ir;

namespace moec::compiler {

namespace {

constexpr std::pair<BufferKind, llvm::StringLiteral> kinds[] = {
    {BufferKind::Input, "input"},         {BufferKind::Parameter, "parameter"}, {BufferKind::Prepared, "prepared"}, {BufferKind::State, "state"},
    {BufferKind::Temporary, "temporary"}, {BufferKind::Output, "output"},       {BufferKind::Constant, "constant"},
};

} // namespace

std::string hexOf(ArrayRef<uint8_t> bytes) { return llvm::toHex(bytes, /*LowerCase=*/true); }

std::optional<std::vector<uint8_t>> bytesOf(StringRef text) {
  std::string bytes;
  if (text.size() % 2 || !llvm::tryGetFromHex(text, bytes))
    return std::nullopt;
  return std::vector<uint8_t>(bytes.begin(), bytes.end());
}

ArrayAttr sizesAttribute(const std::vector<Size>& sizes, MLIRContext* context) {
  SmallVector<Attribute> texts;
  for (const Size& size : sizes)
    texts.push_back(StringAttr::get(context, size.str()));
  return ArrayAttr::get(context, texts);
}

std::optional<std::vector<Size>> sizesFrom(Attribute attribute) {
  auto texts = dyn_cast_or_null<ArrayAttr>(attribute);
  if (!texts)
    return std::nullopt;
  std::vector<Size> sizes;
  for (Attribute text : texts) {
    auto string = dyn_cast<StringAttr>(text);
    if (!string)
      return std::nullopt;
    try {
      sizes.push_back(Size::parse(string.str()));
    } catch (const Error&) {
      return std::nullopt;
    }
  }
  return sizes;
}

DictionaryAttr toAttribute(const BufferInfo& buffer, MLIRContext* context) {
  Builder builder(context);
  SmallVector<NamedAttribute> fields;
  auto set = [&](StringRef name, Attribute value) { fields.push_back(builder.getNamedAttr(name, value)); };
  for (auto& [kind, word] : kinds)
    if (kind == buffer.kind)
      set("kind", builder.getStringAttr(word));
  set("name", builder.getStringAttr(buffer.name));
  set("dtype", builder.getStringAttr(std::string(moec::name(buffer.dtype))));
  set("shape", sizesAttribute(buffer.shape, context));
  if (buffer.firstLaunch >= 0) {
    set("first", builder.getI64IntegerAttr(buffer.firstLaunch));
    set("last", builder.getI64IntegerAttr(buffer.lastLaunch));
  }
  if (buffer.raggedBy)
    set("ragged_by", builder.getI64IntegerAttr(*buffer.raggedBy));
  if (buffer.isRouting) {
    set("experts", builder.getI64IntegerAttr(buffer.experts));
    set("choices", builder.getI64IntegerAttr(buffer.choices));
  }
  if (!buffer.data.empty())
    set("data", builder.getStringAttr(hexOf(buffer.data)));
  return builder.getDictionaryAttr(fields);
}

std::optional<BufferInfo> bufferFrom(Attribute attribute, Location where) {
  auto fail = [&](const char* what) {
    emitError(where) << "an entry of '" << buffersName << "' has no valid '" << what << "'";
    return std::nullopt;
  };
  auto fields = dyn_cast<DictionaryAttr>(attribute);
  if (!fields)
    return fail("dictionary");
  auto text = [&](StringRef name) {
    auto value = fields.getAs<StringAttr>(name);
    return value ? value.getValue() : StringRef();
  };
  auto number = [&](StringRef name) -> std::optional<int64_t> {
    auto value = fields.getAs<IntegerAttr>(name);
    return value ? std::optional<int64_t>(value.getInt()) : std::nullopt;
  };
  BufferInfo buffer;
  auto kind = llvm::find_if(kinds, [&](auto& entry) { return entry.second == text("kind"); });
  if (kind == std::end(kinds))
    return fail("kind");
  buffer.kind = kind->first;
  buffer.name = text("name").str();
  auto dtype = parseDType(std::string_view(text("dtype")));
  if (!dtype)
    return fail("dtype");
  buffer.dtype = *dtype;
  auto shape = sizesFrom(fields.get("shape"));
  if (!shape)
    return fail("shape");
  buffer.shape = *shape;
  buffer.firstLaunch = static_cast<int>(number("first").value_or(-1));
  buffer.lastLaunch = static_cast<int>(number("last").value_or(-1));
  if (auto routing = number("ragged_by"))
    buffer.raggedBy = static_cast<int>(*routing);
  if (auto experts = number("experts")) {
    buffer.isRouting = true;
    buffer.experts = *experts;
    buffer.choices = number("choices").value_or(1);
  }
  if (!text("data").empty()) {
    auto data = bytesOf(text("data"));
    if (!data)
      return fail("data");
    buffer.data = *data;
  }
  return buffer;
}

} // namespace moec::compiler
