#include "tests/codegen/cuda/SampleKernels.h"

#include "ir/reference/Interpreter.h"
#include "runtime/core/Philox.h"
#include "tests/codegen/ProductCheck.h"

#include <regex>

namespace moec::testing {
namespace {

// Routings have 29 tokens, 2 choices and 5 experts: R = 58 rows, which no other size of these kernels is.
#define MOEC_ROUTING "!moe.routing<5 experts, \"29\" tokens, 2 choices>"

const SampleKernel kSamples[] = {
    {"loops", "loops", "%x: tensor<7x63x@>, %y: tensor<63x1x@>", "tensor<63x8x@>", R"(
    %t = moe.transpose %x [1, 0] : tensor<7x63x@>
    %g = moe.gelu %t : tensor<63x7x@>
    %u = moe.random normal "noise" : tensor<63x7x@>
    %a = moe.add %g, %u : tensor<63x7x@>, tensor<63x7x@>
    %c = moe.concat %a, %y axis 1 : tensor<63x7x@>, tensor<63x1x@>
    %m = moe.reduce mean %x axis 0 : tensor<7x63x@>
    %r = moe.reshape %m : tensor<63x@> -> tensor<63x1x@>
    %z = moe.mul %c, %r : tensor<63x8x@>, tensor<63x1x@>
    moe.yield %z : tensor<63x8x@>)"},
    {"loopsOfLongSums", "loops", "%x: tensor<2100x41x@>", "tensor<41x@>", R"(
    %s = moe.reduce sum %x axis 0 : tensor<2100x41x@>
    %y = moe.neg %s : tensor<41x@>
    moe.yield %y : tensor<41x@>)",
     2100},
    {"loopsOfOneLongSum", "loops", "%x: tensor<9000x@>", "tensor<@>", R"(
    %q = moe.mul %x, %x : tensor<9000x@>, tensor<9000x@>
    %s = moe.reduce sum %q axis 0 : tensor<9000x@>
    moe.yield %s : tensor<@>)",
     9000},
    {"loopsOfAnEmbedding", "loops", "%i: tensor<4x9xi32>, %w: tensor<5x17x@>, %p: tensor<9x17x@>", "tensor<4x9x17x@>", R"(
    %e = moe.embedding %i, %w : tensor<4x9xi32>, tensor<5x17x@>
    %y = moe.add %e, %p : tensor<4x9x17x@>, tensor<9x17x@>
    moe.yield %y : tensor<4x9x17x@>)"},
    {"loopsOfDistances", "loops", "%t: tensor<32x3x@>", "tensor<3x41x41x@>", R"(
    %y = moe.relative_bias %t queries "41" keys "41" max_distance 128 bidirectional : tensor<32x3x@>
    moe.yield %y : tensor<3x41x41x@>)"},
    {"loopsOfTurns", "loops", "%x: tensor<2x33x40x@>", "tensor<2x33x24x@>", R"(
    %s = moe.slice %x axis 2 from "8" size "24" : tensor<2x33x40x@>
    %y = moe.rotary %s heads 3 base 1.0e+04 : tensor<2x33x24x@>
    moe.yield %y : tensor<2x33x24x@>)"},
    {"rowsOfLanes", "rows", "%x: tensor<67x13x@>, %w: tensor<13x@>", "tensor<67x13x@>, tensor<67x13x@>", R"(
    %n = moe.layer_norm %x weight %w : tensor<13x@> eps 1.0e-5 of tensor<67x13x@>
    %p = moe.softmax %n : tensor<67x13x@>
    moe.yield %n, %p : tensor<67x13x@>, tensor<67x13x@>)"},
    {"rowsOfRms", "rows", "%x: tensor<67x13x@>, %w: tensor<13x@>", "tensor<67x13x@>", R"(
    %n = moe.rms_norm %x weight %w : tensor<13x@> eps 1.0e-6 of tensor<67x13x@>
    moe.yield %n : tensor<67x13x@>)"},
    {"rowsOfBlocks", "rows", "%x: tensor<5x1500x@>", "tensor<5x6x@>, tensor<5x6xi32>, tensor<5x@>", R"(
    %v, %i = moe.select %x k 6 : tensor<5x1500x@>
    %p = moe.softmax %v : tensor<5x6x@>
    %m = moe.reduce sum %x axis 1 : tensor<5x1500x@>
    moe.yield %p, %i, %m : tensor<5x6x@>, tensor<5x6xi32>, tensor<5x@>)",
     1500},
    {"rowsOfAnyWidth", "rows", "%x: tensor<?x?x@, #moe.sizes<\"t\", \"d\">>", "tensor<?x?x@, #moe.sizes<\"t\", \"d\">>", R"(
    %g = moe.gelu %x : tensor<?x?x@, #moe.sizes<"t", "d">>
    %p = moe.softmax %g : tensor<?x?x@, #moe.sizes<"t", "d">>
    moe.yield %p : tensor<?x?x@, #moe.sizes<"t", "d">>)",
     337},
    {"rowsOfBfloat16", "rows", "%x: tensor<9x40xbf16>, %z: tensor<9x40x@>", "tensor<9x40xbf16>, tensor<9x40x@>", R"(
    %w = moe.cast %x to @ : tensor<9x40xbf16>
    %a = moe.add %w, %z : tensor<9x40x@>, tensor<9x40x@>
    %b = moe.cast %a to bf16 : tensor<9x40x@>
    moe.yield %b, %a : tensor<9x40xbf16>, tensor<9x40x@>)"},
    {"rowsOfARouting", "rows", "%x: tensor<29x24x@>, %r: " MOEC_ROUTING ", %w: tensor<5x24x@>, %z: tensor<58x24x@>", "tensor<58x24x@>", R"(
    %d = moe.dispatch %x, %r : tensor<29x24x@>, )" MOEC_ROUTING R"(
    %n = moe.layer_norm %d eps 1.0e-5 of tensor<58x24x@>
    %e = moe.expert_rows %w, %r : tensor<5x24x@>, )" MOEC_ROUTING R"(
    %m = moe.mul %n, %e : tensor<58x24x@>, tensor<58x24x@>
    %y = moe.add %m, %z : tensor<58x24x@>, tensor<58x24x@>
    moe.yield %y : tensor<58x24x@>)"},
    {"rowsCombined", "rows", "%x: tensor<58x24x@>, %r: " MOEC_ROUTING ", %c: tensor<29x2x@>", "tensor<29x24x@>", R"(
    %o = moe.combine %x, %r, %c : tensor<58x24x@>, )" MOEC_ROUTING R"(, tensor<29x2x@>
    moe.yield %o : tensor<29x24x@>)"},
    {"rowsOfNormGradients", "rows", "%d: tensor<67x13x@>, %x: tensor<67x13x@>, %w: tensor<13x@>", "tensor<67x13x@>, tensor<67x13x@>", R"(
    %n = moe.layer_norm_grad %d, %x weight %w : tensor<13x@> eps 1.0e-5 of tensor<67x13x@>, tensor<67x13x@>
    %p = moe.rms_norm_grad %d, %x eps 1.0e-5 of tensor<67x13x@>, tensor<67x13x@>
    moe.yield %n, %p : tensor<67x13x@>, tensor<67x13x@>)"},
    {"rowsOfALoss", "rows", "%x: tensor<21x5x@>, %l: tensor<21xi32>, %d: tensor<21x@>", "tensor<21x@>, tensor<21x@>, tensor<21x5x@>", R"(
    %s = moe.log_sum_exp %x : tensor<21x5x@>
    %e = moe.cross_entropy %x, %l smoothing 1.0e-1 ignore 2 : tensor<21x5x@>, tensor<21xi32>
    %g = moe.cross_entropy_grad %d, %x, %l smoothing 1.0e-1 ignore 2 : tensor<21x@>, tensor<21x5x@>, tensor<21xi32>
    moe.yield %s, %e, %g : tensor<21x@>, tensor<21x@>, tensor<21x5x@>)"},
    {"rowsOfAnAccuracy", "rows", "%x: tensor<21x5x@>, %l: tensor<21xi32>", "tensor<21xi1>", R"(
    %t = moe.is_top %x, %l ignore 2 : tensor<21x5x@>, tensor<21xi32>
    moe.yield %t : tensor<21xi1>)"},
    {"rowsOfCounts", "rows", "%r: " MOEC_ROUTING, "tensor<f32>", R"(
    %n = moe.expert_counts %r : )" MOEC_ROUTING R"(
    %f = moe.cast %n to f32 : tensor<5xi32>
    %s = moe.reduce sum %f axis 0 : tensor<5xf32>
    %a = moe.size "58" to f32
    %d = moe.sub %a, %s : tensor<f32>, tensor<f32>
    moe.yield %d : tensor<f32>)"},
    {"rowsOfAGatesGradient", "rows", "%y: tensor<67x6x@>, %d: tensor<67x2x@>, %i: tensor<67x2xi32>", "tensor<67x6x@>", R"(
    %s = moe.select_grad %d, %i experts 6 : tensor<67x2x@>, tensor<67x2xi32>
    %g = moe.softmax_grad %s, %y : tensor<67x6x@>, tensor<67x6x@>
    moe.yield %g : tensor<67x6x@>)"},
    {"rowsTaken", "rows", "%x: tensor<67x6x@>, %i: tensor<67x3xi32>", "tensor<67x3x@>, tensor<67x2x@>, tensor<67x3xi32>", R"(
    %s = moe.sigmoid %x : tensor<67x6x@>
    %t = moe.take %s, %i : tensor<67x6x@>, tensor<67x3xi32>
    %v, %j = moe.select %x k 2 : tensor<67x6x@>
    %u = moe.take %s, %j : tensor<67x6x@>, tensor<67x2xi32>
    %n = moe.cast %t to i32 : tensor<67x3x@>
    moe.yield %t, %u, %n : tensor<67x3x@>, tensor<67x2x@>, tensor<67x3xi32>)"},
    {"places", "places", "%i: tensor<67x2xi32>, %s: tensor<67x2x@>, %k: tensor<67x2xi1>", "tensor<67x2xi32>", R"(
    %p = moe.places %i, %s keep %k : tensor<67x2xi1> experts 5 choice_major : tensor<67x2xi32>, tensor<67x2x@>
    moe.yield %p : tensor<67x2xi32>)"},
    {"swipe", "swipe", "%i: tensor<66x2xi32>", "tensor<66x2xi32>", R"(
    %p = moe.swipe %i experts 6 workers 3 : tensor<66x2xi32>
    moe.yield %p : tensor<66x2xi32>)"},
    {"rowsOfChoices", "rows", "%c: tensor<58x1x@>, %r: " MOEC_ROUTING ", %w: tensor<29x2x@>", "tensor<29x2x@>", R"(
    %v = moe.choice_values %c, %r : tensor<58x1x@>, )" MOEC_ROUTING R"(
    %y = moe.mul %v, %w : tensor<29x2x@>, tensor<29x2x@>
    moe.yield %y : tensor<29x2x@>)"},
    {"update", "update", "%p: tensor<37x29x@>, %g: tensor<37x29x@>, %m: tensor<37x29x@>, %r: tensor<f64>", "tensor<37x29x@>, tensor<37x29x@>", R"(
    %b = moe.constant dense<0.9> : tensor<@>
    %w = moe.cast %r to @ : tensor<f64>
    %k = moe.mul %m, %b : tensor<37x29x@>, tensor<@>
    %v = moe.add %k, %g : tensor<37x29x@>, tensor<37x29x@>
    %d = moe.mul %v, %w : tensor<37x29x@>, tensor<@>
    %t = moe.sub %p, %d : tensor<37x29x@>, tensor<37x29x@>
    moe.yield %t, %v : tensor<37x29x@>, tensor<37x29x@>)"},
    {"updateOfTwo", "update", "%p: tensor<37x29x@>, %g: tensor<37x29x@>, %q: tensor<45x@>, %h: tensor<45x@>, %r: tensor<f64>", "tensor<37x29x@>, tensor<45x@>",
     R"(
    %w = moe.cast %r to @ : tensor<f64>
    %a = moe.mul %g, %w : tensor<37x29x@>, tensor<@>
    %b = moe.sub %p, %a : tensor<37x29x@>, tensor<37x29x@>
    %c = moe.mul %h, %w : tensor<45x@>, tensor<@>
    %d = moe.sub %q, %c : tensor<45x@>, tensor<45x@>
    moe.yield %b, %d : tensor<37x29x@>, tensor<45x@>)"},
    {"totals", "totals", "%g: tensor<37x229x@>, %h: tensor<45x@>", "tensor<@>", R"(
    %v = moe.reshape %g : tensor<37x229x@> -> tensor<8473x@>
    %a = moe.mul %v, %v : tensor<8473x@>, tensor<8473x@>
    %b = moe.reduce sum %a axis 0 : tensor<8473x@>
    %c = moe.mul %h, %h : tensor<45x@>, tensor<45x@>
    %d = moe.reduce sum %c axis 0 : tensor<45x@>
    %e = moe.add %b, %d : tensor<@>, tensor<@>
    %f = moe.sqrt %e : tensor<@>
    moe.yield %f : tensor<@>)"},
    {"sumsOfAnEmbedding", "sums", "%i: tensor<9x7xi32>, %d: tensor<9x7x40x@>", "tensor<21x40x@>", R"(
    %g = moe.embedding_grad %i, %d entries 21 : tensor<9x7xi32>, tensor<9x7x40x@>
    moe.yield %g : tensor<21x40x@>)"},
    {"sumsOfExperts", "sums", "%x: tensor<58x45x@>, %r: " MOEC_ROUTING, "tensor<5x45x@>", R"(
    %s = moe.expert_sums %x, %r : tensor<58x45x@>, )" MOEC_ROUTING R"(
    moe.yield %s : tensor<5x45x@>)"},
    {"sumsOfDistances", "sums", "%d: tensor<3x41x41x@>", "tensor<32x3x@>", R"(
    %g = moe.relative_bias_grad %d buckets 32 max_distance 128 bidirectional : tensor<3x41x41x@>
    moe.yield %g : tensor<32x3x@>)",
     1681},
    {"weightGrad", "weight_grad", "%d: tensor<58x51x@>, %x: tensor<58x24x@>, %r: " MOEC_ROUTING, "tensor<5x51x24x@>", R"(
    %g = moe.grouped_weight_grad %d, %x, %r : tensor<58x51x@>, tensor<58x24x@>, )" MOEC_ROUTING R"(
    moe.yield %g : tensor<5x51x24x@>)"},
    {"matmul", "matmul", "%a: tensor<67x33x@>, %w: tensor<45x33x@>, %b: tensor<45x@>, %r: tensor<67x45x@>", "tensor<67x45x@>", R"(
    %s = moe.matmul %a, %w : tensor<67x33x@>, tensor<45x33x@>
    %t = moe.add %s, %b : tensor<67x45x@>, tensor<45x@>
    %g = moe.gelu %t : tensor<67x45x@>
    %y = moe.add %g, %r : tensor<67x45x@>, tensor<67x45x@>
    moe.yield %y : tensor<67x45x@>)"},
    {"matmulOfWholeCopies", "matmul", "%a: tensor<?x64x@, #moe.sizes<\"t\", \"64\">>, %w: tensor<3x72x64x@>",
     "tensor<3x?x72x@, #moe.sizes<\"3\", \"t\", \"72\">>", R"(
    %s = moe.matmul %a, %w : tensor<?x64x@, #moe.sizes<"t", "64">>, tensor<3x72x64x@>
    moe.yield %s : tensor<3x?x72x@, #moe.sizes<"3", "t", "72">>)"},
    {"matmulOfBfloat16", "matmul", "%a: tensor<67x34xbf16>, %w: tensor<45x34xbf16>, %z: tensor<67x45x@>", "tensor<67x45xbf16>", R"(
    %s = moe.matmul %a, %w : tensor<67x34xbf16>, tensor<45x34xbf16>
    %g = moe.gelu %s : tensor<67x45xbf16>
    %c = moe.cast %g to @ : tensor<67x45xbf16>
    %y = moe.add %c, %z : tensor<67x45x@>, tensor<67x45x@>
    %b = moe.cast %y to bf16 : tensor<67x45x@>
    moe.yield %b : tensor<67x45xbf16>)"},
    {"matmulOfTransposes", "matmul", "%a: tensor<33x67x@>, %b: tensor<33x45x@>", "tensor<67x45x@>", R"(
    %t = moe.transpose %a [1, 0] : tensor<33x67x@>
    %u = moe.transpose %b [1, 0] : tensor<33x45x@>
    %s = moe.matmul %t, %u : tensor<67x33x@>, tensor<45x33x@>
    moe.yield %s : tensor<67x45x@>)"},
    {"matmulOfATranspose", "matmul", "%a: tensor<67x32x@>, %w: tensor<32x44x@>", "tensor<67x44x@>", R"(
    %t = moe.transpose %w [1, 0] : tensor<32x44x@>
    %s = moe.matmul %a, %t : tensor<67x32x@>, tensor<44x32x@>
    moe.yield %s : tensor<67x44x@>)"},
    {"gateOfOneBlock", "gate", "%x: tensor<37x24x@>, %w: tensor<6x24x@>", "tensor<37x2x@>, !moe.routing<6 experts, \"37\" tokens, 2 choices>", R"(
    %s = moe.matmul %x, %w : tensor<37x24x@>, tensor<6x24x@>
    %v, %i = moe.select %s k 2 : tensor<37x6x@>
    %p = moe.softmax %v : tensor<37x2x@>
    %r = moe.assign %i experts 6 token_major capacity "9" : tensor<37x2xi32>
    moe.yield %p, %r : tensor<37x2x@>, !moe.routing<6 experts, "37" tokens, 2 choices>)"},
    {"gateOfManyBlocks", "gate", "%x: tensor<37x24x@>, %w: tensor<6x24x@>", "tensor<37x2x@>, !moe.routing<6 experts, \"37\" tokens, 2 choices>", R"(
    %s = moe.matmul %x, %w : tensor<37x24x@>, tensor<6x24x@>
    %p = moe.softmax %s : tensor<37x6x@>
    %v, %i = moe.select %p k 2 : tensor<37x6x@>
    %u = moe.random uniform "gate.policy" : tensor<37x2x@>
    %k = moe.compare lt %u, %v : tensor<37x2x@>, tensor<37x2x@>
    %a = moe.assign %i experts 6 choice_major capacity "9" : tensor<37x2xi32>
    %r = moe.drop %a, %k : !moe.routing<6 experts, "37" tokens, 2 choices>, tensor<37x2xi1>
    moe.yield %v, %r : tensor<37x2x@>, !moe.routing<6 experts, "37" tokens, 2 choices>)",
     64, "one_block_rows", 1},
    {"gateOfIndices", "gate", "%i: tensor<700x2xi32>", "!moe.routing<5 experts, \"700\" tokens, 2 choices>", R"(
    %a = moe.assign %i experts 5 token_major : tensor<700x2xi32>
    moe.yield %a : !moe.routing<5 experts, "700" tokens, 2 choices>)",
     64, "one_block_rows", 1},
    {"gateThatTakesARoutingApart", "gate", "%r: " MOEC_ROUTING,
     "!moe.routing<2 experts, \"29\" tokens, 2 choices>, !moe.routing<3 experts, \"29\" tokens, 2 choices>", R"(
    %a = moe.experts_of %r from 0 count 2 : )" MOEC_ROUTING R"(
    %b = moe.experts_of %r from 2 count 3 : )" MOEC_ROUTING R"(
    moe.yield %a, %b : !moe.routing<2 experts, "29" tokens, 2 choices>, !moe.routing<3 experts, "29" tokens, 2 choices>)"},
    {"gateOfGroups", "gate", "%i: tensor<700x2xi32>, %k: tensor<700x2xi1>", "!moe.routing<5 experts, \"700\" tokens, 2 choices>", R"(
    %a = moe.assign %i keep %k : tensor<700x2xi1> experts 5 choice_major capacity "40" groups "7" : tensor<700x2xi32>
    moe.yield %a : !moe.routing<5 experts, "700" tokens, 2 choices>)"},
    {"gateWithin", "gate", "%s: tensor<58x6x@>, %w: tensor<29x2x@>, %r: " MOEC_ROUTING, "tensor<58x2x@>, !moe.routing<30 experts, \"58\" tokens, 2 choices>",
     R"(
    %p = moe.softmax %s : tensor<58x6x@>
    %v, %i = moe.select %p k 2 : tensor<58x6x@>
    %m = moe.row_weights %w, %r : tensor<29x2x@>, )" MOEC_ROUTING R"(
    %k = moe.compare gt %v, %m : tensor<58x2x@>, tensor<58x1x@>
    %a = moe.assign %i keep %k : tensor<58x2xi1> within %r : )" MOEC_ROUTING R"( experts 30 choice_major capacity "3" : tensor<58x2xi32>
    moe.yield %v, %a : tensor<58x2x@>, !moe.routing<30 experts, "58" tokens, 2 choices>)"},
    {"expertMidOfTransposedWeights", "expert_mid", "%x: tensor<58x51x@>, %r: " MOEC_ROUTING ", %w: tensor<5x51x24x@>", "tensor<58x24x@>", R"(
    %t = moe.transpose %w [0, 2, 1] : tensor<5x51x24x@>
    %s = moe.grouped_matmul %x, %t, %r : tensor<58x51x@>, tensor<5x24x51x@>, )" MOEC_ROUTING R"(
    moe.yield %s : tensor<58x24x@>)"},
    {"expertUp", "expert_up", "%x: tensor<29x24x@>, %r: " MOEC_ROUTING ", %w: tensor<5x51x24x@>, %b: tensor<5x51x@>", "tensor<58x51x@>", R"(
    %d = moe.dispatch %x, %r : tensor<29x24x@>, )" MOEC_ROUTING R"(
    %s = moe.grouped_matmul %d, %w, %r : tensor<58x24x@>, tensor<5x51x24x@>, )" MOEC_ROUTING R"(
    %e = moe.expert_rows %b, %r : tensor<5x51x@>, )" MOEC_ROUTING R"(
    %t = moe.add %s, %e : tensor<58x51x@>, tensor<58x51x@>
    %y = moe.gelu %t : tensor<58x51x@>
    moe.yield %y : tensor<58x51x@>)"},
    {"expertMid", "expert_mid", "%x: tensor<58x33x@>, %r: " MOEC_ROUTING ", %w: tensor<5x16x33x@>, %z: tensor<58x16x@>", "tensor<58x16x@>", R"(
    %s = moe.grouped_matmul %x, %w, %r : tensor<58x33x@>, tensor<5x16x33x@>, )" MOEC_ROUTING R"(
    %a = moe.silu %s : tensor<58x16x@>
    %y = moe.mul %a, %z : tensor<58x16x@>, tensor<58x16x@>
    moe.yield %y : tensor<58x16x@>)"},
    {"expertDown", "expert_down",
     "%x: tensor<58x40x@>, %r: " MOEC_ROUTING ", %w: tensor<5x21x40x@>, %b: tensor<5x21x@>, %c: tensor<29x2x@>, %z: tensor<29x21x@>", "tensor<29x21x@>", R"(
    %s = moe.grouped_matmul %x, %w, %r : tensor<58x40x@>, tensor<5x21x40x@>, )" MOEC_ROUTING R"(
    %e = moe.expert_rows %b, %r : tensor<5x21x@>, )" MOEC_ROUTING R"(
    %t = moe.add %s, %e : tensor<58x21x@>, tensor<58x21x@>
    %o = moe.combine %t, %r, %c : tensor<58x21x@>, )" MOEC_ROUTING R"(, tensor<29x2x@>
    %y = moe.add %o, %z : tensor<29x21x@>, tensor<29x21x@>
    moe.yield %y : tensor<29x21x@>)"},
    {"layer", "moe_layer", "%x: tensor<29x24x@>, %g: tensor<5x24x@>, %w: tensor<5x51x24x@>, %b: tensor<5x51x@>, %u: tensor<5x24x51x@>, %z: tensor<29x24x@>",
     "tensor<29x24x@>", R"(
    %s = moe.matmul %x, %g : tensor<29x24x@>, tensor<5x24x@>
    %v, %i = moe.select %s k 2 : tensor<29x5x@>
    %p = moe.softmax %v : tensor<29x2x@>
    %r = moe.assign %i experts 5 token_major capacity "9" : tensor<29x2xi32>
    %d = moe.dispatch %x, %r : tensor<29x24x@>, )" MOEC_ROUTING R"(
    %h = moe.grouped_matmul %d, %w, %r : tensor<58x24x@>, tensor<5x51x24x@>, )" MOEC_ROUTING R"(
    %e = moe.expert_rows %b, %r : tensor<5x51x@>, )" MOEC_ROUTING R"(
    %t = moe.add %h, %e : tensor<58x51x@>, tensor<58x51x@>
    %a = moe.gelu %t : tensor<58x51x@>
    %o = moe.grouped_matmul %a, %u, %r : tensor<58x51x@>, tensor<5x24x51x@>, )" MOEC_ROUTING R"(
    %c = moe.combine %o, %r, %p : tensor<58x24x@>, )" MOEC_ROUTING R"(, tensor<29x2x@>
    %y = moe.add %c, %z : tensor<29x24x@>, tensor<29x24x@>
    moe.yield %y : tensor<29x24x@>)"},
    {"attention", "attention", "%x: tensor<2x65x96x@>", "tensor<2x65x32x@>", R"(
    %q = moe.slice %x axis 2 from "0" size "32" : tensor<2x65x96x@>
    %k = moe.slice %x axis 2 from "32" size "32" : tensor<2x65x96x@>
    %v = moe.slice %x axis 2 from "64" size "32" : tensor<2x65x96x@>
    %y = moe.attention %q, %k, %v heads 2 scale 2.5e-1 causal : tensor<2x65x32x@>, tensor<2x65x32x@>, tensor<2x65x32x@>
    moe.yield %y : tensor<2x65x32x@>)",
     81},
    {"attentionOfBfloat16", "attention", "%q: tensor<1x9x40xbf16>, %k: tensor<1x70x40xbf16>, %v: tensor<1x70x40xbf16>", "tensor<1x9x40xbf16>", R"(
    %y = moe.attention %q, %k, %v heads 2 scale 3.0e-1 : tensor<1x9x40xbf16>, tensor<1x70x40xbf16>, tensor<1x70x40xbf16>
    moe.yield %y : tensor<1x9x40xbf16>)",
     83},
    {"attentionOfOddHeads", "attention", "%q: tensor<1x9x39x@>, %k: tensor<1x70x39x@>, %v: tensor<1x70x39x@>", "tensor<1x9x39x@>", R"(
    %y = moe.attention %q, %k, %v heads 3 scale 3.0e-1 : tensor<1x9x39x@>, tensor<1x70x39x@>, tensor<1x70x39x@>
    moe.yield %y : tensor<1x9x39x@>)",
     83},
    {"attentionGrad", "attention_grad", "%d: tensor<2x33x32x@>, %x: tensor<2x33x96x@>", "tensor<2x33x32x@>, tensor<2x33x32x@>, tensor<2x33x32x@>", R"(
    %q = moe.slice %x axis 2 from "0" size "32" : tensor<2x33x96x@>
    %k = moe.slice %x axis 2 from "32" size "32" : tensor<2x33x96x@>
    %v = moe.slice %x axis 2 from "64" size "32" : tensor<2x33x96x@>
    %a, %b, %c = moe.attention_grad %d, %q, %k, %v heads 2 scale 2.5e-1 causal : tensor<2x33x32x@>, tensor<2x33x32x@>, tensor<2x33x32x@>, tensor<2x33x32x@>
    moe.yield %a, %b, %c : tensor<2x33x32x@>, tensor<2x33x32x@>, tensor<2x33x32x@>)",
     81},
    {"attentionWithABias", "attention", "%q: tensor<1x9x48x@>, %k: tensor<1x70x24x@>, %v: tensor<1x70x24x@>, %b: tensor<4x9x70x@>", "tensor<1x9x48x@>", R"(
    %y = moe.attention %q, %k, %v bias %b : tensor<4x9x70x@> heads 4 kv_heads 2 scale 3.0e-1 : tensor<1x9x48x@>, tensor<1x70x24x@>, tensor<1x70x24x@>
    moe.yield %y : tensor<1x9x48x@>)",
     82},
    {"cachedAttention", "cached_attention", "%x: tensor<2x9x96x@>, %a: tensor<2x70x32x@>, %b: tensor<2x70x32x@>, %p: tensor<i64>", "tensor<2x9x32x@>", R"(
    %q = moe.slice %x axis 2 from "0" size "32" : tensor<2x9x96x@>
    %k = moe.slice %x axis 2 from "32" size "32" : tensor<2x9x96x@>
    %v = moe.slice %x axis 2 from "64" size "32" : tensor<2x9x96x@>
    %y = moe.cached_attention %q, %k, %v behind %a, %b at %p heads 2 scale 2.5e-1 : tensor<2x9x32x@>, tensor<2x9x32x@>, tensor<2x9x32x@>, tensor<2x70x32x@>, tensor<2x70x32x@>, tensor<i64>
    moe.yield %y : tensor<2x9x32x@>)",
     29},
    {"cachedAttentionOfOneToken", "cached_attention",
     "%q: tensor<2x1x48x@>, %k: tensor<2x1x24x@>, %a: tensor<2x70x24x@>, %p: tensor<i64>, %b: tensor<1x1x70x@>", "tensor<2x1x48x@>", R"(
    %y = moe.cached_attention %q, %k, %k behind %a, %a at %p bias %b : tensor<1x1x70x@> heads 4 kv_heads 2 scale 3.0e-1 : tensor<2x1x48x@>, tensor<2x1x24x@>, tensor<2x1x24x@>, tensor<2x70x24x@>, tensor<2x70x24x@>, tensor<i64>
    moe.yield %y : tensor<2x1x48x@>)",
     17},
    {"append", "append", "%a: tensor<2x9x24x@>, %b: tensor<2x9x24x@>, %x: tensor<2x5x50x@>, %k: tensor<2x5x24x@>, %p: tensor<i64>",
     "tensor<2x9x24x@>, tensor<2x9x24x@>", R"(
    %s = moe.slice %x axis 2 from "24" size "24" : tensor<2x5x50x@>
    %y = moe.append %a, %s at %p : tensor<2x9x24x@>, tensor<2x5x24x@>, tensor<i64>
    %z = moe.append %b, %k at %p : tensor<2x9x24x@>, tensor<2x5x24x@>, tensor<i64>
    moe.yield %y, %z : tensor<2x9x24x@>, tensor<2x9x24x@>)"},
    {"attentionWithDropout", "attention", "%q: tensor<2x9x24x@>, %k: tensor<2x40x24x@>", "tensor<2x9x24x@>", R"(
    %d = moe.random uniform "a.dropout" : tensor<2x2x9x40x@>
    %y = moe.attention %q, %k, %k draws %d : tensor<2x2x9x40x@> dropout 2.5e-1 heads 2 scale 3.0e-1 causal : tensor<2x9x24x@>, tensor<2x40x24x@>, tensor<2x40x24x@>
    moe.yield %y : tensor<2x9x24x@>)",
     52},
    {"attentionGradWithDropout", "attention_grad", "%e: tensor<1x33x16x@>, %x: tensor<1x33x16x@>", "tensor<1x33x16x@>, tensor<1x33x16x@>, tensor<1x33x16x@>",
     R"(
    %d = moe.random uniform "a.dropout" : tensor<1x2x33x33x@>
    %a, %b, %c = moe.attention_grad %e, %x, %x, %x draws %d : tensor<1x2x33x33x@> dropout 2.5e-1 heads 2 scale 2.5e-1 : tensor<1x33x16x@>, tensor<1x33x16x@>, tensor<1x33x16x@>, tensor<1x33x16x@>
    moe.yield %a, %b, %c : tensor<1x33x16x@>, tensor<1x33x16x@>, tensor<1x33x16x@>)",
     49},
};

constexpr int64_t kRows = 58;

/// Numbers 0 .. 4, by draws.
std::vector<int32_t> indices(int64_t count) {
  std::vector<int32_t> numbers;
  for (int64_t i = 0; i < count; ++i)
    numbers.push_back(static_cast<int32_t>(draw(5, 1, 0, static_cast<uint64_t>(i))[0] % 5));
  return numbers;
}

/// A seventh of the rows is dropped, expert 3 stays empty.
Tensor sampleRouting() {
  std::vector<int32_t> experts = indices(kRows);
  for (size_t row = 0; row < experts.size(); ++row)
    experts[row] = row % 7 == 3 ? -1 : experts[row] == 3 ? 1 : experts[row];
  return routingTensor(experts, 5, 2);
}

bool hasRows(mlir::Type type) {
  auto tensor = mlir::dyn_cast<mlir::RankedTensorType>(type);
  return tensor && tensor.getRank() == 2 && tensor.getDimSize(0) == kRows;
}

Tensor inputOf(mlir::Type type, const Bindings& bindings, uint32_t seed) {
  if (mlir::isa<ir::RoutingType>(type))
    return sampleRouting();
  Shape shape = reference::shapeOf(type, bindings);
  DType dtype = reference::dtypeOf(type);
  if (isFloat(dtype))
    return randomTensor(DType::F64, shape, seed).cast(dtype);
  Tensor counted(DType::U8, shape);
  std::vector<int32_t> numbers = indices(counted.elements());
  for (int32_t& number : numbers)
    number = dtype == DType::Bool ? number % 2 : number;
  return Tensor::of(std::move(numbers), shape).cast(dtype);
}

} // namespace

void PrintTo(const SampleKernel& sample, std::ostream* out) { *out << sample.name; }

std::span<const SampleKernel> sampleKernels() { return kSamples; }

ParsedKernel parseSample(const SampleKernel& sample, DType type, CudaOptions& options) {
  auto typed = [&](const char* text) { return std::regex_replace(text, std::regex("@"), std::string(name(type))); };
  ParsedKernel kernel = parseKernel(sample.kind, typed(sample.arguments), typed(sample.results), typed(sample.body));
  options.check.bindings = {{"t", 19}, {"d", 337}};
  options.check.terms = sample.terms;
  for (auto [i, input] : llvm::enumerate(kernel.op.getInputs().getTypes())) {
    options.check.inputs.push_back(inputOf(input, options.check.bindings, 17 + static_cast<uint32_t>(i)));
    if (hasRows(input))
      options.raggedInputs.push_back(static_cast<unsigned>(i));
  }
  for (auto [i, output] : llvm::enumerate(kernel.op.getOutputs().getTypes())) {
    if (std::string_view(sample.kind) == "append") // its other rows are those of the state
      options.inPlace.emplace_back(static_cast<unsigned>(i), static_cast<unsigned>(i));
    if (hasRows(output))
      options.raggedOutputs.push_back(static_cast<unsigned>(i));
  }
  options.kept = sampleRouting().as<int32_t>()[5];
  if (sample.field)
    reschedule(kernel.op, sample.field, sample.value, options.target);
  return kernel;
}

} // namespace moec::testing
