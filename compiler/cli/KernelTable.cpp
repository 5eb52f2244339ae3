#include "compiler/cli/KernelTable.h"

#include "compiler/cli/Table.h"

#include <fmt/format.h>

namespace moec::cli {

namespace {

std::string layersText(const KernelSummary& kernel) {
  std::string more = kernel.layers.size() > 1 ? fmt::format(" +{}", kernel.layers.size() - 1) : "";
  return kernel.layers.empty() ? more : kernel.layers[0] + more;
}

std::string spillLine(const std::vector<KernelSummary>& kernels) {
  std::string text;
  for (const KernelSummary& kernel : kernels)
    for (const FunctionSummary& function : kernel.functions)
      if (function.grid.spillBytes > 0)
        text += fmt::format("spills: {} {} of {}, {} a thread ({})\n", kernel.kind, function.name, layersText(kernel),
                            shortBytes(static_cast<double>(function.grid.spillBytes)), kernel.symbol);
  return text.empty() ? "no spills\n" : text;
}

} // namespace

std::string functionTable(const std::vector<KernelSummary>& kernels, const Bindings* sizes) {
  std::vector<std::string> headings{"  kind", "function", "layer", ">launches", ">threads", ">registers", ">spills", ">shared", ">blocks/SM", ">occupancy"};
  if (sizes)
    headings.insert(headings.begin() + 4, ">blocks");
  Table table(headings);
  bool any = false;
  for (const KernelSummary& kernel : kernels)
    for (const FunctionSummary& function : kernel.functions) {
      const GridInfo& grid = function.grid;
      bool isFirst = &function == &kernel.functions[0];
      std::vector<std::string> row{isFirst ? "  " + kernel.kind : "",
                                   function.name,
                                   isFirst ? layersText(kernel) : "",
                                   isFirst ? std::to_string(kernel.launches) : "",
                                   std::to_string(grid.threads),
                                   std::to_string(grid.registers),
                                   shortBytes(static_cast<double>(grid.spillBytes)),
                                   shortBytes(static_cast<double>(grid.sharedBytes)),
                                   std::to_string(grid.blocksPerMultiprocessor),
                                   function.occupancy ? fmt::format("{:.0f}%", *function.occupancy * 100) : "?"};
      if (sizes)
        row.insert(row.begin() + 4, std::to_string(function.blocks.evaluate(*sizes)));
      table.add(std::move(row));
      any = true;
    }
  return any ? table.str() + spillLine(kernels) : "";
}

nlohmann::ordered_json functionJson(const FunctionSummary& function, const Bindings* sizes) {
  const GridInfo& grid = function.grid;
  nlohmann::ordered_json json{{"function", grid.function}};
  if (sizes)
    json["blocks"] = function.blocks.evaluate(*sizes);
  json["threads"] = grid.threads;
  json["registers"] = grid.registers;
  json["spill_bytes"] = grid.spillBytes;
  json["stack_bytes"] = grid.stackBytes;
  json["shared_bytes"] = grid.sharedBytes;
  json["blocks_per_multiprocessor"] = grid.blocksPerMultiprocessor;
  json["occupancy"] = function.occupancy ? nlohmann::ordered_json(*function.occupancy) : nlohmann::ordered_json(nullptr);
  return json;
}

} // namespace moec::cli
