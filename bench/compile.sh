#!/bin/sh
# How long compiling takes, as whole processes: with empty caches, with a cache of kernels alone, and from the cache of programs.
#   bench/compile.sh [BUILD FOLDER] [MOEC COMPILE'S WORDS...]     default: build, and models/zoo/vit-moe.json --train
# The median of 7 (empty caches, kernels alone) and of 30 (from the cache), each fastest to slowest; then the phases of one compilation with empty caches.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
build=$(CDPATH='' cd -- "${1:-$root/build}" && pwd)
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- "$root/models/zoo/vit-moe.json" --train
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export XDG_CACHE_HOME="$scratch/cache"
export MOEC_TUNING=off
moec=$build/bin/moec

quietly() { "$@" >"$scratch/out" 2>&1 || { cat "$scratch/out" >&2; exit 1; }; }
nothing() { :; }
all() { rm -rf "$XDG_CACHE_HOME"; }
programs() { rm -rf "$XDG_CACHE_HOME/moec/programs"; }

# took NAME COUNT BEFORE COMMAND...: BEFORE runs before each, and is not counted
took() {
  name=$1 count=$2 before=$3
  shift 3
  : >"$scratch/times"
  i=0
  while [ $i -lt "$count" ]; do
    $before
    start=$(date +%s%N)
    quietly "$@"
    end=$(date +%s%N)
    echo $((end - start)) >>"$scratch/times"
    i=$((i + 1))
  done
  sort -n "$scratch/times" | awk -v name="$name" '{ t[NR] = $1 / 1e6 }
    END { m = NR % 2 ? t[(NR + 1) / 2] : (t[NR / 2] + t[NR / 2 + 1]) / 2; printf "%-24s %8.1f ms (%.1f to %.1f)\n", name, m, t[1], t[NR] }'
}

grep -m1 'model name' /proc/cpuinfo | sed 's/.*: //'
echo "$(nproc) cores, $("$moec" --version), $(date -u +%F)"
echo "moec compile $*"
took "empty caches" 7 all "$moec" compile "$@" -q -o "$scratch/p.moec"
took "cache of kernels" 7 programs "$moec" compile "$@" -q -o "$scratch/p.moec"
took "cache of programs" 30 nothing "$moec" compile "$@" -q -o "$scratch/p.moec"
"$moec" compile "$@" --no-cache --time-phases -q -o "$scratch/p.moec"
