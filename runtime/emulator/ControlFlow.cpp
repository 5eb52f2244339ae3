// The shape of decoded code: where diverged lanes meet again (immediate post-dominators), and which reads may see an unassigned register.

#include "runtime/emulator/Decoder.h"

#include <algorithm>

namespace moec::emulator {
namespace {

struct Block {
  uint32_t begin, end; // instructions
  std::vector<uint32_t> next, previous;
  bool exits = false; // some lanes may end here
};

bool endsBlock(const Instr& in) { return in.control == Control::Branch || in.control == Control::Exit || in.control == Control::Trap; }

std::vector<Block> blocksOf(const Program& program, std::vector<uint32_t>& blockAt) {
  size_t n = program.code.size();
  std::vector<bool> leader(n + 1, false);
  leader[0] = true;
  for (size_t i = 0; i < n; ++i) {
    const Instr& in = program.code[i];
    if (in.target != kNowhere)
      leader[in.target] = true;
    if (endsBlock(in))
      leader[i + 1] = true;
  }
  std::vector<Block> blocks;
  blockAt.assign(n, 0);
  for (size_t i = 0; i < n; ++i) {
    if (leader[i])
      blocks.push_back({uint32_t(i), uint32_t(i), {}, {}});
    blockAt[i] = uint32_t(blocks.size() - 1);
    blocks.back().end = uint32_t(i + 1);
  }
  for (size_t b = 0; b < blocks.size(); ++b) {
    const Instr& last = program.code[blocks[b].end - 1];
    bool always = last.guard == 0 && last.guardFlip == 0;
    if (last.control == Control::Branch)
      blocks[b].next.push_back(blockAt[last.target]);
    if (last.control == Control::Exit || last.control == Control::Trap)
      blocks[b].exits = true;
    if ((!endsBlock(last) || !always) && b + 1 < blocks.size())
      blocks[b].next.push_back(uint32_t(b + 1));
    if (blocks[b].next.empty())
      blocks[b].exits = true;
  }
  for (size_t b = 0; b < blocks.size(); ++b)
    for (uint32_t to : blocks[b].next)
      blocks[to].previous.push_back(uint32_t(b));
  return blocks;
}

/// Immediate post-dominators by the iteration of Cooper, Harvey and Kennedy over the reversed graph; blocks.size() is the exit.
/// Exits of some lanes do not count as a way out of a block that others leave by a branch: lanes that end need no meeting point.
std::vector<uint32_t> postDominators(const std::vector<Block>& blocks) {
  uint32_t exit = uint32_t(blocks.size());
  std::vector<uint32_t> order, number(exit + 1, kNowhere);
  std::vector<std::pair<uint32_t, size_t>> stack;
  std::vector<std::vector<uint32_t>> into(exit + 1); // predecessors in the forward graph
  for (uint32_t b = 0; b < exit; ++b) {
    for (uint32_t to : blocks[b].next)
      into[to].push_back(b);
    if (blocks[b].next.empty())
      into[exit].push_back(b);
  }
  std::vector<bool> seen(exit + 1, false);
  auto walk = [&](uint32_t root) {
    stack.push_back({root, 0});
    seen[root] = true;
    while (!stack.empty()) {
      auto& [at, i] = stack.back();
      if (i < into[at].size()) {
        uint32_t to = into[at][i++];
        if (!seen[to]) {
          seen[to] = true;
          stack.push_back({to, 0});
        }
      } else {
        order.push_back(at);
        stack.pop_back();
      }
    }
  };
  walk(exit);
  for (uint32_t i = 0; i < order.size(); ++i)
    number[order[i]] = i;
  std::vector<uint32_t> dominator(exit + 1, kNowhere);
  dominator[exit] = exit;
  auto meet = [&](uint32_t a, uint32_t b) {
    while (a != b) {
      while (number[a] < number[b])
        a = dominator[a];
      while (number[b] < number[a])
        b = dominator[b];
    }
    return a;
  };
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t i = order.size(); i-- > 0;) {
      uint32_t b = order[i];
      if (b == exit)
        continue;
      uint32_t found = kNowhere;
      auto consider = [&](uint32_t to) {
        if (dominator[to] != kNowhere)
          found = found == kNowhere ? to : meet(to, found);
      };
      for (uint32_t to : blocks[b].next)
        consider(to);
      if (blocks[b].next.empty())
        consider(exit);
      if (found != dominator[b]) {
        dominator[b] = found;
        changed = true;
      }
    }
  }
  return dominator;
}

} // namespace

void findJoins(Program& program) {
  std::vector<uint32_t> blockAt;
  std::vector<Block> blocks = blocksOf(program, blockAt);
  std::vector<uint32_t> dominators = postDominators(blocks);
  for (Block& block : blocks) {
    Instr& last = program.code[block.end - 1];
    uint32_t join = dominators[blockAt[block.begin]];
    if (last.control != Control::Branch || join == kNowhere || join >= blocks.size())
      continue;
    last.join = blocks[join].begin;
    program.code[last.join].flags |= kMerge;
  }
}

void findUndefinedReads(Program& program) {
  std::vector<uint32_t> blockAt;
  std::vector<Block> blocks = blocksOf(program, blockAt);
  size_t words = (program.registers.size() + 63) / 64;
  using Set = std::vector<uint64_t>;
  std::vector<Set> before(blocks.size(), Set(words, ~0ull)), made(blocks.size(), Set(words, 0));
  before[0].assign(words, 0);
  auto defines = [&](Set& set, uint32_t pc) {
    if (program.code[pc].guard == 0)
      for (uint32_t reg : program.info[pc].writes)
        set[reg / 64] |= 1ull << (reg % 64);
  };
  for (size_t b = 0; b < blocks.size(); ++b)
    for (uint32_t pc = blocks[b].begin; pc < blocks[b].end; ++pc)
      defines(made[b], pc);
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t b = 0; b < blocks.size(); ++b)
      for (uint32_t from : blocks[b].previous)
        for (size_t w = 0; w < words; ++w) {
          uint64_t both = before[b][w] & (before[from][w] | made[from][w]);
          changed |= both != before[b][w];
          before[b][w] = both;
        }
  }
  std::vector<bool> doubtful(program.registers.size(), false);
  for (size_t b = 0; b < blocks.size(); ++b) {
    Set known = before[b];
    for (uint32_t pc = blocks[b].begin; pc < blocks[b].end; ++pc) {
      std::vector<uint32_t> unsure;
      for (uint32_t reg : program.info[pc].reads)
        if (!(known[reg / 64] >> (reg % 64) & 1)) {
          unsure.push_back(reg);
          doubtful[reg] = true;
        }
      if (!unsure.empty())
        program.code[pc].flags |= kCheckReads;
      program.info[pc].reads = unsure; // the others need no look when running
      defines(known, pc);
    }
  }
  for (size_t pc = 0; pc < program.code.size(); ++pc)
    for (uint32_t reg : program.info[pc].writes)
      if (doubtful[reg])
        program.code[pc].flags |= kTrackWrites;
}

} // namespace moec::emulator
