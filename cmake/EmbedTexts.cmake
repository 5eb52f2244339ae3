# cmake -DFOLDER= -DNAMES=a.b,c.d -DHEADER= -DNAMESPACE= -DPREFIX= -DOUT= -P: files as texts of a C++ file, named PREFIX and the file's name with its ending: page.css of prefix k is kPageCss.
string(REPLACE "," ";" NAMES "${NAMES}")
set(texts "")
foreach(file IN LISTS NAMES)
  string(REGEX MATCHALL "[A-Za-z0-9]+" words "${file}")
  set(name "${PREFIX}")
  foreach(word IN LISTS words)
    string(SUBSTRING ${word} 0 1 first)
    string(SUBSTRING ${word} 1 -1 rest)
    string(TOUPPER ${first} first)
    string(APPEND name ${first}${rest})
  endforeach()
  file(READ ${FOLDER}/${file} text)
  string(APPEND texts "const std::string_view ${name} = R\"moectext(${text})moectext\";\n")
endforeach()
file(WRITE ${OUT} "// Made by cmake/EmbedTexts.cmake.

#include \"${HEADER}\"

namespace ${NAMESPACE} {

${texts}
} // namespace ${NAMESPACE}
")
