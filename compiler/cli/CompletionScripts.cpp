#include "compiler/cli/Completion.h"

#include "runtime/core/Error.h"

#include <fmt/format.h>

namespace moec::cli {

namespace {

// Bash splits words at the characters of COMP_WORDBREAKS, of which = and : stand inside ours ("image=photo.png",
// "cpu:x86-64-v3"): pieces that touch in the line are put together again, and what bash has split off is taken off the
// candidates.
constexpr const char* kBash = R"sh(# Completion of moec for bash; made by `moec completion bash`.
_moec() {
  local words=() word line=$COMP_LINE i
  for ((i = 0; i <= COMP_CWORD; ++i)); do
    word=${COMP_WORDS[i]}
    if [[ $line == [[:blank:]]* || $i -eq 0 ]]; then
      line=${line#"${line%%[![:blank:]]*}"}
      words+=("$word")
    else
      words[-1]+=$word
    fi
    line=${line#"$word"}
  done
  local whole=${words[-1]} current=${COMP_WORDS[COMP_CWORD]} answer directive candidates=()
  [[ $current == [=:] ]] && current=
  local split=${whole%"$current"}
  mapfile -t answer < <("${words[0]/#\~/$HOME}" __complete "${words[@]:1}" 2>/dev/null)
  directive=${answer[0]}
  for word in "${answer[@]:1}"; do
    word=${word%%$'\t'*}
    [[ $word == "$whole"* ]] && candidates+=("${word#"$split"}")
  done
  COMPREPLY=("${candidates[@]}")
  case $directive in
  :folders)
    compopt -o filenames
    mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -d -- "$current")
    ;;
  :files*)
    compopt -o filenames
    local endings=${directive#:files} found
    endings=${endings# }
    while IFS= read -r found; do
      [[ -z $endings || -d ${found/#\~/$HOME} || " $endings " == *" ${found##*.} "* ]] && COMPREPLY+=("$found")
    done < <(compgen -f -- "$current")
    ;;
  *)
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace
    ;;
  esac
}
complete -F _moec moec
)sh";

constexpr const char* kZsh = R"sh(#compdef moec
# Completion of moec for zsh; made by `moec completion zsh`.
_moec() {
  local -a answer items
  local directive line word description
  answer=("${(@f)$(${(Q)words[1]} __complete "${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
  directive=$answer[1]
  for line in "${(@)answer[2,-1]}"; do
    [[ -n $line ]] || continue
    word=${line%%$'\t'*}
    description=
    [[ $line == *$'\t'* ]] && description=${line#*$'\t'}
    items+=("${word//:/\\:}${description:+:$description}")
  done
  (( $#items )) && _describe 'moec' items
  case $directive in
  :folders)
    compset -P '*='
    _files -/
    ;;
  :files*)
    compset -P '*='
    local -a endings=(${=directive#:files})
    if (( $#endings )); then _files -g "*.(${(j:|:)endings})"; else _files; fi
    ;;
  esac
}
if [[ $funcstack[1] == _moec ]]; then
  _moec "$@"
else
  compdef _moec moec
fi
)sh";

constexpr const char* kFish = R"sh(# Completion of moec for fish; made by `moec completion fish`.
function __moec_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l answer ($words[1] __complete $words[2..-1] "$current" 2>/dev/null)
    for line in $answer[2..-1]
        echo $line
    end
    set -l directive (string split ' ' -- $answer[1])
    set -l head (string match -r '^.*=' -- "$current")
    set -l typed (string replace -r '^.*=' '' -- "$current")
    switch $directive[1]
        case ':folders'
            for path in (__fish_complete_directories "$typed")
                echo "$head$path"
            end
        case ':files'
            set -l endings (string join '|' -- $directive[2..-1])
            for path in (__fish_complete_path "$typed")
                if test -z "$endings"; or string match -qr "(/|\.($endings))(\t|\$)" -- $path
                    echo "$head$path"
                end
            end
    end
end
complete -c moec -f -a '(__moec_complete)'
)sh";

} // namespace

std::string completionScript(const std::string& shell) {
  if (shell == "bash")
    return kBash;
  if (shell == "zsh")
    return kZsh;
  if (shell == "fish")
    return kFish;
  throw Error(Fault::Usage, fmt::format("no completion for the shell \"{}\"; there is one for bash, zsh and fish", shell));
}

} // namespace moec::cli
