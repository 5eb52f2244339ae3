// Owner of: what CUDA kernels do not do by design. Each kind says so, with what it found, before NVRTC sees a text.
#include "tests/codegen/cuda/CudaKernelCheck.h"

#include "mlir/AsmParser/AsmParser.h"

namespace moec::testing {
namespace {

struct Refusal {
  const char* name;
  const char* kind;
  const char *arguments, *results, *body;
  const char* words;              // of the diagnostic
  const char* schedule = nullptr; // an attribute's text; null: the chosen one
};

#define MOEC_NEW(width) "tensor<1x?x" width "xf32, #moe.sizes<\"1\", \"n\", \"" width "\">>"
#define MOEC_ROUTING "!moe.routing<3 experts, \"4\" tokens, 2 choices>"

const Refusal kRefusals[] = {
    {"loopsOfASoftmax", "loops", "%x: tensor<4x8xf32>", "tensor<4x8xf32>", "%y = moe.softmax %x : tensor<4x8xf32>  moe.yield %y : tensor<4x8xf32>",
     "a kernel of loops cannot hold moe.softmax"},
    {"loopsOfTwoShapes", "loops", "%x: tensor<4x8xf32>, %z: tensor<4xf32>", "tensor<4x8xf32>, tensor<4xf32>",
     "%y = moe.neg %x : tensor<4x8xf32>  %w = moe.neg %z : tensor<4xf32>  moe.yield %y, %w : tensor<4x8xf32>, tensor<4xf32>", "gives results of two shapes"},
    {"loopsOfTooManyThreads", "loops", "%x: tensor<4xf32>", "tensor<4xf32>", "%y = moe.neg %x : tensor<4xf32>  moe.yield %y : tensor<4xf32>",
     "needs threads between 32 and 1024, and has 2048", "{threads = 2048 : i64}"},

    {"rowsThatReshape", "rows", "%x: tensor<4x8xf32>", "tensor<8x4xf32>",
     "%r = moe.reshape %x : tensor<4x8xf32> -> tensor<8x4xf32>  %y = moe.softmax %r : tensor<8x4xf32>  moe.yield %y : tensor<8x4xf32>",
     "a kernel over rows cannot hold moe.reshape"},
    {"selectOfAnyWidth", "rows", "%x: tensor<4x40000xf32>", "tensor<4x2xf32>, tensor<4x2xi32>",
     "%v, %i = moe.select %x k 2 : tensor<4x40000xf32>  moe.yield %v, %i : tensor<4x2xf32>, tensor<4x2xi32>", "does not fit the registers of 512 threads"},
    {"rowsOfAnUnevenGroup", "rows", "%x: tensor<4x8xf32>", "tensor<4x8xf32>", "%y = moe.softmax %x : tensor<4x8xf32>  moe.yield %y : tensor<4x8xf32>",
     "group_threads 24 must be a power of two", "{group_threads = 24 : i64, rows_per_block = 4 : i64}"},

    {"packedWeights", "matmul", "%a: tensor<4x8xf32>, %p: tensor<1x8x16xf32>", "tensor<4x10xf32>",
     "%w = moe.unpack %p n 10 : tensor<1x8x16xf32>  %y = moe.matmul %a, %w : tensor<4x8xf32>, tensor<10x8xf32>  moe.yield %y : tensor<4x10xf32>",
     "takes packed weights: CUDA kernels read them as they are"},
    {"softmaxBehindAProduct", "matmul", "%a: tensor<4x8xf32>, %w: tensor<16x8xf32>", "tensor<4x16xf32>",
     "%s = moe.matmul %a, %w : tensor<4x8xf32>, tensor<16x8xf32>  %y = moe.softmax %s : tensor<4x16xf32>  moe.yield %y : tensor<4x16xf32>",
     "holds moe.softmax behind its product"},
    {"aProductThatIsMoved", "matmul", "%a: tensor<4x8xf32>, %w: tensor<4x8xf32>", "tensor<4x4xf32>",
     "%s = moe.matmul %a, %w : tensor<4x8xf32>, tensor<4x8xf32>  %t = moe.transpose %s [1, 0] : tensor<4x4xf32>"
     "  %y = moe.add %s, %t : tensor<4x4xf32>, tensor<4x4xf32>  moe.yield %y : tensor<4x4xf32>",
     "moves elements of its product"},
    {"aProductOfAnotherShape", "matmul", "%a: tensor<4x8xf32>, %w: tensor<6x8xf32>", "tensor<6x4xf32>",
     "%s = moe.matmul %a, %w : tensor<4x8xf32>, tensor<6x8xf32>  %t = moe.transpose %s [1, 0] : tensor<4x6xf32>  moe.yield %t : tensor<6x4xf32>",
     "gives a result of shape"},
    {"aProductOfAProduct", "matmul", "%a: tensor<4x8xf32>, %w: tensor<8x8xf32>", "tensor<4x8xf32>",
     "%s = moe.matmul %a, %w : tensor<4x8xf32>, tensor<8x8xf32>  %t = moe.matmul %s, %w : tensor<4x8xf32>, tensor<8x8xf32>  moe.yield %t : tensor<4x8xf32>",
     "holds two moe.matmul"},
    {"tilesBeyondTheRegisters", "matmul", "%a: tensor<4x8xf32>, %w: tensor<2x8xf32>", "tensor<4x2xf32>",
     "%y = moe.matmul %a, %w : tensor<4x8xf32>, tensor<2x8xf32>  moe.yield %y : tensor<4x2xf32>", "do not fit into its registers",
     "{tile_m = 64 : i64, tile_n = 128 : i64, warps_m = 1 : i64, warps_n = 1 : i64, stages = 2 : i64}"},

    {"gateOfBfloat16Products", "gate", "%x: tensor<4x8xbf16>, %w: tensor<2x8xbf16>", "tensor<4x2xbf16>",
     "%y = moe.matmul %x, %w : tensor<4x8xbf16>, tensor<2x8xbf16>  moe.yield %y : tensor<4x2xbf16>",
     "multiplies matrices of bf16: a gate's scores are f32 or f64"},
    {"gateOfPackedWeights", "gate", "%x: tensor<4x8xf32>, %p: tensor<1x8x16xf32>", "tensor<4x10xf32>",
     "%w = moe.unpack %p n 10 : tensor<1x8x16xf32>  %y = moe.matmul %x, %w : tensor<4x8xf32>, tensor<10x8xf32>  moe.yield %y : tensor<4x10xf32>",
     "takes packed weights"},
    {"gateOfTooManyExperts", "gate", "%i: tensor<4x2xi32>", "!moe.routing<3000 experts, \"4\" tokens, 2 choices>",
     "%r = moe.assign %i experts 3000 token_major : tensor<4x2xi32>  moe.yield %r : !moe.routing<3000 experts, \"4\" tokens, 2 choices>",
     "cannot run this: it assigns to 3000 experts: a block's shared memory counts the rows of at most 2457"},
    {"gateThatIsNeverOneBlocks", "gate", "%i: tensor<4x2xi32>", MOEC_ROUTING,
     "%r = moe.assign %i experts 3 token_major : tensor<4x2xi32>  moe.yield %r : " MOEC_ROUTING, "one_block_rows must be at least 1",
     "{token_block = 512 : i64, tile_n = 0 : i64, warps_n = 0 : i64, stages = 0 : i64, group_threads = 32 : i64, one_block_rows = 0 : i64}"},
    {"gateOfBatchedWeights", "gate", "%x: tensor<2x4x8xf32>, %w: tensor<2x3x8xf32>", "tensor<2x4x3xf32>",
     "%y = moe.matmul %x, %w : tensor<2x4x8xf32>, tensor<2x3x8xf32>  moe.yield %y : tensor<2x4x3xf32>", "scores by weights of rank 3: rank 2 is needed"},
    {"gateOfAGivenRouting", "gate", "%r: " MOEC_ROUTING ", %k: tensor<4x2xi1>", MOEC_ROUTING,
     "%d = moe.drop %r, %k : " MOEC_ROUTING ", tensor<4x2xi1>  moe.yield %d : " MOEC_ROUTING, "makes a routing that moe.assign does not begin"},

    {"expertsOfPackedWeights", "expert_mid", "%x: tensor<8x8xf32>, %r: " MOEC_ROUTING ", %p: tensor<3x1x8x16xf32>", "tensor<8x10xf32>",
     "%w = moe.unpack %p n 10 : tensor<3x1x8x16xf32>  %y = moe.grouped_matmul %x, %w, %r : tensor<8x8xf32>, tensor<3x10x8xf32>, " MOEC_ROUTING
     "  moe.yield %y : tensor<8x10xf32>",
     "takes packed weights"},
    {"dispatchByAnotherRouting", "expert_up", "%x: tensor<4x8xf32>, %r: " MOEC_ROUTING ", %o: " MOEC_ROUTING ", %w: tensor<3x2x8xf32>", "tensor<8x2xf32>",
     "%d = moe.dispatch %x, %o : tensor<4x8xf32>, " MOEC_ROUTING "  %y = moe.grouped_matmul %d, %w, %r : tensor<8x8xf32>, tensor<3x2x8xf32>, " MOEC_ROUTING
     "  moe.yield %y : tensor<8x2xf32>",
     "dispatches by another routing than it multiplies by"},
    {"combineByAnotherRouting", "expert_down", "%x: tensor<8x8xf32>, %r: " MOEC_ROUTING ", %o: " MOEC_ROUTING ", %w: tensor<3x2x8xf32>, %c: tensor<4x2xf32>",
     "tensor<4x2xf32>",
     "%s = moe.grouped_matmul %x, %w, %r : tensor<8x8xf32>, tensor<3x2x8xf32>, " MOEC_ROUTING "  %y = moe.combine %s, %o, %c : tensor<8x2xf32>, " MOEC_ROUTING
     ", tensor<4x2xf32>  moe.yield %y : tensor<4x2xf32>",
     "combines by another routing than it multiplies by"},
    {"softmaxBehindExperts", "expert_mid", "%x: tensor<8x8xf32>, %r: " MOEC_ROUTING ", %w: tensor<3x2x8xf32>", "tensor<8x2xf32>",
     "%s = moe.grouped_matmul %x, %w, %r : tensor<8x8xf32>, tensor<3x2x8xf32>, " MOEC_ROUTING "  %y = moe.softmax %s : tensor<8x2xf32>"
     "  moe.yield %y : tensor<8x2xf32>",
     "holds moe.softmax behind its product"},

    {"attentionOfWideHeads", "attention", "%q: tensor<1x4x4000xf32>", "tensor<1x4x4000xf32>",
     "%y = moe.attention %q, %q, %q heads 1 scale 0.5 : tensor<1x4x4000xf32>, tensor<1x4x4000xf32>, tensor<1x4x4000xf32>  moe.yield %y : tensor<1x4x4000xf32>",
     "attends with heads of 4000 columns: a block's shared memory does not hold its queries"},
    {"attentionOfSlicesOfTokens", "attention", "%x: tensor<1x8x8xf32>", "tensor<1x4x8xf32>",
     "%q = moe.slice %x axis 1 from \"0\" size \"4\" : tensor<1x8x8xf32>"
     "  %y = moe.attention %q, %q, %q heads 1 scale 0.5 : tensor<1x4x8xf32>, tensor<1x4x8xf32>, tensor<1x4x8xf32>  moe.yield %y : tensor<1x4x8xf32>",
     "q is a slice along another axis than the last"},
    {"attentionWithMoreBehind", "attention", "%q: tensor<1x4x8xf32>", "tensor<1x4x8xf32>",
     "%a = moe.attention %q, %q, %q heads 1 scale 0.5 : tensor<1x4x8xf32>, tensor<1x4x8xf32>, tensor<1x4x8xf32>"
     "  %y = moe.neg %a : tensor<1x4x8xf32>  moe.yield %y : tensor<1x4x8xf32>",
     "gives something else than its moe.attention"},

    {"cachedAttentionOfMoreRowsThanAnIntCounts", "cached_attention",
     "%q: " MOEC_NEW("8") ", %k: " MOEC_NEW("2") ", %c: tensor<1x536870912x2xf32>, %p: tensor<i64>", MOEC_NEW("8"),
     "%y = moe.cached_attention %q, %k, %k behind %c, %c at %p heads 4 kv_heads 1 scale 0.5 : " MOEC_NEW("8") ", " MOEC_NEW("2") ", " MOEC_NEW(
         "2") ", tensor<1x536870912x2xf32>, tensor<1x536870912x2xf32>, tensor<i64>  moe.yield %y : " MOEC_NEW("8"),
     "attends to a context of 536870912 tokens, of each of which 4 heads share keys: a CUDA kernel counts at most 2147352575 rows; compile it for a context of at most 536838143"},

    {"updateOfASoftmax", "update", "%x: tensor<4x8xf32>", "tensor<4x8xf32>", "%y = moe.softmax %x : tensor<4x8xf32>  moe.yield %y : tensor<4x8xf32>",
     "a kernel of kind \"update\" cannot hold moe.softmax"},
    {"updateThatBroadcasts", "update", "%x: tensor<4x8xf32>, %b: tensor<8xf32>", "tensor<4x8xf32>",
     "%y = moe.add %x, %b : tensor<4x8xf32>, tensor<8xf32>  moe.yield %y : tensor<4x8xf32>", "it takes the same shape, or one element"},
    {"updateOfAnyNumberOfElements", "update", "%x: tensor<?x8xf32, #moe.sizes<\"n\", \"8\">>", "tensor<?x8xf32, #moe.sizes<\"n\", \"8\">>",
     "%y = moe.neg %x : tensor<?x8xf32, #moe.sizes<\"n\", \"8\">>  moe.yield %y : tensor<?x8xf32, #moe.sizes<\"n\", \"8\">>", "takes tensors of known sizes"},
    {"totalsOfRows", "totals", "%x: tensor<4x8xf32>", "tensor<4xf32>", "%y = moe.reduce sum %x axis 1 : tensor<4x8xf32>  moe.yield %y : tensor<4xf32>",
     "holds a reduction to [4]"},
    {"totalsOfNothing", "totals", "%x: tensor<f32>", "tensor<f32>", "%y = moe.neg %x : tensor<f32>  moe.yield %y : tensor<f32>", "without a sum"},
    {"sumsOfNothing", "sums", "%x: tensor<4x8xf32>", "tensor<4x8xf32>", "%y = moe.neg %x : tensor<4x8xf32>  moe.yield %y : tensor<4x8xf32>",
     "holds none of moe.embedding_grad"},
    {"sumsOfWhatIsComputed", "sums", "%x: tensor<8x8xf32>, %r: " MOEC_ROUTING, "tensor<3x8xf32>",
     "%n = moe.neg %x : tensor<8x8xf32>  %y = moe.expert_sums %n, %r : tensor<8x8xf32>, " MOEC_ROUTING "  moe.yield %y : tensor<3x8xf32>",
     "an operand of the sums is computed in the kernel by moe.neg"},
    {"attentionGradWithMoreBehind", "attention_grad", "%q: tensor<1x4x8xf32>", "tensor<1x4x8xf32>",
     "%a, %b, %c = moe.attention_grad %q, %q, %q, %q heads 1 scale 0.5 : tensor<1x4x8xf32>, tensor<1x4x8xf32>, tensor<1x4x8xf32>, tensor<1x4x8xf32>"
     "  %y = moe.neg %a : tensor<1x4x8xf32>  moe.yield %y : tensor<1x4x8xf32>",
     "gives something else than its moe.attention_grad"},
};

TEST(RefusalsCuda, sayWhatWasFound) {
  for (const Refusal& refusal : kRefusals) {
    SCOPED_TRACE(refusal.name);
    ParsedKernel kernel = parseKernel(refusal.kind, refusal.arguments, refusal.results, refusal.body);
    if (refusal.schedule)
      kernel.op.setScheduleAttr(mlir::cast<mlir::DictionaryAttr>(mlir::parseAttribute(refusal.schedule, kernel.context.get())));
    try {
      runOnEmulator(kernel.op, {}, {});
      ADD_FAILURE() << "a kernel was made";
    } catch (const std::runtime_error& error) {
      EXPECT_NE(std::string(error.what()).find(refusal.words), std::string::npos) << error.what();
    }
  }
}

} // namespace
} // namespace moec::testing
