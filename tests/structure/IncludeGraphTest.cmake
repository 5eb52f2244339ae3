# The include check finds planted violations, names file and header, and lets pass what may be.
# cmake -DSOURCE=<repository> -DSCRATCH=<folder> -P IncludeGraphTest.cmake
cmake_minimum_required(VERSION 3.25)

# A tree of one file with one include; `expected` is what the output must match, or empty when the include is fine.
function(plant file include expected)
  file(REMOVE_RECURSE ${SCRATCH})
  file(WRITE ${SCRATCH}/${file} "#pragma once\n#include ${include}\n")
  execute_process(COMMAND ${CMAKE_COMMAND} -DROOT=${SCRATCH} -P ${SOURCE}/cmake/CheckIncludes.cmake
                  RESULT_VARIABLE code OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(expected STREQUAL "")
    if(NOT code EQUAL 0)
      message(SEND_ERROR "${file} may include ${include}, but the check says:\n${output}")
    endif()
  elseif(code EQUAL 0 OR NOT output MATCHES "${expected}")
    message(SEND_ERROR "${file} including ${include} must fail with '${expected}'; exit ${code}, output:\n${output}")
  endif()
endfunction()

plant(runtime/core/A.h "\"ir/dialect/Dialect.h\"" "runtime/core/A.h: includes ir/dialect/Dialect.h")
plant(runtime/core/A.h "\"runtime/device/Device.h\"" "runtime/core/ may include only")
plant(runtime/device/A.h "<llvm/ADT/StringRef.h>" "knows neither MLIR nor LLVM")
plant(runtime/io/A.cpp "\"compiler/Compiler.h\"" "runtime/ may include only")
plant(ir/ops/A.cpp "\"runtime/Session.h\"" "ir/ may include only")
plant(ir/reference/A.cpp "\"mlir/IR/Value.h\"" "knows neither MLIR nor LLVM")
plant(models/gates/A.cpp "\"models/experts/Mlp.h\"" "and never: models/experts")
plant(models/experts/A.cpp "\"models/gates/TopK.h\"" "and never: models/gates")
plant(models/blocks/A.cpp "\"codegen/KernelEmitter.h\"" "models/ may include only")
plant(codegen/cpu/A.cpp "\"codegen/cuda/Emitter.h\"" "and never: codegen/cuda")
plant(codegen/cpu/A.cpp "\"../cuda/Emitter.h\"" "from the repository's root")
plant(compiler/passes/A.cpp "\"compiler/cli/RunCommand.h\"" "and never: compiler/cli")
plant(compiler/cli/A.cpp "\"compiler/Compiler.h\"" "compiler/cli/ may include only")
plant(compiler/cli/A.cpp "\"models/Model.h\"" "compiler/cli/ may include only")

plant(runtime/device/A.h "\"runtime/core/Plan.h\"" "")
plant(models/blocks/A.cpp "\"models/gates/Gate.h\"" "")
plant(compiler/A.cpp "\"codegen/cpu/Emitter.h\"" "")
plant(compiler/A.cpp "<mlir/IR/Value.h>" "")
plant(compiler/cli/A.cpp "\"models/json/Reader.h\"" "")
