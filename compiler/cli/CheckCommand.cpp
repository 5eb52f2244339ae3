#include "compiler/cli/CallInputs.h"
#include "compiler/cli/Commands.h"
#include "compiler/cli/CommonOptions.h"
#include "compiler/cli/OpenProgram.h"
#include "runtime/Session.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <memory>

namespace moec::cli {

void addCheckCommand(CLI::App& app) { (void)app; }

} // namespace moec::cli
