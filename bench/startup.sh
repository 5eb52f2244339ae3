#!/bin/sh
# Sizes of the libraries, stripped, and how long whole processes take from start to end: the median of 30, after three that are not counted.
#   bench/startup.sh [BUILD FOLDER]          default: build, made by ./moecw build all
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
build=$(CDPATH='' cd -- "${1:-$root/build}" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export XDG_CACHE_HOME="$scratch/cache"
export MOEC_TUNING=off

echo "sizes, stripped"
for library in libmoec_runtime.so libmoec_emulator.so libmoec_compiler.so; do
  [ -e "$build/lib/$library" ] || continue
  strip -o "$scratch/stripped" "$build/lib/$library"
  echo "$library $(stat -c %s "$scratch/stripped")" | awk '{ printf "  %-22s %6.2f MiB\n", $1, $2 / 1048576 }'
done

# A command whose words count only when it fails.
quietly() { "$@" >"$scratch/out" 2>&1 || { cat "$scratch/out" >&2; exit 1; }; }

# took NAME COMMAND...
took() {
  name=$1
  shift
  for i in 1 2 3; do quietly "$@"; done
  : >"$scratch/times"
  i=0
  while [ $i -lt 30 ]; do
    before=$(date +%s%N)
    "$@" >"$scratch/out" 2>&1
    after=$(date +%s%N)
    echo $((after - before)) >>"$scratch/times"
    i=$((i + 1))
  done
  sort -n "$scratch/times" | awk -v name="$name" '{ t[NR] = $1 / 1e6 } END { printf "  %-52s %6.1f ms (%.1f to %.1f)\n", name, (t[15] + t[16]) / 2, t[1], t[30] }'
}

model=$root/models/zoo/vit-moe.json
program=$scratch/vit-moe.moec
photo=$root/examples/photo.png
moec=$build/bin/moec
quietly "$moec" compile "$model" -o "$program"
quietly "$moec" run "$model" --init 0 --input "image=$photo"
echo "a whole process, median of 30 (fastest to slowest)"
took "moec --version" "$moec" --version
took "moec run vit-moe.moec" "$moec" run "$program" --init 0 --input "image=$photo"
took "moec run vit-moe.json, from the cache" "$moec" run "$model" --init 0 --input "image=$photo"

# A program that embeds the runtime: the example, built as its reader would.
quietly cmake --install "$build" --prefix "$scratch/moec"
quietly cmake -G Ninja -S "$root/examples/embed-cpp" -B "$scratch/embed" "-DCMAKE_PREFIX_PATH=$scratch/moec" -DCMAKE_BUILD_TYPE=Release
quietly cmake --build "$scratch/embed"
took "embed-cpp vit-moe.moec" "$scratch/embed/embed-cpp" "$program" "$photo"
