#include "codegen/cuda/RoutingText.h"

namespace moec::codegen::cuda {

RoutingText::RoutingText(KernelText& k, const RoutingChain& chain, unsigned number, const GateSchedule& schedule, std::string routing, std::string indices,
                         std::string enters, std::vector<std::string> masks)
    : k_(k), chain_(chain), schedule_(schedule), number_(std::to_string(number)), pointer_(std::move(routing)), indices_(std::move(indices)),
      enters_(std::move(enters)), masks_(std::move(masks)) {
  auto assign = ir::AssignOp(chain_.assign);
  ir::Sizes sizes = ir::sizesOf(assign.getIndices()); // (T, K)
  experts_ = static_cast<int64_t>(assign.getExperts());
  tokens_ = sizes[0];
  choices_ = *sizes[1].constant();
  limited_ = assign.getCapacity().has_value();
}

bool RoutingText::isChoiceMajor() const { return choices_ > 1 && ir::AssignOp(chain_.assign).getPriority() == ir::Priority::ChoiceMajor; }

Size RoutingText::isMany() const { return Size::min(1, Size::floorDiv(rows(), schedule_.oneBlockRows)); }

bool RoutingText::choicesAreExperts() const {
  auto select = ir::AssignOp(chain_.assign).getIndices().getDefiningOp<ir::SelectOp>();
  std::optional<int64_t> width = select ? ir::sizesOf(select.getScores()).back().constant() : std::nullopt;
  return width && *width <= experts_;
}

Size RoutingText::pieces(int64_t tokensOfPiece) const { return Size::ceilDiv(tokens_, tokensOfPiece) * Size(isChoiceMajor() ? choices_ : 1); }

int64_t RoutingText::placeTokens() const {
  constexpr int64_t kRows = 2048; // of a block: each block looks at the counts of all experts
  int64_t tokens = kRows / (isChoiceMajor() ? 1 : choices_);
  return std::max<int64_t>(1, tokens / schedule_.tokenBlock) * schedule_.tokenBlock;
}

void RoutingText::declare() {
  k_.use("assign.cuh");
  k_.declare(fmt::format("using Shape{} = RoutingShape<{}, {}, /*choice major*/ {}, /*limited*/ {}, /*dropped*/ {}, {}>;", number_, experts_, choices_,
                         isChoiceMajor(), limited_, !masks_.empty(), schedule_.threads));
  if (isMany() == Size(0))
    return;
  counts_ = k_.addWorkspace(DType::I32, pieces(schedule_.tokenBlock) * Size(experts_));
  totals_ = k_.addWorkspace(DType::I32, experts_);
  if (isTwice()) {
    keptCounts_ = k_.addWorkspace(DType::I32, pieces(placeTokens()) * Size(experts_));
    keptTotals_ = k_.addWorkspace(DType::I32, experts_);
  }
}

/// Names that the skeleton's functions take: routing, expertOf, keeps.
std::string RoutingText::prologue() const {
  std::optional<llvm::StringRef> capacity = ir::AssignOp(chain_.assign).getCapacity();
  Lines lines;
  lines.line("const Routing<Shape{}> routing({}, (int){}, {});", number_, pointer_, k_.size(tokens_), capacity ? k_.size(Size::parse(capacity->str())) : "0");
  if (!enters_.empty())
    lines.line("const auto expertOf = [&](int row) {{ return {0}[row] && (unsigned){1}[row] < {2}u ? {1}[row] : -1; }};", enters_, indices_, experts_);
  else if (choicesAreExperts())
    lines.line("const auto expertOf = [&](int row) {{ return {}[row]; }};", indices_);
  else
    lines.line("const auto expertOf = [&](int row) {{ return (unsigned){0}[row] < {1}u ? {0}[row] : -1; }};", indices_, experts_);
  std::string keeps;
  for (const std::string& mask : masks_)
    keeps += fmt::format("{}{}[row] != 0", keeps.empty() ? "" : " && ", mask);
  lines.line("const auto keeps = [&](int {}) {{ return {}; }};", keeps.empty() ? "" : "row", keeps.empty() ? "true" : keeps);
  return lines.str();
}

/// PieceCounts of the piece that stands in `turns`, or of the first of those in it.
std::string RoutingText::table(std::string_view counts, int64_t tokensOfPiece) const {
  return fmt::format("{{{}, (int){}, piece}}", counts, k_.size(pieces(tokensOfPiece)));
}

std::string RoutingText::counts() const {
  if (isMany() == Size(0))
    return {};
  Lines lines;
  lines.line("{}", isMany().constant() ? "{" : fmt::format("if ({} >= {}) {{ // else one block does all", k_.size(rows()), schedule_.oneBlockRows));
  lines.indent();
  lines.add(prologue());
  if (isChoiceMajor()) {
    lines.open("for (int choice = 0; choice < {}; ++choice)", choices_);
    lines.line("const int piece = choice * (int){} + (int)blockIdx.x;", k_.size(Size::ceilDiv(tokens_, schedule_.tokenBlock)));
  } else {
    lines.line("const int piece = (int)blockIdx.x;");
  }
  std::string counted = isTwice() ? "expertOf(routing.rowOf(turn))" : "placedExpert(routing, turn, expertOf, keeps)";
  lines.line("const Turns turns = turnsOfPiece<Shape{}>(piece, (int){}, {});", number_, k_.size(tokens_), schedule_.tokenBlock);
  lines.line("countPiece<Shape{}>({}, turns, [&](int turn) {{ return {}; }});", number_, table(counts_, schedule_.tokenBlock), counted);
  if (isChoiceMajor())
    lines.close();
  lines.close();
  return lines.str();
}

void RoutingText::stage(const char* name, const std::string& summary, const Size& blocks, const std::string& body, const Size& operations) {
  k_.stage({.name = name + number_,
            .summary = summary,
            .blocks = blocks,
            .threads = static_cast<int>(schedule_.threads),
            .residentBlocks = 8,
            .operations = operations,
            .body = body});
}

std::string RoutingText::assignAll() const { return prologue() + fmt::format("assignAll<Shape{}>(routing, expertOf, keeps);\n", number_); }

void RoutingText::countStage() {
  if (isMany() == Size(0))
    return;
  stage("count", fmt::format("A block counts the rows of {} tokens for each expert.", schedule_.tokenBlock),
        Size::ceilDiv(tokens_, schedule_.tokenBlock) * isMany(), counts(), rows());
}

void RoutingText::stages() {
  Size many = isMany();
  if (!(many == Size(1)))
    stage("assign", "One block assigns all rows.", Size(1) - many, assignAll(), rows() * Size(16));
  if (many == Size(0))
    return;
  int64_t tokensOfPiece = placeTokens();
  Size blocks = pieces(tokensOfPiece);
  auto scan = [&](const char* name, const std::string& counts, const std::string& totals, int64_t tokens) {
    std::string count = k_.size(pieces(tokens));
    stage(name, "A block sums up the counts of one expert.", many * Size(experts_),
          fmt::format("scanPieces<{}>({} + (long long)blockIdx.x * {}, (int){}, {} + blockIdx.x);\n", schedule_.threads, counts, count, count, totals),
          many * Size(experts_) * pieces(tokens));
  };
  // A block's piece holds several of those that were counted; `piece` is the first of them.
  auto pieceText = [&](int64_t countTokens) {
    std::string perChoice = k_.size(Size::ceilDiv(tokens_, tokensOfPiece)), counted = k_.size(Size::ceilDiv(tokens_, countTokens));
    Lines lines;
    lines.line("const int block = (int)blockIdx.x;");
    lines.line("const Turns turns = turnsOfPiece<Shape{}>(block, (int){}, {});", number_, k_.size(tokens_), tokensOfPiece);
    if (countTokens == tokensOfPiece)
      lines.line("const int piece = block;");
    else if (isChoiceMajor())
      lines.line("const int piece = block / (int){0} * (int){1} + block % (int){0} * {2};", perChoice, counted, tokensOfPiece / countTokens);
    else
      lines.line("const int piece = block * {};", tokensOfPiece / countTokens);
    return lines.str();
  };
  scan("scan", counts_, totals_, schedule_.tokenBlock);
  std::string counts = counts_, totals = totals_;
  int64_t countTokens = schedule_.tokenBlock;
  if (isTwice()) {
    stage("mark", fmt::format("A block marks which rows of {} tokens keep a place.", tokensOfPiece), blocks * many,
          prologue() + pieceText(countTokens) +
              fmt::format("markPiece<Shape{}>(routing, {}, {{{}, (int){}, block}}, turns, expertOf, keeps);\n", number_, table(counts_, countTokens),
                          keptCounts_, k_.size(blocks)),
          rows() * Size(16));
    scan("sum", keptCounts_, keptTotals_, tokensOfPiece);
    counts = keptCounts_;
    totals = keptTotals_;
    countTokens = tokensOfPiece;
  }
  stage("place", fmt::format("A block places the rows of {} tokens.", tokensOfPiece), blocks * many,
        prologue() + pieceText(countTokens) +
            fmt::format(
                "placePiece<Shape{}>(routing, {}, {}, turns, block, (int){}, [&](int turn) {{ return placedExpert(routing, turn, expertOf, keeps); }});\n",
                number_, table(counts, countTokens), totals, k_.size(blocks)),
        rows() * Size(16));
}

} // namespace moec::codegen::cuda
