#pragma once
// The stage of a gate that makes a routing: rows enter their experts one by one, since the order is the meaning. Knows
// what the routing is made from as addresses; knows no scores.

#include "codegen/analysis/GatePlan.h"
#include "codegen/cpu/KernelBuilder.h"

namespace moec::codegen::cpu {

/// Where a whole tensor or a routing lies. Asked for within a stage.
using Base = std::function<Value()>;

/// Writes chain.routing to `routing`. `baseOf`: of the values that it is made from.
void writeAssignStage(KernelBuilder& k, const RoutingChain& chain, const Base& routing, const std::function<Base(mlir::Value)>& baseOf);

} // namespace moec::codegen::cpu
