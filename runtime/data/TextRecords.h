#pragma once
// A text as the records that a model of tokens takes.

#include "runtime/core/Plan.h"
#include "runtime/data/OpenData.h"
#include "runtime/data/Sources.h"

#include <string>
#include <string_view>
#include <vector>

namespace moec::data {

/// Tokens of a record, by what the model's inputs of ids ask for: their sizes, where those are numbers; else `asked`, or, with 0, the largest that the rules
/// allow for the symbol, 256 at most (128 where no rule is about it alone). `second`: of an input whose size is another than the first's (an encoder and a
/// decoder); 0 where there is none. Error(Usage) for sizes that contradict `asked`, or for more than the rules allow.
struct Windows {
  int64_t first = 0, second = 0;
  int64_t tokens() const { return first + second; }
};
Windows windowsFor(const std::vector<InputInfo>& inputs, const std::vector<SizeRule>& rules, int64_t asked);

/// Fields "tokens" and "targets". With one window the targets are the tokens one place further on; with two they are what continues the tokens. Of what is
/// learnt from, windows begin `stride` tokens apart; 0: one behind the other, as those held out always stand, so that each token is judged once. `share` of the
/// tokens, the last ones, are held out: no window crosses. Error(Data) for a part that is shorter than a window.
Parts textRecords(const std::vector<int64_t>& tokens, int64_t vocabulary, const Windows& windows, int64_t stride, double share, const std::string& name);

} // namespace moec::data
