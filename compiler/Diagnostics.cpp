#include "compiler/Diagnostics.h"

#include "codegen/Limits.h"

using namespace mlir;

namespace moec::compiler {

namespace {

/// "model.json:12:18" of a location, or the file when it holds none.
std::string placeOf(Location location, const std::filesystem::path& file) {
  if (auto name = dyn_cast<NameLoc>(location))
    return placeOf(name.getChildLoc(), file);
  if (auto place = dyn_cast<FileLineColLoc>(location))
    return place.getFilename().str() + ":" + std::to_string(place.getLine()) + ":" + std::to_string(place.getColumn());
  if (auto fused = dyn_cast<FusedLoc>(location))
    for (Location part : fused.getLocations())
      if (std::string place = placeOf(part, file); place != file.string())
        return place;
  return file.string();
}

const char* wordOf(DiagnosticSeverity severity) {
  switch (severity) {
  case DiagnosticSeverity::Note:
    return "note";
  case DiagnosticSeverity::Warning:
    return "warning";
  case DiagnosticSeverity::Error:
    return "error";
  case DiagnosticSeverity::Remark:
    return "remark";
  }
  return "error";
}

} // namespace

ContextDiagnostics::ContextDiagnostics(MLIRContext& context, std::filesystem::path file, std::string moefy)
    : moefy_(std::move(moefy)), handler_(&context, [this, file = std::move(file)](Diagnostic& diagnostic) {
        auto line = [&](Diagnostic& one) {
          std::string path = ir::pathOf(one.getLocation());
          lines_.push_back(placeOf(one.getLocation(), file) + ": " + wordOf(one.getSeverity()) + ": " + (path.empty() ? "" : "in '" + path + "': ") +
                           one.str());
        };
        beyondTarget_ |= codegen::isBeyondTarget(diagnostic);
        line(diagnostic);
        for (Diagnostic& note : diagnostic.getNotes())
          line(note);
        return success();
      }) {}

void ContextDiagnostics::fail(Fault fault, const std::string& otherwise) {
  bool isOfRule = [&] {
    for (const auto& entry : model_.entries())
      if (entry.position != models::Position{})
        return false;
    return !moefy_.empty() && model_.hasErrors();
  }();
  if (isOfRule) {
    std::string text;
    for (const auto& entry : model_.entries())
      text += (text.empty() ? "--moefy " + moefy_ + ": " : "\n") + entry.message;
    throw Error(Fault::Usage, text);
  }
  std::string text = model_.text();
  if (!text.empty() || beyondTarget_)
    fault = Fault::Model;
  for (const std::string& line : lines_)
    text += (text.empty() ? "" : "\n") + line;
  throw Error(fault, text.empty() ? otherwise : text);
}

} // namespace moec::compiler
