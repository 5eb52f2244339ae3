# Writes OUT: the .cuh files of FOLDER as string literals, for codegen/cuda/SkeletonTexts.h.
# cmake -DFOLDER= -DOUT= -P EmbedSkeletons.cmake
file(GLOB files ${FOLDER}/*.cuh)
list(SORT files)
set(entries "")
foreach(file IN LISTS files)
  get_filename_component(name ${file} NAME)
  file(READ ${file} text)
  string(REGEX MATCHALL "#include \"[^\"]+\"" lines "${text}")
  set(includes "")
  foreach(line IN LISTS lines)
    string(REGEX REPLACE "#include (\"[^\"]+\")" "\\1, " include "${line}")
    string(APPEND includes "${include}")
  endforeach()
  string(REGEX REPLACE "#include \"[^\"]+\"[^\n]*\n" "" text "${text}")
  string(REPLACE "#pragma once\n" "" text "${text}")
  string(APPEND entries "      {\"${name}\", {${includes}}, R\"CUDA(${text})CUDA\"},\n")
endforeach()
file(WRITE ${OUT} "#include \"codegen/cuda/SkeletonTexts.h\"

namespace moec::codegen::cuda {

std::span<const SkeletonFile> skeletonFiles() {
  static const std::vector<SkeletonFile> files = {
${entries}  };
  return files;
}

} // namespace moec::codegen::cuda
")
