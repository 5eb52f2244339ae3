// The dialect `moe`: its attributes and types.

#ifndef MOE_DIALECT_TD
#define MOE_DIALECT_TD

include "mlir/IR/OpBase.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/EnumAttr.td"
include "mlir/IR/BuiltinTypeInterfaces.td"
include "mlir/IR/TensorEncoding.td"

def Moe_Dialect : Dialect {
  let name = "moe";
  let cppNamespace = "::moec::ir";
  let summary = "Mixture-of-Experts models on tensors";
  let description = [{
    A model is a module with `moe.parameter` symbols and functions (@forward, later @prepare, @loss ...) over ranked tensors.
    Module attributes: `moe.name` (string), `moe.check` (dictionary of symbol -> integer: the model's small sizes).
    Argument attributes of @forward: `moe.input` (string), `moe.photo` (dictionary resize, mean, std), `moe.below` (integer: ids lie in [0, below)), `moe.except` (integer: or are this one),
    `moe.for_loss` (unit), `moe.draw` (unit). Result attributes: `moe.output` (string).
    Every op's location is a NameLoc: the path in the model ("layers.0.moe"), around the place in the model file.
  }];
  let useDefaultAttributePrinterParser = 1;
  let useDefaultTypePrinterParser = 1;
  let dependentDialects = [];
}

class Moe_Attr<string name, string attrMnemonic, list<Trait> traits = []> : AttrDef<Moe_Dialect, name, traits> {
  let mnemonic = attrMnemonic;
}

def Moe_SizesAttr : Moe_Attr<"Sizes", "sizes", [DeclareAttrInterfaceMethods<VerifiableTensorEncoding>]> {
  let summary = "sizes of a tensor's dimensions, as expressions over symbols";
  let description = [{
    The encoding of every tensor type that has a dynamic dimension: one canonical size text (runtime/core/Size.h) per dimension. A dimension is
    dynamic exactly when its size is not a constant: `tensor<?x65x32xf32, #moe.sizes<"batch", "65", "32">>`.
  }];
  let parameters = (ins ArrayRefParameter<"::mlir::StringAttr">:$dims);
  let assemblyFormat = "`<` $dims `>`";
  let genVerifyDecl = 1;
}

def Moe_InitAttr : Moe_Attr<"Init", "init"> {
  let summary = "how a parameter is filled without weights";
  let description = [{ `kind` is one of zeros, ones, constant, uniform, normal, truncated_normal, orthogonal; a and b as in runtime/core/Plan.h (Init). }];
  let parameters = (ins "::mlir::StringAttr":$kind, "::mlir::FloatAttr":$a, "::mlir::FloatAttr":$b);
  let assemblyFormat = "`<` $kind `,` $a `,` $b `>`";
  let genVerifyDecl = 1;
}

def Moe_RoutingType : TypeDef<Moe_Dialect, "Routing"> {
  let mnemonic = "routing";
  let summary = "who goes to which expert";
  let description = [{
    For each of `experts`, an ordered list of rows; a row is one (token, choice) of `tokens` x `choices`. Rows in no list were dropped.
    In memory it is a RoutingLayout (runtime/core/KernelAbi.h). `tokens` is a canonical size text, and so is `bound`: how many rows the lists have
    at most, and so ragged tensors have; without it, tokens x choices.
  }];
  let parameters = (ins "int64_t":$experts, "::mlir::StringAttr":$tokens, "int64_t":$choices, OptionalParameter<"::mlir::StringAttr">:$bound);
  let builders = [TypeBuilder<(ins "int64_t":$experts, "::mlir::StringAttr":$tokens, "int64_t":$choices), [{
    return $_get($_ctxt, experts, tokens, choices, ::mlir::StringAttr());
  }]>];
  let assemblyFormat = "`<` $experts `experts` `,` $tokens `tokens` `,` $choices `choices` (`,` $bound^ `rows`)? `>`";
  let genVerifyDecl = 1;
}

#endif // MOE_DIALECT_TD
