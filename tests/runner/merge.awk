# awk -v reports=FOLDER -v out=FILE -f merge.awk CTEST_JUNIT: ctest's report with each batch's cases in the place of the batch, into FILE; then the line "N passed, N failed[, N skipped]", behind a line for
# each case that failed. A batch whose report is missing or breaks off, and one that failed though no case did, counts as one that failed. Ends with 1 when anything failed or nothing ran.
function count(line) {
  tests++
  if (line ~ / status="fail"/) { failed++; names = names "failed: " attribute(line, "name") "\n" }
  else if (line ~ / status="(notrun|disabled)"/) skipped++
}
function attribute(line, name) { return match(line, " " name "=\"[^\"]*\"") ? substr(line, RSTART + length(name) + 3, RLENGTH - length(name) - 4) : "" }

# Takes a batch's cases over; whether that tells all of it.
function take(name, status,   file, line, text, before, read, whole) {
  file = reports "/" name ".xml"
  before = failed
  while ((getline line < file) > 0) {
    if (line ~ /^<!-- all [0-9]+ cases -->$/) { split(line, words, " "); whole = words[3] == read + 0; continue }
    if (line ~ /^\t<testcase /) { count(line); read++ }
    text = text line "\n"
  }
  close(file)
  cases = cases text
  return whole && (status != "fail" || failed > before)
}

/<testcase / {
  name = attribute($0, "name")
  batch = name ~ /^batch\./
  within = 1
  element = ""
}
within { element = element $0 "\n" }
within && (/<\/testcase>/ || /<testcase [^>]*\/>/) {
  within = 0
  head = substr(element, 1, index(element, "\n") - 1)
  if (batch && take(name, attribute(head, "status"))) next
  if (batch && head !~ / status="fail"/) { # its report is not whole: ctest could not know
    sub(/ status="[a-z]*"/, " status=\"fail\"", element)
    head = substr(element, 1, index(element, "\n") - 1)
  }
  count(head)
  cases = cases element
}
END {
  printf "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"moec\" tests=\"%d\" failures=\"%d\" disabled=\"0\" skipped=\"%d\">\n%s</testsuite>\n", tests, failed, skipped, cases > out
  close(out)
  printf "%s%d passed, %d failed", names, tests - failed - skipped, failed
  if (skipped) printf ", %d skipped", skipped
  print ""
  exit tests == 0 || failed > 0
}
