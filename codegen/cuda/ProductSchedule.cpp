#include "codegen/cuda/ProductSchedule.h"

#include "codegen/CeilDiv.h"
#include "codegen/cuda/Schedule.h"

namespace moec::codegen::cuda {
namespace {

// 32-bit registers of a thread: its sums, its elements of a, one chunk of b, addresses of copies; rounded up to what ptxas was seen to take.
int64_t registersOf(DType dtype, int64_t rows, int64_t columns) {
  int64_t words = static_cast<int64_t>(byteSize(sumType(dtype))) / 4, chunk = dtype == DType::BF16 ? 8 : 4; // a chunk of bf16 is 8 floats
  return std::min<int64_t>(255, 48 + rows * columns * words + chunk * rows + chunk + 4 * (rows + columns) / 2);
}

// From the largest: what a thread reads from shared memory for each multiplication falls with the product of its rows and columns.
struct Candidate {
  int64_t warpsM, warpsN, rows, columns;
};
constexpr Candidate kCandidates[] = {
    {2, 2, 8, 8}, {2, 2, 8, 4}, {2, 2, 4, 4}, {2, 2, 4, 2}, {1, 4, 4, 2}, {1, 4, 2, 2}, {1, 4, 2, 1}, {1, 4, 1, 2}, {1, 4, 1, 1}, {1, 2, 1, 1},
};

/// About how long all tiles take, in any unit.
double cost(const ProductSchedule& s, const ProductShape& shape, const CudaTarget& target) {
  int64_t matrices = shape.matrices.constant().value_or(64), rows = shape.rows.constant().value_or(1024), columns = shape.columns.constant().value_or(1024);
  int64_t blocks = std::max<int64_t>(1, matrices * ceilDiv(rows, s.tileM) * ceilDiv(columns, s.tileN));
  int64_t busiest = ceilDiv(blocks, target.multiprocessors); // blocks of the busiest multiprocessor
  int64_t warps = std::min<int64_t>(busiest, s.resident(target, shape.dtype)) * s.warpsM * s.warpsN;
  // Reads of shared memory beside the arithmetic, for a chunk of K; eight warps hide latencies.
  double chunk = 16.0 / static_cast<double>(byteSize(shape.dtype)), cell = static_cast<double>(s.rows() * s.columns());
  double reads = (2.0 * static_cast<double>(s.rows() + s.columns()) + cell * chunk) / (cell * chunk);
  double hidden = std::min(1.0, 0.25 + 0.75 * static_cast<double>(warps) / 8);
  return static_cast<double>(busiest * s.tileM * s.tileN) * reads / hidden;
}

} // namespace

std::optional<std::string> ProductSchedule::illegal(DType dtype) const {
  if (warpsM < 1 || warpsN < 1 || warpsM * warpsN > 8)
    return "warps_m " + std::to_string(warpsM) + " times warps_n " + std::to_string(warpsN) + " must be between 1 and 8";
  if (tileM < 1 || tileM % (4 * warpsM) != 0 || tileN < 1 || tileN % (8 * warpsN) != 0)
    return "tile_m " + std::to_string(tileM) + " must be a multiple of 4 warps_m, tile_n " + std::to_string(tileN) + " of 8 warps_n";
  if (stages < 2 || stages > 8 || sharedBytes() > kStaticSharedBytes)
    return "stages " + std::to_string(stages) + " must be between 2 and 8 and take at most " + std::to_string(kStaticSharedBytes) + " bytes";
  if (registersOf(dtype, rows(), columns()) > 240)
    return "a thread's " + std::to_string(rows()) + " x " + std::to_string(columns()) + " sums do not fit into its registers";
  return std::nullopt;
}

int ProductSchedule::resident(const CudaTarget& target, DType dtype) const {
  return std::max(1, blocksPerMultiprocessor(target, threads(), static_cast<int>(registersOf(dtype, rows(), columns())), sharedBytes()));
}

mlir::DictionaryAttr ProductSchedule::attr(mlir::MLIRContext* context) const {
  return toAttr(context, {{"tile_m", tileM}, {"tile_n", tileN}, {"warps_m", warpsM}, {"warps_n", warpsN}, {"stages", stages}});
}

std::optional<ProductSchedule> ProductSchedule::from(mlir::DictionaryAttr attr) {
  ProductSchedule s;
  for (auto [name, field] :
       {std::pair<const char*, int64_t*>{"tile_m", &s.tileM}, {"tile_n", &s.tileN}, {"warps_m", &s.warpsM}, {"warps_n", &s.warpsN}, {"stages", &s.stages}}) {
    auto value = attr ? attr.getAs<mlir::IntegerAttr>(name) : nullptr;
    if (!value)
      return std::nullopt;
    *field = value.getInt();
  }
  return s;
}

ProductSchedule chooseProduct(const ProductShape& shape, const CudaTarget& target) {
  ProductSchedule best;
  double least = 0;
  int64_t copy = shape.copy ? shape.copy : copyBytes(shape.dtype, shape.depth);
  bool narrow = copy < 16; // each copy of an element takes registers
  for (const Candidate& c : kCandidates) {
    int64_t cell = c.rows * c.columns * static_cast<int64_t>(byteSize(sumType(shape.dtype))) / 4;
    if (cell > (shape.dtype == DType::BF16 ? 32 : 64) || (narrow && cell > 32) || (copy < 4 && cell > 8))
      continue;
    ProductSchedule s{c.warpsM * 4 * c.rows, c.warpsN * 8 * c.columns, c.warpsM, c.warpsN, 2};
    // Small tiles wait for memory: more slices on their way.
    s.stages = s.tileM <= 16 ? 4 : s.tileM * s.tileN <= 4096 ? 3 : 2;
    int64_t slices = ceilDiv(shape.depth.constant().value_or(1024) * static_cast<int64_t>(byteSize(shape.dtype)), 64);
    s.stages = std::clamp<int64_t>(slices, 2, s.stages);
    double one = cost(s, shape, target);
    if (!best.tileM || one < least)
      best = s, least = one;
  }
  return best;
}

mlir::FailureOr<ProductSchedule> productScheduleOf(ir::KernelOp kernel, DType dtype) {
  if (!isFloat(dtype))
    return kernel.emitOpError("multiplies matrices of ") << name(dtype) << ": CUDA products are f32, f64 and bf16";
  auto schedule = ProductSchedule::from(kernel.getScheduleAttr());
  if (!schedule)
    return kernel.emitOpError("has no complete schedule: tile_m, tile_n, warps_m, warps_n and stages are needed");
  if (auto why = schedule->illegal(dtype))
    return kernel.emitOpError("has an illegal schedule: ") << *why;
  return *schedule;
}

int64_t copyBytes(DType dtype, const Size& depth) {
  int64_t element = static_cast<int64_t>(byteSize(dtype));
  for (int64_t bytes : {16, 8, 4})
    if (bytes > element && depth.constant() && *depth.constant() * element % bytes == 0)
      return bytes;
  return element;
}

} // namespace moec::codegen::cuda
