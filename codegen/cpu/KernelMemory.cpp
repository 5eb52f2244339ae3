// KernelBuilder: vectors, memory and the arithmetic that only LLVM's intrinsics have.
#include "codegen/cpu/KernelBuilder.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

namespace moec::codegen::cpu {

using namespace mlir;

Type KernelBuilder::pointer() { return LLVM::LLVMPointerType::get(context_.get()); }
Type KernelBuilder::tile() { return LLVM::LLVMX86AMXType::get(context_.get()); }

//===--- arithmetic ---===//

Value KernelBuilder::fma(Value a, Value b, Value c) { return target_.hasFma ? LLVM::FMAOp::create(builder_, loc_, a, b, c) : add(mul(a, b), c); }
Value KernelBuilder::abs(Value a) { return LLVM::FAbsOp::create(builder_, loc_, a); }
Value KernelBuilder::sqrt(Value a) { return LLVM::SqrtOp::create(builder_, loc_, a); }
Value KernelBuilder::roundEven(Value a) { return LLVM::RoundEvenOp::create(builder_, loc_, a); }
Value KernelBuilder::countOnes(Value a) { return LLVM::CtPopOp::create(builder_, loc_, a); }
Value KernelBuilder::copySign(Value magnitude, Value sign) { return LLVM::CopySignOp::create(builder_, loc_, magnitude, sign); }

//===--- vectors ---===//

Value KernelBuilder::broadcast(Value scalar, int64_t lanes) {
  if (lanes == 1)
    return scalar;
  Type type = vectorOf(scalar.getType(), lanes);
  if (auto op = scalar.getDefiningOp<arith::ConstantOp>())
    return arith::ConstantOp::create(builder_, loc_, DenseElementsAttr::get(cast<VectorType>(type), op.getValue()));
  Value vector = insert(LLVM::PoisonOp::create(builder_, loc_, type), scalar, 0);
  return shuffle(vector, vector, SmallVector<int32_t>(lanes, 0));
}

Value KernelBuilder::iota(Type element, int64_t lanes) {
  if (lanes == 1)
    return zero(element);
  SmallVector<Attribute> numbers;
  for (int64_t i = 0; i < lanes; ++i)
    numbers.push_back(isa<FloatType>(element) ? Attribute(FloatAttr::get(element, static_cast<double>(i))) : Attribute(IntegerAttr::get(element, i)));
  auto type = cast<VectorType>(vectorOf(element, lanes));
  return arith::ConstantOp::create(builder_, loc_, DenseElementsAttr::get(type, numbers));
}

Value KernelBuilder::word(Value mask) { return LLVM::BitcastOp::create(builder_, loc_, builder_.getIntegerType(static_cast<unsigned>(lanesOf(mask))), mask); }
Value KernelBuilder::lane(Value vector, int64_t lane) { return this->lane(vector, index(lane)); }
Value KernelBuilder::lane(Value vector, Value lane) {
  return lanesOf(vector) == 1 ? vector : Value(LLVM::ExtractElementOp::create(builder_, loc_, vector, lane));
}
Value KernelBuilder::insert(Value vector, Value scalar, int64_t lane) { return LLVM::InsertElementOp::create(builder_, loc_, vector, scalar, index(lane)); }
Value KernelBuilder::shuffle(Value a, Value b, ArrayRef<int32_t> lanes) { return LLVM::ShuffleVectorOp::create(builder_, loc_, a, b, lanes); }
Value KernelBuilder::part(Value vector, int64_t first, int64_t lanes) {
  return lanes == lanesOf(vector) ? vector : shuffle(vector, vector, llvm::to_vector(llvm::seq<int32_t>(first, first + lanes)));
}

Value KernelBuilder::gather(Type vector, Value base, Value indices, Value mask) {
  Type element = elementOf(vector);
  int64_t lanes = cast<VectorType>(vector).getNumElements();
  Value addresses = LLVM::GEPOp::create(builder_, loc_, vectorOf(pointer(), lanes), element, base, ValueRange{indices});
  return LLVM::masked_gather::create(builder_, loc_, vector, addresses, mask, ValueRange{zero(vector)}, element.getIntOrFloatBitWidth() / 8);
}

namespace {
/// Folds the lower and the upper half of a vector until one lane is left.
Value foldHalves(KernelBuilder& k, Value vector, function_ref<Value(Value, Value)> fold) {
  for (int64_t lanes = KernelBuilder::lanesOf(vector); lanes > 1; lanes /= 2) {
    SmallVector<int32_t> low, high;
    for (int32_t i = 0; i < lanes / 2; ++i) {
      low.push_back(i);
      high.push_back(i + static_cast<int32_t>(lanes / 2));
    }
    vector = lanes == 2 ? fold(k.lane(vector, int64_t{0}), k.lane(vector, 1)) : fold(k.shuffle(vector, vector, low), k.shuffle(vector, vector, high));
  }
  return vector;
}
} // namespace

Value KernelBuilder::sumLanes(Value vector) {
  return foldHalves(*this, vector, [&](Value a, Value b) { return add(a, b); });
}
Value KernelBuilder::largestLane(Value vector) {
  return foldHalves(*this, vector, [&](Value a, Value b) { return larger(a, b); });
}

//===--- memory ---===//

namespace {
/// Alignment of what a type is made of, in bytes; pointers have eight.
unsigned alignmentOf(Type type) {
  Type element = KernelBuilder::elementOf(type);
  return element.isIntOrFloat() ? std::max(1u, element.getIntOrFloatBitWidth() / 8) : 8;
}
} // namespace

Value KernelBuilder::at(Value base, Value index, Type element) {
  if (constantOf(index) == 0)
    return base;
  return LLVM::GEPOp::create(builder_, loc_, pointer(), element, base, ValueRange{index});
}

Value KernelBuilder::at(Value base, Value index, DType dtype) {
  Type unit = dtype == DType::Bool ? i8() : dtype == DType::BF16 ? Type(builder_.getI16Type()) : typeOf(dtype);
  return at(base, index, unit);
}

Value KernelBuilder::unrelated(Value address) {
  return LLVM::InlineAsmOp::create(builder_, loc_, pointer(), ValueRange{address}, /*asm_string=*/"", /*constraints=*/"=r,0", /*has_side_effects=*/false,
                                   /*is_align_stack=*/false, LLVM::TailCallKind::None, LLVM::AsmDialectAttr(), ArrayAttr())
      .getResult(0);
}

Value KernelBuilder::load(Type type, Value address) { return LLVM::LoadOp::create(builder_, loc_, type, address, alignmentOf(type)); }
void KernelBuilder::store(Value value, Value address) { LLVM::StoreOp::create(builder_, loc_, value, address, alignmentOf(value.getType())); }

namespace {
constexpr int64_t kLineBytes = 64;         // of every x86-64
constexpr int64_t kCachesBytes = 32 << 20; // more than the last level leaves to one program, mostly
} // namespace

void KernelBuilder::storeLines(ArrayRef<Value> vectors, Value address) {
  for (auto [i, vector] : llvm::enumerate(vectors)) {
    Type type = vector.getType();
    Value place = at(address, index(static_cast<int64_t>(i) * lanesOf(vector)), elementOf(type));
    LLVM::StoreOp::create(builder_, loc_, vector, place, static_cast<unsigned>(target_.vectorBytes), /*isVolatile=*/false, /*isNonTemporal=*/true);
  }
  hasLines_ = true;
}

// Half a line, whose other half comes later, costs more than it spares.
bool KernelBuilder::storesLines(DType dtype, ArrayRef<Size> sizes, int64_t together) const {
  auto bytes = static_cast<int64_t>(byteSize(dtype));
  Size all(bytes);
  for (const Size& size : sizes)
    all = all * size;
  return together * target_.vectorBytes % kLineBytes == 0 && (dtype == DType::F32 || dtype == DType::F64) && all.constant().value_or(0) >= kCachesBytes &&
         *sizes.back().constant() * bytes % kLineBytes == 0;
}

Value KernelBuilder::mask(Value count, int64_t lanes) {
  if (lanes == 1)
    return compare(ir::Predicate::GT, count, zero(count.getType()));
  Value some = min(max(count, zero(count.getType())), integer(count.getType(), lanes));
  return compare(ir::Predicate::LT, iota(i32(), lanes), broadcast(toInteger(some, i32()), lanes));
}

Value KernelBuilder::loadMasked(Type vector, Value address, Value mask, Value others) {
  if (!others)
    others = zero(vector);
  if (!isa<VectorType>(vector))
    return when(mask, [&] { return Values{load(vector, address)}; }, [&] { return Values{others}; })[0];
  return LLVM::MaskedLoadOp::create(builder_, loc_, vector, address, mask, others, alignmentOf(vector));
}

void KernelBuilder::storeMasked(Value value, Value address, Value mask) {
  if (!isa<VectorType>(value.getType()))
    return when(mask, [&] { store(value, address); });
  LLVM::MaskedStoreOp::create(builder_, loc_, value, address, mask, alignmentOf(value.getType()));
}

Value KernelBuilder::loadElements(DType dtype, Value address, int64_t lanes, Value mask) {
  Type stored = dtype == DType::Bool ? i8() : dtype == DType::BF16 ? Type(builder_.getI16Type()) : typeOf(dtype);
  Type type = vectorOf(stored, lanes);
  Value value = mask ? loadMasked(type, address, mask) : load(type, address);
  if (dtype == DType::Bool)
    return compare(ir::Predicate::NE, value, zero(type));
  if (dtype == DType::BF16) // the upper half of an f32
    return bits(shiftLeft(widenUnsigned(value, i32()), 16), f32());
  return value;
}

Value KernelBuilder::bf16Bits(Value value) {
  // To nearest even: half a unit less one, plus the lowest bit that stays, carries into the upper half. A NaN stays one.
  Value word = bits(value, i32()), upper = shiftRight(word, 16);
  Value odd = bitAnd(upper, integer(word.getType(), 1));
  Value rounded = shiftRight(add(word, add(odd, 0x7fff)), 16);
  return choose(isNan(value), bitOr(upper, integer(word.getType(), 0x40)), rounded);
}

Value KernelBuilder::roundTo(DType dtype, Value value) { return dtype == DType::BF16 ? bits(shiftLeft(bf16Bits(value), 16), f32()) : value; }

void KernelBuilder::storeElements(DType dtype, Value value, Value address, Value mask) {
  if (dtype == DType::Bool)
    value = widenUnsigned(value, i8());
  if (dtype == DType::BF16)
    value = toInteger(bf16Bits(value), builder_.getI16Type());
  mask ? storeMasked(value, address, mask) : store(value, address);
}

namespace {
/// Little-endian bytes; i1 takes one.
std::string contentsOf(DenseElementsAttr elements) {
  std::string bytes;
  auto append = [&](const APInt& number) {
    for (unsigned bit = 0; bit < number.getBitWidth(); bit += 8)
      bytes += static_cast<char>(number.extractBitsAsZExtValue(std::min(8u, number.getBitWidth() - bit), bit));
  };
  if (isa<FloatType>(elements.getElementType()))
    for (const APFloat& number : elements.getValues<APFloat>())
      append(number.bitcastToAPInt());
  else
    for (const APInt& number : elements.getValues<APInt>())
      append(number);
  return bytes;
}
} // namespace

Value KernelBuilder::constantData(DenseElementsAttr elements) {
  std::string bytes = contentsOf(elements);
  auto type = LLVM::LLVMArrayType::get(i8(), bytes.size());
  LLVM::GlobalOp global;
  {
    OpBuilder::InsertionGuard guard(builder_);
    builder_.setInsertionPointToStart(module_->getBody());
    std::string name = "data" + std::to_string(constants_++);
    global = LLVM::GlobalOp::create(builder_, loc_, type, /*isConstant=*/true, LLVM::Linkage::Internal, name, builder_.getStringAttr(bytes), /*alignment=*/64);
  }
  return LLVM::AddressOfOp::create(builder_, loc_, global);
}

void KernelBuilder::prefetch(Value address, bool write, int locality) {
  LLVM::Prefetch::create(builder_, loc_, address, write ? 1u : 0u, static_cast<uint32_t>(locality), 1u);
}

void KernelBuilder::intrinsic(StringRef name, ValueRange of) { LLVM::CallIntrinsicOp::create(builder_, loc_, builder_.getStringAttr(name), of); }
Value KernelBuilder::intrinsic(StringRef name, Type result, ValueRange of) {
  return LLVM::CallIntrinsicOp::create(builder_, loc_, result, builder_.getStringAttr(name), of)->getResult(0);
}

} // namespace moec::codegen::cpu
