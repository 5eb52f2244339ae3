// The ops of the dialect `moe`. Their constraints are numbered in docs/SPEC.md; verifiers repeat the numbers.
// T tokens, D model width, H hidden width, E experts, K choices per token, R = T*K rows, or the bound of a routing that has one.

#ifndef MOE_OPS_TD
#define MOE_OPS_TD

include "ir/dialect/MoeDialect.td"
include "mlir/IR/OpAsmInterface.td"
include "mlir/IR/RegionKindInterface.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

class Moe_Op<string mnemonic, list<Trait> traits = []> : Op<Moe_Dialect, mnemonic, traits>;

// An op that computes: no side effects. inferReturnTypes checks its constraints and gives its result types; the verifier calls it again and
// compares.
class Moe_ComputeOp<string mnemonic, list<Trait> traits = []> : Moe_Op<mnemonic, !listconcat(traits, [Pure, InferTypeOpAdaptor])>;

def Moe_Elementwise : NativeOpTrait<"ElementwiseOp"> { let cppNamespace = "::moec::ir"; }

def Moe_Tensor : Type<CPred<"::moec::ir::isModelTensor($_self)">,
    "ranked tensor of f64, f32, bf16, i64, i32, ui8 or i1 whose dynamic sizes are in #moe.sizes (tensor C1)", "::mlir::RankedTensorType">;
def Moe_Routing : Type<CPred<"::llvm::isa<::moec::ir::RoutingType>($_self)">, "a !moe.routing (routing C3)", "::moec::ir::RoutingType">;
def Moe_Value : AnyTypeOf<[Moe_Tensor, Moe_Routing]>;

//===--- state ---===//

def Moe_ParameterOp : Moe_Op<"parameter", [Symbol]> {
  let summary = "a weight of the model";
  let description = [{ With `sign_rate`, a step takes that much times the sign of the gradient from each number, whatever the optimizer. }];
  let arguments = (ins SymbolNameAttr:$sym_name, TypeAttrOf<Moe_Tensor>:$type, Moe_InitAttr:$init, OptionalAttr<F64Attr>:$sign_rate);
  let builders = [OpBuilder<(ins "::mlir::StringAttr":$sym_name, "::mlir::TypeAttr":$type, "InitAttr":$init), [{
    build($_builder, $_state, sym_name, type, init, ::mlir::FloatAttr());
  }]>];
  let assemblyFormat = "$sym_name `:` $type `init` $init (`sign_rate` $sign_rate^)? attr-dict";
  let hasVerifier = 1;
}
def Moe_PreparedOp : Moe_Op<"prepared", [Symbol]> {
  let summary = "state that @prepare computes from parameters, once per set of weights";
  let arguments = (ins SymbolNameAttr:$sym_name, TypeAttrOf<Moe_Tensor>:$type);
  let assemblyFormat = "$sym_name `:` $type attr-dict";
  let hasVerifier = 1;
}
def Moe_StateOp : Moe_Op<"state", [DeclareOpInterfaceMethods<SymbolUserOpInterface>, Symbol]> {
  let summary = "what steps of training carry on besides the parameters: gradients that add up, an optimizer's moments";
  let description = [{ With `from`, it begins as that parameter's numbers, in its own dtype, whenever those are set; its init is then the parameter's. }];
  let arguments = (ins SymbolNameAttr:$sym_name, TypeAttrOf<Moe_Tensor>:$type, Moe_InitAttr:$init, OptionalAttr<FlatSymbolRefAttr>:$from);
  let assemblyFormat = "$sym_name `:` $type `init` $init (`from` $from^)? attr-dict";
  let hasVerifier = 1;
}
def Moe_ReadOp : Moe_Op<"read", [DeclareOpInterfaceMethods<SymbolUserOpInterface>, MemoryEffects<[MemRead]>]> {
  let summary = "the value that a parameter, a state or prepared state has when the function begins";
  let arguments = (ins FlatSymbolRefAttr:$state);
  let results = (outs Moe_Tensor:$result);
  let assemblyFormat = "$state `:` type($result) attr-dict";
}
def Moe_WriteOp : Moe_Op<"write", [DeclareOpInterfaceMethods<SymbolUserOpInterface>, MemoryEffects<[MemWrite]>]> {
  let summary = "the value that prepared state (in @prepare), a parameter or a state (in a step of training) has when the function has ended";
  let arguments = (ins FlatSymbolRefAttr:$state, Moe_Tensor:$value);
  let assemblyFormat = "$state `,` $value `:` type($value) attr-dict";
}

//===--- elementwise: operands broadcast as NumPy's do (aligned from the last dimension), one dtype ---===//

class Moe_UnaryOp<string mnemonic> : Moe_ComputeOp<mnemonic, [Moe_Elementwise]> {
  let arguments = (ins Moe_Tensor:$x);
  let results = (outs Moe_Tensor:$result);
  let assemblyFormat = "$x `:` type($x) attr-dict";
}
// Elementwise kinds print their operand type; the result's is inferred.
def Moe_NegOp : Moe_UnaryOp<"neg">;
def Moe_DetachOp : Moe_UnaryOp<"detach"> { let summary = "x, through which no gradient flows"; }
def Moe_ExpOp : Moe_UnaryOp<"exp">;
def Moe_LogOp : Moe_UnaryOp<"log">;
def Moe_SqrtOp : Moe_UnaryOp<"sqrt">;
def Moe_TanhOp : Moe_UnaryOp<"tanh">;
def Moe_SigmoidOp : Moe_UnaryOp<"sigmoid">;
def Moe_SoftplusOp : Moe_UnaryOp<"softplus"> { let summary = "log(1 + exp(x))"; }
def Moe_ReluOp : Moe_UnaryOp<"relu">;
def Moe_ErfOp : Moe_UnaryOp<"erf">;
def Moe_GeluOp : Moe_UnaryOp<"gelu"> { let summary = "x/2 (1 + erf(x / sqrt 2))"; }
def Moe_GeluTanhOp : Moe_UnaryOp<"gelu_tanh"> { let summary = "x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))"; }
def Moe_SiluOp : Moe_UnaryOp<"silu"> { let summary = "x sigmoid(x)"; }
def Moe_GeluGradOp : Moe_UnaryOp<"gelu_grad"> { let summary = "the derivative of gelu at x"; }
def Moe_GeluTanhGradOp : Moe_UnaryOp<"gelu_tanh_grad"> { let summary = "the derivative of gelu_tanh at x"; }
def Moe_LeakyReluOp : Moe_UnaryOp<"leaky_relu"> {
  let arguments = (ins Moe_Tensor:$x, F64Attr:$slope);
  let assemblyFormat = "$x `slope` $slope `:` type($x) attr-dict";
}
def Moe_EluOp : Moe_UnaryOp<"elu"> {
  let arguments = (ins Moe_Tensor:$x, F64Attr:$alpha);
  let assemblyFormat = "$x `alpha` $alpha `:` type($x) attr-dict";
}

class Moe_BinaryOp<string mnemonic> : Moe_ComputeOp<mnemonic, [Moe_Elementwise]> {
  let arguments = (ins Moe_Tensor:$a, Moe_Tensor:$b);
  let results = (outs Moe_Tensor:$result);
  let assemblyFormat = "$a `,` $b `:` type($a) `,` type($b) attr-dict";
}
def Moe_AddOp : Moe_BinaryOp<"add">;
def Moe_SubOp : Moe_BinaryOp<"sub">;
def Moe_MulOp : Moe_BinaryOp<"mul">;
def Moe_DivOp : Moe_BinaryOp<"div">;
def Moe_MinOp : Moe_BinaryOp<"min">;
def Moe_MaxOp : Moe_BinaryOp<"max">;

def Moe_Predicate : I32EnumAttr<"Predicate", "a comparison", [
    I32EnumAttrCase<"EQ", 0, "eq">, I32EnumAttrCase<"NE", 1, "ne">, I32EnumAttrCase<"LT", 2, "lt">,
    I32EnumAttrCase<"LE", 3, "le">, I32EnumAttrCase<"GT", 4, "gt">, I32EnumAttrCase<"GE", 5, "ge">]> {
  let cppNamespace = "::moec::ir";
  let genSpecializedAttr = 0;
}
def Moe_PredicateAttr : EnumAttr<Moe_Dialect, Moe_Predicate, "predicate">;

def Moe_CompareOp : Moe_ComputeOp<"compare", [Moe_Elementwise]> {
  let summary = "i1 tensor of a comparison; any comparison with NaN but ne is false";
  let arguments = (ins Moe_PredicateAttr:$predicate, Moe_Tensor:$a, Moe_Tensor:$b);
  let results = (outs Moe_Tensor:$result);
  let assemblyFormat = "$predicate $a `,` $b `:` type($a) `,` type($b) attr-dict";
}
def Moe_WhereOp : Moe_ComputeOp<"where", [Moe_Elementwise]> {
  let summary = "a where the condition holds, else b; what is not chosen is not looked at, be it NaN";
  let arguments = (ins Moe_Tensor:$condition, Moe_Tensor:$a, Moe_Tensor:$b);
  let results = (outs Moe_Tensor:$result);
  let assemblyFormat = "$condition `,` $a `,` $b `:` type($condition) `,` type($a) `,` type($b) attr-dict";
}
def Moe_CastOp : Moe_ComputeOp<"cast", [Moe_Elementwise]> {
  let summary = "elements as another dtype: float to float rounds to nearest even, i1 and integers to float, floats to i32 towards zero";
  let arguments = (ins Moe_Tensor:$x, TypeAttr:$to);
  let results = (outs Moe_Tensor:$result);
  let assemblyFormat = "$x `to` $to `:` type($x) attr-dict";
}
def Moe_ConstantOp : Moe_ComputeOp<"constant"> {
  let summary = "a small constant; static shape";
  let arguments = (ins ElementsAttr:$value);
  let results = (outs Moe_Tensor:$result);
  let assemblyFormat = "$value attr-dict";
}
def Moe_SizeOp : Moe_ComputeOp<"size"> {
  let summary = "a size as a number: []; `value` is a size text";
  let arguments = (ins StrAttr:$value, TypeAttr:$to);
  let results = (outs Moe_Tensor:$result);
  let assemblyFormat = "$value `to` $to attr-dict";
}

//===--- shape ---===//

def Moe_ReshapeOp : Moe_Op<"reshape", [Pure]> {
  let summary = "the same elements in order, in another shape; the element counts agree as sizes";
  let arguments = (ins Moe_Tensor:$x);
  let results = (outs Moe_Tensor:$result);
  let assemblyFormat = "$x `:` type($x) `->` type($result) attr-dict";
  let hasVerifier = 1;
}
def Moe_TransposeOp : Moe_ComputeOp<"transpose"> {
  let summary = "result dimension i is x's dimension permutation[i]";
  let arguments = (ins Moe_Tensor:$x, DenseI64ArrayAttr:$permutation);
  let results = (outs Moe_Tensor:$result);
  let assemblyFormat = "$x $permutation `:` type($x) attr-dict";
}
def Moe_SliceOp : Moe_ComputeOp<"slice"> {
  let summary = "elements [start, start + size) of one axis; start and size are size texts";
  let arguments = (ins Moe_Tensor:$x, I64Attr:$axis, StrAttr:$start, StrAttr:$size);
  let results = (outs Moe_Tensor:$result);
  let assemblyFormat = "$x `axis` $axis `from` $start `size` $size `:` type($x) attr-dict";
}
def Moe_SliceAtOp : Moe_ComputeOp<"slice_at"> {
  let summary = "rows [position, position + size) of x (rows, ..); position is an i64 [] known at run time, size a size text";
  let arguments = (ins Moe_Tensor:$x, Moe_Tensor:$position, StrAttr:$size);
  let results = (outs Moe_Tensor:$result);
  let assemblyFormat = "$x `at` $position `size` $size `:` type($x) `,` type($position) attr-dict";
}
def Moe_ConcatOp : Moe_ComputeOp<"concat"> {
  let arguments = (ins Variadic<Moe_Tensor>:$xs, I64Attr:$axis);
  let results = (outs Moe_Tensor:$result);
  let assemblyFormat = "$xs `axis` $axis `:` type($xs) attr-dict";
}
def Moe_BroadcastOp : Moe_Op<"broadcast", [Pure]> {
  let summary = "x repeated to the result's shape, by NumPy's rule";
  let arguments = (ins Moe_Tensor:$x);
  let results = (outs Moe_Tensor:$result);
  let assemblyFormat = "$x `:` type($x) `->` type($result) attr-dict";
  let hasVerifier = 1;
}
def Moe_ReduceKind : I32EnumAttr<"ReduceKind", "a reduction", [
    I32EnumAttrCase<"Sum", 0, "sum">, I32EnumAttrCase<"Mean", 1, "mean">, I32EnumAttrCase<"Max", 2, "max">]> {
  let cppNamespace = "::moec::ir";
  let genSpecializedAttr = 0;
}
def Moe_ReduceKindAttr : EnumAttr<Moe_Dialect, Moe_ReduceKind, "reduce_kind">;
def Moe_ReduceOp : Moe_ComputeOp<"reduce"> {
  let summary = "sum, mean or maximum along one axis, which disappears";
  let arguments = (ins Moe_ReduceKindAttr:$kind, Moe_Tensor:$x, I64Attr:$axis);
  let results = (outs Moe_Tensor:$result);
  let assemblyFormat = "$kind $x `axis` $axis `:` type($x) attr-dict";
}

//===--- layers ---===//

def Moe_MatmulOp : Moe_ComputeOp<"matmul"> {
  let summary = "a (.., M, K) times the transpose of b (.., N, K): (.., M, N)";
  let description = [{ Every matrix of weights is (out, in). When b has rank 2, all leading dimensions of a are rows. Otherwise leading
    dimensions broadcast: a (M, K) with b (E, N, K) gives (E, M, N). }];
  let arguments = (ins Moe_Tensor:$a, Moe_Tensor:$b);
  let results = (outs Moe_Tensor:$result);
  let assemblyFormat = "$a `,` $b `:` type($a) `,` type($b) attr-dict";
}
def Moe_PackOp : Moe_ComputeOp<"pack"> {
  let summary = "w (.., N, K) as panels of nr rows: (.., ceil(N/nr), K, nr), zeros behind N; in pairs: elements 2i and 2i+1 of a row beside each other";
  let arguments = (ins Moe_Tensor:$w, I64Attr:$nr, UnitAttr:$pairs);
  let results = (outs Moe_Tensor:$result);
  let assemblyFormat = "$w `nr` $nr (`pairs` $pairs^)? `:` type($w) attr-dict";
}
def Moe_UnpackOp : Moe_ComputeOp<"unpack"> {
  let summary = "panels (.., ceil(n/nr), K, nr), or such in pairs, as the plain matrix (.., n, K)";
  let arguments = (ins Moe_Tensor:$panels, I64Attr:$n, UnitAttr:$pairs);
  let results = (outs Moe_Tensor:$result);
  let assemblyFormat = "$panels `n` $n (`pairs` $pairs^)? `:` type($panels) attr-dict";
}
def Moe_QuantizeOp : Moe_ComputeOp<"quantize"> {
  let summary = "w (.., N, K) f32 as codes (.., N, K) ui8, signed numbers of a byte, and a bf16 scale for each `group` of the last dimension: (.., N, ceil(K/group))";
  let arguments = (ins Moe_Tensor:$w, I64Attr:$group);
  let results = (outs Moe_Tensor:$codes, Moe_Tensor:$scales);
  let assemblyFormat = "$w `group` $group `:` type($w) attr-dict";
}
def Moe_DequantizeOp : Moe_ComputeOp<"dequantize"> {
  let summary = "each code as a signed number times the scale of its group, f32: (.., N, K)";
  let arguments = (ins Moe_Tensor:$codes, Moe_Tensor:$scales, I64Attr:$group);
  let results = (outs Moe_Tensor:$result);
  let assemblyFormat = "$codes `,` $scales `group` $group `:` type($codes) `,` type($scales) attr-dict";
}
def Moe_LayerNormOp : Moe_ComputeOp<"layer_norm", [AttrSizedOperandSegments]> {
  let summary = "(x - mean) / sqrt(variance + eps) over the last dimension, times weight, plus bias; variance is biased";
  let arguments = (ins Moe_Tensor:$x, Optional<Moe_Tensor>:$weight, Optional<Moe_Tensor>:$bias, F64Attr:$eps);
  let results = (outs Moe_Tensor:$result);
  let assemblyFormat = "$x (`weight` $weight^ `:` type($weight))? (`bias` $bias^ `:` type($bias))? `eps` $eps `of` type($x) attr-dict";
}
def Moe_RmsNormOp : Moe_ComputeOp<"rms_norm"> {
  let summary = "x / sqrt(mean of x^2 + eps) over the last dimension, times weight";
  let arguments = (ins Moe_Tensor:$x, Optional<Moe_Tensor>:$weight, F64Attr:$eps);
  let results = (outs Moe_Tensor:$result);
  let assemblyFormat = "$x (`weight` $weight^ `:` type($weight))? `eps` $eps `of` type($x) attr-dict";
}
def Moe_LayerNormGradOp : Moe_ComputeOp<"layer_norm_grad"> {
  let summary = "the gradient of layer_norm's x, from dy, that of its result";
  let arguments = (ins Moe_Tensor:$dy, Moe_Tensor:$x, Optional<Moe_Tensor>:$weight, F64Attr:$eps);
  let results = (outs Moe_Tensor:$result);
  let assemblyFormat = "$dy `,` $x (`weight` $weight^ `:` type($weight))? `eps` $eps `of` type($dy) `,` type($x) attr-dict";
}
def Moe_RmsNormGradOp : Moe_ComputeOp<"rms_norm_grad"> {
  let summary = "the gradient of rms_norm's x, from dy, that of its result";
  let arguments = (ins Moe_Tensor:$dy, Moe_Tensor:$x, Optional<Moe_Tensor>:$weight, F64Attr:$eps);
  let results = (outs Moe_Tensor:$result);
  let assemblyFormat = "$dy `,` $x (`weight` $weight^ `:` type($weight))? `eps` $eps `of` type($dy) `,` type($x) attr-dict";
}
def Moe_LogSumExpOp : Moe_ComputeOp<"log_sum_exp"> {
  let summary = "log of the sum of exp(x) over the last dimension, which disappears";
  let arguments = (ins Moe_Tensor:$x);
  let results = (outs Moe_Tensor:$result);
  let assemblyFormat = "$x `:` type($x) attr-dict";
}
def Moe_SoftmaxGradOp : Moe_ComputeOp<"softmax_grad"> {
  let summary = "the gradient of softmax's x, from dy and softmax's result y: y (dy - sum of dy y)";
  let arguments = (ins Moe_Tensor:$dy, Moe_Tensor:$y);
  let results = (outs Moe_Tensor:$result);
  let assemblyFormat = "$dy `,` $y `:` type($dy) `,` type($y) attr-dict";
}
def Moe_CrossEntropyOp : Moe_ComputeOp<"cross_entropy"> {
  let summary = "per row of scores (.., V): -log softmax(scores) at its label, mixed with the mean over all V by `smoothing`; 0 where the label is `ignore`";
  let arguments = (ins Moe_Tensor:$scores, Moe_Tensor:$labels, F64Attr:$smoothing, I64Attr:$ignore);
  let results = (outs Moe_Tensor:$result);
  let assemblyFormat = "$scores `,` $labels `smoothing` $smoothing `ignore` $ignore `:` type($scores) `,` type($labels) attr-dict";
}
def Moe_IsTopOp : Moe_ComputeOp<"is_top"> {
  let summary = "per row of scores (.., V): 1 where its label's score is the highest, and the first of equal ones; 0 elsewhere, and where the label is `ignore`";
  let arguments = (ins Moe_Tensor:$scores, Moe_Tensor:$labels, I64Attr:$ignore);
  let results = (outs Moe_Tensor:$result);
  let assemblyFormat = "$scores `,` $labels `ignore` $ignore `:` type($scores) `,` type($labels) attr-dict";
}
def Moe_CrossEntropyGradOp : Moe_ComputeOp<"cross_entropy_grad"> {
  let summary = "the gradient of cross_entropy's scores (.., V), from dy (..), that of its result";
  let arguments = (ins Moe_Tensor:$dy, Moe_Tensor:$scores, Moe_Tensor:$labels, F64Attr:$smoothing, I64Attr:$ignore);
  let results = (outs Moe_Tensor:$result);
  let assemblyFormat = "$dy `,` $scores `,` $labels `smoothing` $smoothing `ignore` $ignore `:` type($dy) `,` type($scores) `,` type($labels) attr-dict";
}
def Moe_SoftmaxOp : Moe_ComputeOp<"softmax"> {
  let summary = "exp(x - max) / sum over the last dimension";
  let arguments = (ins Moe_Tensor:$x);
  let results = (outs Moe_Tensor:$result);
  let assemblyFormat = "$x `:` type($x) attr-dict";
}
def Moe_AttentionOp : Moe_ComputeOp<"attention", [AttrSizedOperandSegments]> {
  let summary = "softmax(scale q k^T + bias) v per head; with draws, what dropout leaves of the softmax times v";
  let description = [{ q (B, Nq, heads*Dh), k and v (B, Nk, kv_heads*Dh) -> (B, Nq, heads*Dh); head h is columns [h*Dh, (h+1)*Dh) of q and reads head
    h / (heads/kv_heads) of k and v. Without `kv_heads` there are as many as heads. `bias` is (heads, Nq, Nk) or (1, Nq, Nk). With `causal`, query i
    sees keys 0 .. i + Nk - Nq. With `draws` (B, heads, Nq, Nk), a weight of the softmax whose draw is below `dropout` becomes 0, the others are divided
    by 1 - dropout; draws of a moe.random are made in the kernel and stand in no memory. }];
  let arguments = (ins Moe_Tensor:$q, Moe_Tensor:$k, Moe_Tensor:$v, Optional<Moe_Tensor>:$bias, Optional<Moe_Tensor>:$draws, I64Attr:$heads,
    OptionalAttr<I64Attr>:$kv_heads, F64Attr:$scale, UnitAttr:$causal, OptionalAttr<F64Attr>:$dropout);
  let results = (outs Moe_Tensor:$result);
  let builders = [OpBuilder<(ins "::mlir::Value":$q, "::mlir::Value":$k, "::mlir::Value":$v, "::mlir::IntegerAttr":$heads, "::mlir::FloatAttr":$scale,
      "::mlir::UnitAttr":$causal), [{
    build($_builder, $_state, q, k, v, ::mlir::Value(), ::mlir::Value(), heads, ::mlir::IntegerAttr(), scale, causal, ::mlir::FloatAttr());
  }]>, OpBuilder<(ins "::mlir::Value":$q, "::mlir::Value":$k, "::mlir::Value":$v, "::mlir::Value":$bias, "::mlir::IntegerAttr":$heads,
      "::mlir::IntegerAttr":$kv_heads, "::mlir::FloatAttr":$scale, "::mlir::UnitAttr":$causal), [{
    build($_builder, $_state, q, k, v, bias, ::mlir::Value(), heads, kv_heads, scale, causal, ::mlir::FloatAttr());
  }]>];
  let assemblyFormat = "$q `,` $k `,` $v (`bias` $bias^ `:` type($bias))? (`draws` $draws^ `:` type($draws) `dropout` $dropout)? `heads` $heads (`kv_heads` $kv_heads^)? `scale` $scale (`causal` $causal^)? `:` type($q) `,` type($k) `,` type($v) attr-dict";
}
def Moe_AttentionGradOp : Moe_ComputeOp<"attention_grad", [AttrSizedOperandSegments]> {
  let summary = "the gradients of attention's q, k, v and bias, from dy, that of its result";
  let description = [{ The probabilities are computed again from q, k and bias, and what dropout left of them from its draws. `dbias` is there exactly with
    a bias, of its shape. }];
  let arguments = (ins Moe_Tensor:$dy, Moe_Tensor:$q, Moe_Tensor:$k, Moe_Tensor:$v, Optional<Moe_Tensor>:$bias, Optional<Moe_Tensor>:$draws, I64Attr:$heads,
    OptionalAttr<I64Attr>:$kv_heads, F64Attr:$scale, UnitAttr:$causal, OptionalAttr<F64Attr>:$dropout);
  let results = (outs Moe_Tensor:$dq, Moe_Tensor:$dk, Moe_Tensor:$dv, Optional<Moe_Tensor>:$dbias);
  let builders = [OpBuilder<(ins "::mlir::Value":$dy, "::mlir::Value":$q, "::mlir::Value":$k, "::mlir::Value":$v, "::mlir::Value":$bias,
      "::mlir::IntegerAttr":$heads, "::mlir::IntegerAttr":$kv_heads, "::mlir::FloatAttr":$scale, "::mlir::UnitAttr":$causal), [{
    build($_builder, $_state, dy, q, k, v, bias, ::mlir::Value(), heads, kv_heads, scale, causal, ::mlir::FloatAttr());
  }]>];
  let assemblyFormat = "$dy `,` $q `,` $k `,` $v (`bias` $bias^ `:` type($bias))? (`draws` $draws^ `:` type($draws) `dropout` $dropout)? `heads` $heads (`kv_heads` $kv_heads^)? `scale` $scale (`causal` $causal^)? `:` type($dy) `,` type($q) `,` type($k) `,` type($v) attr-dict";
}
def Moe_CachedAttentionOp : Moe_ComputeOp<"cached_attention"> {
  let summary = "causal attention of n new tokens to themselves and to the `position` tokens whose keys and values are kept";
  let description = [{ q (B, n, heads*Dh), k and v (B, n, kv_heads*Dh) of the new tokens, keys and values (B, context, kv_heads*Dh), position i64 [] -> (B, n, heads*Dh).
    The new token i stands at position + i and sees rows 0 .. position - 1 of keys and values, then rows 0 .. i of k and v. Heads are as attention's. `bias` is
    (heads, n, context) or (1, n, context), of the token that asks and of the position that it sees. position + n is at most context. }];
  let arguments = (ins Moe_Tensor:$q, Moe_Tensor:$k, Moe_Tensor:$v, Moe_Tensor:$keys, Moe_Tensor:$values, Moe_Tensor:$position, Optional<Moe_Tensor>:$bias,
    I64Attr:$heads, OptionalAttr<I64Attr>:$kv_heads, F64Attr:$scale);
  let results = (outs Moe_Tensor:$result);
  let assemblyFormat = "$q `,` $k `,` $v `behind` $keys `,` $values `at` $position (`bias` $bias^ `:` type($bias))? `heads` $heads (`kv_heads` $kv_heads^)? `scale` $scale `:` type($q) `,` type($k) `,` type($v) `,` type($keys) `,` type($values) `,` type($position) attr-dict";
}
def Moe_AppendOp : Moe_ComputeOp<"append"> {
  let summary = "cache (B, context, W) with the rows (B, n, W) in the place of its rows position .. position + n - 1";
  let description = [{ position is an i64 [], and position + n at most context. Written to the state that the cache was read from, it is done in place. }];
  let arguments = (ins Moe_Tensor:$cache, Moe_Tensor:$rows, Moe_Tensor:$position);
  let results = (outs Moe_Tensor:$result);
  let assemblyFormat = "$cache `,` $rows `at` $position `:` type($cache) `,` type($rows) `,` type($position) attr-dict";
}
def Moe_RelativeBiasOp : Moe_ComputeOp<"relative_bias"> {
  let summary = "table (buckets, heads) as (heads, Nq, Nk): the entry of the bucket in which key and query lie apart";
  let description = [{ Query i stands at position i + Nk - Nq, or i + `position`, where that i64 [] is given; key j at j. T5's buckets (docs/SPEC.md). `queries` and `keys` are size
    texts. }];
  let arguments = (ins Moe_Tensor:$table, Optional<Moe_Tensor>:$position, StrAttr:$queries, StrAttr:$keys, I64Attr:$max_distance, UnitAttr:$bidirectional);
  let results = (outs Moe_Tensor:$result);
  let assemblyFormat = "$table (`at` $position^ `:` type($position))? `queries` $queries `keys` $keys `max_distance` $max_distance (`bidirectional` $bidirectional^)? `:` type($table) attr-dict";
}
def Moe_RelativeBiasGradOp : Moe_ComputeOp<"relative_bias_grad"> {
  let summary = "the gradient of relative_bias's table (buckets, heads), from dy (heads, Nq, Nk): each bucket's sum";
  let arguments = (ins Moe_Tensor:$dy, I64Attr:$buckets, I64Attr:$max_distance, UnitAttr:$bidirectional);
  let results = (outs Moe_Tensor:$result);
  let assemblyFormat = "$dy `buckets` $buckets `max_distance` $max_distance (`bidirectional` $bidirectional^)? `:` type($dy) attr-dict";
}
def Moe_RotaryOp : Moe_ComputeOp<"rotary"> {
  let summary = "pairs of columns of each head, turned by position times base^(-2i/Dh)";
  let description = [{ x (B, N, heads*Dh); row n stands at position n, or n + `position`, where that i64 [] is given. Pair i is columns i and i + Dh/2 of a head; with
    `interleaved`, 2i and 2i + 1. `inverse` turns back. }];
  let arguments = (ins Moe_Tensor:$x, Optional<Moe_Tensor>:$position, I64Attr:$heads, F64Attr:$base, UnitAttr:$interleaved, UnitAttr:$inverse);
  let results = (outs Moe_Tensor:$result);
  let assemblyFormat = "$x (`at` $position^ `:` type($position))? `heads` $heads `base` $base (`interleaved` $interleaved^)? (`inverse` $inverse^)? `:` type($x) attr-dict";
}
def Moe_EmbeddingOp : Moe_ComputeOp<"embedding"> {
  let summary = "rows of table (V, D) at ids (..): (.., D); ids lie in [0, V)";
  let arguments = (ins Moe_Tensor:$ids, Moe_Tensor:$table);
  let results = (outs Moe_Tensor:$result);
  let assemblyFormat = "$ids `,` $table `:` type($ids) `,` type($table) attr-dict";
}
def Moe_EmbeddingGradOp : Moe_ComputeOp<"embedding_grad"> {
  let summary = "the gradient of embedding's table (entries, D), from dy (.., D): of each entry the sum over its ids, in their order";
  let arguments = (ins Moe_Tensor:$ids, Moe_Tensor:$dy, I64Attr:$entries);
  let results = (outs Moe_Tensor:$result);
  let assemblyFormat = "$ids `,` $dy `entries` $entries `:` type($ids) `,` type($dy) attr-dict";
}
def Moe_Distribution : I32EnumAttr<"Distribution", "a distribution", [
    I32EnumAttrCase<"Uniform", 0, "uniform">, I32EnumAttrCase<"Normal", 1, "normal">]> {
  let cppNamespace = "::moec::ir";
  let genSpecializedAttr = 0;
}
def Moe_DistributionAttr : EnumAttr<Moe_Dialect, Moe_Distribution, "distribution">;
def Moe_RandomOp : Moe_Op<"random", [Pure]> {
  let summary = "draws of runtime/core/Philox.h, keyed by the call's seed and step, streamOf(path) and the element's row-major index";
  let arguments = (ins Moe_DistributionAttr:$distribution, StrAttr:$path);
  let results = (outs Moe_Tensor:$result);
  let assemblyFormat = "$distribution $path `:` type($result) attr-dict";
  let hasVerifier = 1;
}

//===--- routing ---===//

def Moe_SelectOp : Moe_ComputeOp<"select"> {
  let summary = "the k largest of each row of scores (T, E), largest first, ties to the lowest index: values (T, k) and i32 indices (T, k)";
  let description = [{ NaN counts as the smallest value. }];
  let arguments = (ins Moe_Tensor:$scores, I64Attr:$k);
  let results = (outs Moe_Tensor:$values, Moe_Tensor:$indices);
  let assemblyFormat = "$scores `k` $k `:` type($scores) attr-dict";
}
def Moe_SelectGradOp : Moe_ComputeOp<"select_grad"> {
  let summary = "the gradient of select's scores (T, E), from dy (T, k), that of its values: each at its index, 0 elsewhere";
  let arguments = (ins Moe_Tensor:$dy, Moe_Tensor:$indices, I64Attr:$experts);
  let results = (outs Moe_Tensor:$result);
  let assemblyFormat = "$dy `,` $indices `experts` $experts `:` type($dy) `,` type($indices) attr-dict";
}
def Moe_TakeOp : Moe_ComputeOp<"take"> {
  let summary = "x (T, E) at each row's indices (T, k) i32: (T, k); 0 at an index of -1";
  let arguments = (ins Moe_Tensor:$x, Moe_Tensor:$indices);
  let results = (outs Moe_Tensor:$result);
  let assemblyFormat = "$x `,` $indices `:` type($x) `,` type($indices) attr-dict";
}
def Moe_Priority : I32EnumAttr<"Priority", "who comes first into an expert", [
    I32EnumAttrCase<"TokenMajor", 0, "token_major">, I32EnumAttrCase<"ChoiceMajor", 1, "choice_major">]> {
  let cppNamespace = "::moec::ir";
  let genSpecializedAttr = 0;
}
def Moe_PriorityAttr : EnumAttr<Moe_Dialect, Moe_Priority, "priority">;
def Moe_PlacesOp : Moe_ComputeOp<"places"> {
  let summary = "for each row, a choice of indices (T, K) i32, how many rows of its expert and group come before it by scores (T, K): (T, K) i32; -1 for what is dropped before";
  let description = [{ Higher scores come first, NaN last, and of equal ones the first in token_major order. With choice_major all first choices come before all second ones.
    `keep` and `groups` are as assign has them. }];
  let arguments = (ins Moe_Tensor:$indices, Moe_Tensor:$scores, Optional<Moe_Tensor>:$keep, I64Attr:$experts, Moe_PriorityAttr:$priority, OptionalAttr<StrAttr>:$groups);
  let results = (outs Moe_Tensor:$result);
  let assemblyFormat = "$indices `,` $scores (`keep` $keep^ `:` type($keep))? `experts` $experts $priority (`groups` $groups^)? `:` type($indices) `,` type($scores) attr-dict";
}
def Moe_SwipeOp : Moe_ComputeOp<"swipe"> {
  let summary = "indices (T, K) i32 so that each of `workers` equal runs of experts gets as many rows as there are in one of as many equal runs of tokens: (T, K) i32";
  let description = [{ Choice by choice, a worker takes rows up to what it has room for, those of the first worker's tokens first; the others go to workers with room, to
    their expert number c modulo (experts/workers) in the c-th choice (docs/SPEC.md). An index of -1 stays, and takes no place. }];
  let arguments = (ins Moe_Tensor:$indices, I64Attr:$experts, I64Attr:$workers);
  let results = (outs Moe_Tensor:$result);
  let assemblyFormat = "$indices `experts` $experts `workers` $workers `:` type($indices) attr-dict";
}
def Moe_AssignOp : Moe_ComputeOp<"assign", [AttrSizedOperandSegments]> {
  let summary = "routing of indices (T, K) i32: rows enter their expert in priority order until `capacity` rows are in it; the rest are dropped";
  let description = [{ token_major: (token 0, choice 0), (token 0, choice 1), ...; choice_major: all first choices, then all second ones. An index
    of -1, or one whose keep (T, K) i1 is false, is dropped before. `capacity` is a size text; without it nobody is dropped. With `bounded`, the routing's type
    says that it has at most experts * groups * capacity rows.
    With `groups` (a size text, G), tokens are G equal runs, as the rows of a batch: capacity is of each expert in each group, and an expert's rows lie
    group by group. With `within` (a routing of Eo experts), token r is the row r of it: its group is that of the row's token, an index counts among the
    experts/Eo experts of the row's own, and rows behind the count of `within` are dropped before. }];
  let arguments = (ins Moe_Tensor:$indices, Optional<Moe_Tensor>:$keep, Optional<Moe_Routing>:$within, I64Attr:$experts, Moe_PriorityAttr:$priority,
    OptionalAttr<StrAttr>:$capacity, OptionalAttr<StrAttr>:$groups, UnitAttr:$bounded);
  let results = (outs Moe_Routing:$routing);
  let builders = [OpBuilder<(ins "::mlir::Value":$indices, "::mlir::IntegerAttr":$experts, "PriorityAttr":$priority, "::mlir::StringAttr":$capacity), [{
    build($_builder, $_state, indices, ::mlir::Value(), ::mlir::Value(), experts, priority, capacity, ::mlir::StringAttr(), ::mlir::UnitAttr());
  }]>];
  let assemblyFormat = "$indices (`keep` $keep^ `:` type($keep))? (`within` $within^ `:` type($within))? `experts` $experts $priority (`capacity` $capacity^)? (`groups` $groups^)? (`bounded` $bounded^)? `:` type($indices) attr-dict";
}
def Moe_DropOp : Moe_ComputeOp<"drop"> {
  let summary = "routing without the rows whose keep (T, K) i1 is false; the places of the others close up in order";
  let arguments = (ins Moe_Routing:$routing, Moe_Tensor:$keep);
  let results = (outs Moe_Routing:$result);
  let assemblyFormat = "$routing `,` $keep `:` type($routing) `,` type($keep) attr-dict";
}
def Moe_ExpertsOfOp : Moe_ComputeOp<"experts_of"> {
  let summary = "routing with only the experts [from, from + count), which count from 0";
  let arguments = (ins Moe_Routing:$routing, I64Attr:$from, I64Attr:$count);
  let results = (outs Moe_Routing:$result);
  let assemblyFormat = "$routing `from` $from `count` $count `:` type($routing) attr-dict";
}
def Moe_ExpertCountsOp : Moe_ComputeOp<"expert_counts"> {
  let summary = "how many rows each expert has: (E) of i32";
  let arguments = (ins Moe_Routing:$routing);
  let results = (outs Moe_Tensor:$result);
  let assemblyFormat = "$routing `:` type($routing) attr-dict";
}
def Moe_DispatchOp : Moe_ComputeOp<"dispatch"> {
  let summary = "x (T, D) as rows (R, D) grouped by expert; rows behind the routing's count are undefined";
  let arguments = (ins Moe_Tensor:$x, Moe_Routing:$routing);
  let results = (outs Moe_Tensor:$result);
  let assemblyFormat = "$x `,` $routing `:` type($x) `,` type($routing) attr-dict";
}
def Moe_GroupedMatmulOp : Moe_ComputeOp<"grouped_matmul"> {
  let summary = "rows (R, K) times the transpose of their expert's w (E, N, K): (R, N)";
  let arguments = (ins Moe_Tensor:$rows, Moe_Tensor:$w, Moe_Routing:$routing);
  let results = (outs Moe_Tensor:$result);
  let assemblyFormat = "$rows `,` $w `,` $routing `:` type($rows) `,` type($w) `,` type($routing) attr-dict";
}
def Moe_ExpertRowsOp : Moe_ComputeOp<"expert_rows"> {
  let summary = "table (E, N) as (R, N): each row holds its expert's entry";
  let arguments = (ins Moe_Tensor:$table, Moe_Routing:$routing);
  let results = (outs Moe_Tensor:$result);
  let assemblyFormat = "$table `,` $routing `:` type($table) `,` type($routing) attr-dict";
}
def Moe_RowWeightsOp : Moe_ComputeOp<"row_weights"> {
  let summary = "weights (T, K) as (R, 1): each row holds its choice's; rows behind the routing's count hold 0";
  let arguments = (ins Moe_Tensor:$weights, Moe_Routing:$routing);
  let results = (outs Moe_Tensor:$result);
  let assemblyFormat = "$weights `,` $routing `:` type($weights) `,` type($routing) attr-dict";
}
def Moe_ChoiceValuesOp : Moe_ComputeOp<"choice_values"> {
  let summary = "column (R, 1) as (T, K): each choice holds its row's, a dropped one 0; the inverse of row_weights";
  let arguments = (ins Moe_Tensor:$column, Moe_Routing:$routing);
  let results = (outs Moe_Tensor:$result);
  let assemblyFormat = "$column `,` $routing `:` type($column) `,` type($routing) attr-dict";
}
def Moe_ExpertSumsOp : Moe_ComputeOp<"expert_sums"> {
  let summary = "rows (R, N) as (E, N): of each expert the sum of its rows, in their order; the gradient of expert_rows' table";
  let arguments = (ins Moe_Tensor:$rows, Moe_Routing:$routing);
  let results = (outs Moe_Tensor:$result);
  let assemblyFormat = "$rows `,` $routing `:` type($rows) `,` type($routing) attr-dict";
}
def Moe_GroupedWeightGradOp : Moe_ComputeOp<"grouped_weight_grad"> {
  let summary = "the gradient of grouped_matmul's w (E, N, K), from dy (R, N) and rows (R, K): per expert the sum over its rows of dy[r, n] rows[r, k]";
  let arguments = (ins Moe_Tensor:$dy, Moe_Tensor:$rows, Moe_Routing:$routing);
  let results = (outs Moe_Tensor:$result);
  let assemblyFormat = "$dy `,` $rows `,` $routing `:` type($dy) `,` type($rows) `,` type($routing) attr-dict";
}
def Moe_CombineOp : Moe_ComputeOp<"combine"> {
  let summary = "result (T, D): for each token, the sum over its kept choices, in choice order, of weights (T, K) times its row of rows (R, D)";
  let arguments = (ins Moe_Tensor:$rows, Moe_Routing:$routing, Moe_Tensor:$weights);
  let results = (outs Moe_Tensor:$result);
  let assemblyFormat = "$rows `,` $routing `,` $weights `:` type($rows) `,` type($routing) `,` type($weights) attr-dict";
}

//===--- kernels ---===//

def Moe_YieldOp : Moe_Op<"yield", [Pure, Terminator, HasParent<"KernelOp">]> {
  let arguments = (ins Variadic<Moe_Value>:$values);
  let assemblyFormat = "($values^ `:` type($values))? attr-dict";
}
def Moe_KernelOp : Moe_Op<"kernel", [IsolatedFromAbove, SingleBlock, Pure]> {
  let summary = "ops that become one launch; the region is its meaning";
  let description = [{
    `kind` says which emitter writes it, and what its region may hold (the compiler's verifier after `fuse` checks it):
    - matmul: [weights, or transpose and slice along axis 0,] matmul, then elementwise ops of the product's shape (bias, activation, residual) and random of it; other operands are
      arguments that broadcast. Beside it sums of arguments' rows: reduce sum along axis 0 of a matrix.
    - rows: every value is rows (.., n) with the same leading dimensions, or an argument that broadcasts over rows, or a scalar per row: elementwise,
      layer_norm, rms_norm, softmax and their gradients, log_sum_exp, cross_entropy and its gradient, is_top, select and its gradient, take, random, constant, size,
      reduce and slice along the last axis; dispatch, expert_rows, expert_counts, row_weights, choice_values and combine of arguments. Results may be sums over
      all rows: reduce sum along axis 0 of a value that is reshaped to a matrix. A routing that no op reads bounds the rows: those behind its count are left out.
    - loops: each element of the results is computed from the arguments by itself: elementwise, reshape, transpose, slice, slice_at, concat, broadcast, embedding,
      reduce, random, constant, size, relative_bias, rotary.
    - attention: slices along the last axis of one argument or of several, random, attention.
    - cached_attention: the same with cached_attention.
    - append: slices along the last axis of arguments, append to arguments: of several states as many results. Each lies in its argument's memory.
    - attention_grad: slices of arguments, random, attention_grad; a concat of its gradients along the last axis.
    - weight_grad: grouped_weight_grad of arguments, then elementwise ops of its shape; beside it expert_sums of arguments.
    - weight_update: what matmul and weight_grad hold to make the gradient of a weight; behind it what `update` holds for that weight, and sums over all elements of what
      is made elementwise of the gradient (reshape to one dimension, reduce sum).
    - sums: one of embedding_grad, relative_bias_grad, expert_sums, of arguments, then elementwise ops of its shape.
    - totals: sums and means over all elements of tensors, whose terms are made of arguments elementwise; then elementwise ops on these numbers. Results are
      numbers.
    - update: for each of some tensors, elementwise ops whose operands are arguments of its shape, or scalars. A result may lie in the memory of an argument
      that is read for results of the same tensor, and for no others.
    - gate: [unpack,] matmul of x (T, D), ops of `rows` over T, select, assign, drop, experts_of.
    - places: one places of arguments.
    - swipe: one swipe of an argument.
    - expert_up: dispatch, [weights or transpose,] grouped_matmul, expert_rows, elementwise, random.
    - expert_mid: the same without dispatch.
    - expert_down: [weights or transpose,] grouped_matmul, expert_rows, elementwise, combine, then elementwise ops of the result's shape.
    - moe_layer: what gate, expert_up, expert_mid and expert_down hold, of one layer.
    - layer_grad: dispatch of arguments, row_weights, one [weights or transpose,] grouped_matmul of dispatched rows, expert_rows, elementwise ops on rows; of
      these rows grouped_weight_grad, expert_sums, and sums over their columns.
    - pack: pack of one argument, of its transpose, or of rows of it (slice along axis 0); or of the cast of an argument of f32 to bf16; or of the codes and the scales of its quantize.
    Weights are unpack of an argument, and behind it cast or dequantize where they are converted.
    `label` is the path in the model. `schedule` is complete after the phase of that name. `reason` says why the fusion ends there.
  }];
  let arguments = (ins Variadic<Moe_Value>:$inputs, StrAttr:$kind, StrAttr:$label, OptionalAttr<StrAttr>:$reason, OptionalAttr<DictionaryAttr>:$schedule);
  let results = (outs Variadic<Moe_Value>:$outputs);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "$kind $label `(` $inputs `)` `:` functional-type($inputs, $outputs) (`reason` $reason^)? (`schedule` $schedule^)? attr-dict-with-keyword $body";
  let hasVerifier = 1;
}

#endif // MOE_OPS_TD
