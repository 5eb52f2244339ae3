# An installed header: cmake -DROOT=<source folder> -DOUT=<moec.h> -DTITLE=<text> "-DHEADERS=runtime/core/DType.h ..." -P PublicHeader.cmake
# writes the headers behind each other. Each may include only those before it, and those of the standard library. -DBEHIND=moec.h "-DKNOWN=runtime/core/DType.h ...": includes that installed header,
# which has the headers of KNOWN.
cmake_minimum_required(VERSION 3.25)

separate_arguments(HEADERS)
set(standard "")
set(body "")
separate_arguments(KNOWN)
set(done ${KNOWN})
set(behind "")
if(BEHIND)
  set(behind "#include \"${BEHIND}\"\n\n")
endif()
foreach(header IN LISTS HEADERS)
  file(READ ${ROOT}/${header} text)
  string(REGEX MATCHALL "#include \"[^\"]+\"" ours "${text}")
  foreach(line IN LISTS ours)
    string(REGEX REPLACE "#include \"([^\"]+)\"" "\\1" name "${line}")
    if(NOT name IN_LIST done)
      message(FATAL_ERROR "${header} includes ${name}, which does not stand before it in the public header")
    endif()
  endforeach()
  string(REGEX MATCHALL "#include <[^>]+>" theirs "${text}")
  list(APPEND standard ${theirs})
  string(REGEX REPLACE "#pragma once\n" "" text "${text}")
  string(REGEX REPLACE "#include [^\n]+\n" "" text "${text}")
  string(REGEX REPLACE "\n\n\n+" "\n\n" text "${text}")
  string(APPEND body "${text}\n")
  list(APPEND done ${header})
endforeach()
list(REMOVE_DUPLICATES standard)
list(SORT standard)
list(JOIN standard "\n" standard)
file(CONFIGURE OUTPUT ${OUT} CONTENT [[#pragma once
// @TITLE@

@behind@@standard@

@body@]] @ONLY)
