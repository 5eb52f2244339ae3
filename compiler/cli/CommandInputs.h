#pragma once
// What a session is fed from the command line: weights and inputs from files, or generated ones for `check`.

#include "compiler/cli/CommonOptions.h"
#include "runtime/Session.h"

namespace moec::cli {

/// What --weights, --input, --draws and --replay tell before there is a program: a compilation is not waited for where a file cannot be read, or is of
/// another kind. Error(Data), and Error(Usage) for an --input without a name or a file.
void checkSourceFiles(const CommonOptions& options);

/// --weights or --init. Error(Usage) that says what to give when there is neither and the program has parameters.
void loadWeights(Session& session, const CommonOptions& options);

/// --save-weights, where it is given.
void saveInitialWeights(const Plan& plan, const CommonOptions& options);

/// --input, --draws and --replay. Error(Usage) for an unknown name (with the nearest), a name twice, an input that is missing, or
/// --draws or --replay for a program compiled without.
TensorMap readInputs(const Plan& plan, const CommonOptions& options);

/// What a session's call asks of its inputs, asked of those that came from files: Error(Data).
void checkInputs(const Plan& plan, const TensorMap& inputs);

/// Inputs without files, for every input but those of the loss (which a plan for training needs) and those that a training gives itself: normal draws for
/// floats, uniform ones below the input's range (2 when it has none) for integers, uniform in [0, 1) for draws turned into inputs. A function of the plan, the
/// sizes and the seed. Error(Usage) for sizes that the model refuses, with the flag that gives it others.
TensorMap generatedInputs(const Plan& plan, const Bindings& sizes, uint64_t seed);

/// Every symbol in the inputs' shapes: from `given`, else the model's check size, else 2. Error(Usage) for a name in
/// `given` that is no symbol.
Bindings checkSizes(const Plan& plan, const Bindings& given);

} // namespace moec::cli
