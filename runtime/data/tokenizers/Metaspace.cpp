#include "runtime/data/tokenizers/Metaspace.h"

namespace moec::data {

Metaspace readMetaspace(const JsonPlace& json) {
  json.onlyKeys({"type", "replacement", "add_prefix_space", "prepend_scheme", "split", "str_rep"});
  Metaspace result;
  json.at("replacement").character();
  result.replacement = json.at("replacement").string();
  result.split = json.booleanOr("split", true);
  auto scheme = json.find("prepend_scheme");
  if (scheme) {
    const std::string& word = scheme->string();
    if (word != "always" && word != "first" && word != "never")
      scheme->fail(fmt::format("unknown scheme \"{}\"; known are always, first, never", word));
    result.prepend = word == "always" ? Metaspace::Always : word == "first" ? Metaspace::First : Metaspace::Never;
  }
  if (auto add = json.find("add_prefix_space"); add && !add->boolean()) {
    if (scheme && result.prepend != Metaspace::Never)
      add->fail("false, but prepend_scheme says another thing");
    result.prepend = Metaspace::Never;
  }
  return result;
}

} // namespace moec::data
