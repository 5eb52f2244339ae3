#include "tests/codegen/ManyTensors.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace moec::testing {

namespace {

// A piece's length and its neighbours, less than a vector, one element, none of its dimensions round.
const std::vector<std::string> kShapes = {"64x33x", "7x", "1x", "", "1000x", "3x5x11x", "1024x5x", "2x1x3x", "4097x", "17x31x", "128x"};

int64_t elementsOf(const std::string& shape) {
  int64_t count = 1;
  for (size_t at = 0; at < shape.size(); at = shape.find('x', at) + 1)
    count *= std::stoll(shape.substr(at));
  return count;
}

} // namespace

ManyTensors manyUpdates() {
  ManyTensors all;
  all.inputs = {Tensor::of(std::vector<double>{0.125}, {})};
  std::vector<std::string> arguments{"%rate: tensor<f64>"}, results, yielded;
  unsigned place = 1;
  auto result = [&](const std::string& value, const std::string& type, unsigned argument) {
    all.inPlace.emplace_back(static_cast<unsigned>(results.size()), argument);
    yielded.push_back(value);
    results.push_back(type);
  };
  for (size_t i = 0; i < kShapes.size(); ++i) {
    std::string f = fmt::format("tensor<{}f32>", kShapes[i]), b = fmt::format("tensor<{}bf16>", kShapes[i]);
    if (i % 4 == 3) { // half as much of it, and nothing of its gradient stays
      arguments.push_back(fmt::format("%p{0}: {1}, %g{0}: {1}", i, f));
      all.body += fmt::format(R"(
    %h{0} = moe.constant dense<0.5> : tensor<f32>
    %v{0} = moe.constant dense<false> : tensor<i1>
    %o{0} = moe.constant dense<0.0> : tensor<f32>
    %z{0} = moe.where %v{0}, %g{0}, %o{0} : tensor<i1>, {1}, tensor<f32>
    %q{0} = moe.mul %p{0}, %h{0} : {1}, tensor<f32>
    %r{0} = moe.sub %q{0}, %g{0} : {1}, {1})",
                              i, f);
      result(fmt::format("%r{}", i), f, place);
      result(fmt::format("%z{}", i), f, place + 1);
      place += 2;
      continue;
    }
    bool isNarrow = i % 5 == 4;
    arguments.push_back(fmt::format("%g{0}: {1}, %p{0}: {2}, %m{0}: {2}{3}", i, isNarrow ? b : f, f, isNarrow ? fmt::format(", %b{}: {}", i, b) : ""));
    all.body += isNarrow ? fmt::format("\n    %w{0} = moe.cast %g{0} to f32 : {1}", i, b) : "";
    all.body += fmt::format(R"(
    %k{0} = moe.constant dense<0.9> : tensor<f32>
    %s{0} = moe.cast %rate to f32 : tensor<f64>
    %d{0} = moe.mul %m{0}, %k{0} : {1}, tensor<f32>
    %n{0} = moe.add %d{0}, %{2}{0} : {1}, {1}
    %e{0} = moe.mul %n{0}, %s{0} : {1}, tensor<f32>
    %r{0} = moe.sub %p{0}, %e{0} : {1}, {1})",
                            i, f, isNarrow ? "w" : "g");
    result(fmt::format("%n{}", i), f, place + 2);
    result(fmt::format("%r{}", i), f, place + 1);
    if (isNarrow) {
      all.body += fmt::format("\n    %c{0} = moe.cast %r{0} to bf16 : {1}", i, f);
      result(fmt::format("%c{}", i), b, place + 3);
    }
    place += isNarrow ? 4 : 3;
  }
  all.body += fmt::format("\n    moe.yield {} : {}", fmt::join(yielded, ", "), fmt::join(results, ", "));
  all.arguments = fmt::format("{}", fmt::join(arguments, ", "));
  all.results = fmt::format("{}", fmt::join(results, ", "));
  return all;
}

ManyTensors normOf(const std::string& dtype) {
  ManyTensors all;
  std::string compute = dtype == "bf16" ? "f32" : dtype, last = "%zero";
  std::vector<std::string> arguments;
  all.body = "\n    %zero = moe.constant dense<0.0> : tensor<f64>";
  for (size_t i = 0; i < kShapes.size(); ++i) {
    std::string own = fmt::format("tensor<{}{}>", kShapes[i], dtype), wide = fmt::format("tensor<{}{}>", kShapes[i], compute),
                row = fmt::format("tensor<{}x{}>", elementsOf(kShapes[i]), compute);
    arguments.push_back(fmt::format("%g{}: {}", i, own));
    std::string value = fmt::format("%g{}", i);
    if (own != wide) {
      all.body += fmt::format("\n    %w{0} = moe.cast {1} to f32 : {2}", i, value, own);
      value = fmt::format("%w{}", i);
    }
    if (wide != row) {
      all.body += fmt::format("\n    %v{0} = moe.reshape {1} : {2} -> {3}", i, value, wide, row);
      value = fmt::format("%v{}", i);
    }
    all.body += fmt::format(R"(
    %q{0} = moe.mul {1}, {1} : {2}, {2}
    %s{0} = moe.reduce sum %q{0} axis 0 : {2})",
                            i, value, row);
    std::string total = fmt::format("%s{}", i);
    if (compute != "f64") {
      all.body += fmt::format("\n    %t{0} = moe.cast {1} to f64 : tensor<{2}>", i, total, compute);
      total = fmt::format("%t{}", i);
    }
    all.body += fmt::format("\n    %a{0} = moe.add {1}, {2} : tensor<f64>, tensor<f64>", i, last, total);
    last = fmt::format("%a{}", i);
  }
  all.body += fmt::format(R"(
    %n = moe.sqrt {0} : tensor<f64>
    %one = moe.constant dense<1.0> : tensor<f64>
    %f = moe.div %one, %n : tensor<f64>, tensor<f64>
    %c = moe.min %f, %one : tensor<f64>, tensor<f64>
    %x = moe.cast %c to f32 : tensor<f64>
    %m = moe.reduce mean %g4 axis 0 : tensor<1000x{1}>
    moe.yield %n, %x, %m : tensor<f64>, tensor<f32>, tensor<{1}>)",
                          last, dtype);
  all.arguments = fmt::format("{}", fmt::join(arguments, ", "));
  all.results = fmt::format("tensor<f64>, tensor<f32>, tensor<{}>", dtype);
  return all;
}

} // namespace moec::testing
