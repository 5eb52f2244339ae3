# cmake -DFOLDER= -DOUT= -P: the schemas of docs/schemas as a table of texts, by the name of the command.
file(GLOB schemas ${FOLDER}/*.json)
list(SORT schemas)
set(rows "")
foreach(schema IN LISTS schemas)
  get_filename_component(name ${schema} NAME_WE)
  file(READ ${schema} text)
  string(APPEND rows "    {\"${name}\", R\"json(${text})json\"},\n")
endforeach()
file(WRITE ${OUT} "// Made by cmake/EmbedSchemas.cmake.

#include \"compiler/cli/Schemas.h\"

namespace moec::cli {

const std::map<std::string, std::string>& schemas() {
  static const std::map<std::string, std::string> texts{
${rows}  };
  return texts;
}

} // namespace moec::cli
")
