#include "codegen/cuda/GroupRoutingText.h"

namespace moec::codegen::cuda {

GroupRoutingText::GroupRoutingText(KernelText& k, const RoutingChain& chain, unsigned number, int64_t threads, Pointers pointers)
    : k_(k), assign_(chain.assign), pointers_(std::move(pointers)), number_(std::to_string(number)), threads_(threads),
      experts_(static_cast<int64_t>(assign_.getExperts())), offered_(chain.offered()) {
  ir::Sizes sizes = ir::sizesOf(assign_.getIndices()); // (T, K)
  grouped_ = tokens_ = sizes[0];
  choices_ = *sizes[1].constant();
  if (auto groups = assign_.getGroups())
    groups_ = Size::parse(groups->str());
  if (assign_.getWithin()) {
    auto outer = mlir::cast<ir::RoutingType>(assign_.getWithin().getType());
    outerExperts_ = outer.getExperts();
    outerChoices_ = outer.getChoices();
    grouped_ = Size::parse(outer.getTokens().getValue().str());
  }
}

void GroupRoutingText::declare() {
  bool isChoiceMajor = choices_ > 1 && assign_.getPriority() == ir::Priority::ChoiceMajor;
  k_.use("assign_groups.cuh");
  k_.declare(fmt::format("using Shape{} = RoutingShape<{}, {}, /*choice major*/ {}, /*limited*/ {}, /*dropped*/ {}, "
                         "{}>; // what a piece chooses among",
                         number_, offered_, choices_, isChoiceMajor, assign_.getCapacity().has_value(), !pointers_.masks.empty(), threads_));
  k_.declare(fmt::format("using All{} = RoutingShape<{}, {}, false, false, false, {}>;", number_, experts_, choices_, threads_));
  counts_ = k_.addWorkspace(DType::I32, groups_ * Size(experts_));
  totals_ = k_.addWorkspace(DType::I32, experts_);
}

/// Names that the skeleton's functions take: routing, piece, tokens, isMine, expertOf, keeps.
std::string GroupRoutingText::prologue() const {
  ir::AssignOp assign = assign_;
  std::optional<llvm::StringRef> capacity = assign.getCapacity();
  bool isWithin = static_cast<bool>(assign.getWithin()), isGrouped = !(groups_ == Size(1));
  std::string groups = k_.size(groups_), grouped = k_.size(grouped_), allTokens = k_.size(tokens_);
  Lines lines;
  lines.line("const GroupRouting<Shape{0}, All{0}> routing({1}, (int){2}, {3});", number_, pointers_.routing, allTokens,
             capacity ? k_.size(Size::parse(capacity->str())) : "0");
  if (isWithin) {
    lines.line("const GroupPiece piece = pieceWithin<Shape{}>((int)blockIdx.x, {}, (int){});", number_, pointers_.within, groups);
    lines.line("const int tokens = {}[{}];", pointers_.within, outerExperts_);
  } else {
    lines.line("const GroupPiece piece = pieceOfGroup((int)blockIdx.x, (int){}, (int){});", grouped, groups);
    lines.line("const int tokens = (int){};", allTokens);
  }
  if (isWithin && isGrouped) {
    lines.line("const int* outer = {} + {}; // of each token, what it is a choice of", pointers_.within, outerExperts_ + 1);
    lines.line("const auto isMine = [&](int token) {{ return groupOf(outer[token] / {}, (int){}, (int){}) == piece.group; }};", outerChoices_, grouped, groups);
  } else {
    lines.line("const auto isMine = [](int) {{ return true; }};");
  }
  std::string enters = pointers_.enters.empty() ? "" : fmt::format("{}[row] && ", pointers_.enters);
  lines.line("const auto expertOf = [&](int row) {{ return {0}(unsigned){1}[row] < {2}u ? {1}[row] : -1; }};", enters, pointers_.indices, offered_);
  std::string keeps;
  for (const std::string& mask : pointers_.masks)
    keeps += fmt::format("{}{}[row] != 0", keeps.empty() ? "" : " && ", mask);
  lines.line("const auto keeps = [&](int {}) {{ return {}; }};", keeps.empty() ? "" : "row", keeps.empty() ? "true" : keeps);
  return lines.str();
}

void GroupRoutingText::stage(const char* name, const char* summary, const Size& blocks, const std::string& body, const Size& operations) {
  k_.stage({.name = name + number_,
            .summary = summary,
            .blocks = blocks,
            .threads = static_cast<int>(threads_),
            .residentBlocks = 8,
            .operations = operations,
            .body = body});
}

void GroupRoutingText::stages() {
  Size pieces = groups_ * Size(outerExperts_), rows = tokens_ * Size(choices_);
  std::string groups = k_.size(groups_);
  stage("count", "A block counts what each of its piece's experts gets.", pieces,
        prologue() + fmt::format("countGroup(routing, piece, {}, isMine, expertOf, keeps);\n", counts_), rows * Size(16));
  stage("scan", "A block sums up the counts of one expert.", experts_,
        fmt::format("scanPieces<{0}>({1} + (long long)blockIdx.x * {2}, (int){2}, {3} + blockIdx.x);\n", threads_, counts_, groups, totals_),
        Size(experts_) * groups_);
  stage("place", "A block places its piece's rows.", pieces,
        prologue() +
            fmt::format("placeGroup(routing, piece, {}, {}, tokens, (int)blockIdx.x, (int){}, isMine, expertOf, keeps);\n", counts_, totals_, k_.size(pieces)),
        rows * Size(16));
}

} // namespace moec::codegen::cuda
