#include "runtime/data/Csv.h"
#include "runtime/data/Sources.h"
#include "tests/data/Records.h"

namespace moec::data {
namespace {

using namespace test;
using moec::test::Scratch;
using Cells = std::vector<std::string>;

Cells lineOf(const std::string& text, char separator = ',') {
  CsvReader reader(text, separator, "t.csv");
  CsvLine line;
  EXPECT_TRUE(reader.next(line));
  return line.cells;
}

TEST(CsvReader, Cells) {
  EXPECT_EQ(lineOf("a,b,c\n"), (Cells{"a", "b", "c"}));
  EXPECT_EQ(lineOf("a,b,c"), (Cells{"a", "b", "c"}));
  EXPECT_EQ(lineOf("a,,\r\n"), (Cells{"a", "", ""}));
  EXPECT_EQ(lineOf("  a b , c\t\n"), (Cells{"a b", "c"}));
  EXPECT_EQ(lineOf("\"a,b\" , \"say \"\"x\"\"\"\n"), (Cells{"a,b", "say \"x\""}));
  EXPECT_EQ(lineOf("\"two\nlines\",b\n"), (Cells{"two\nlines", "b"}));
  EXPECT_EQ(lineOf("\xEF\xBB\xBFx,y\n"), (Cells{"x", "y"}));
  EXPECT_EQ(lineOf("a b\t\tc\n", '\t'), (Cells{"a b", "", "c"}));
  EXPECT_EQ(lineOf("\n1\n"), (Cells{""}));
}

TEST(CsvReader, CountsLinesAndGoesOnBehindBadOnes) {
  std::string text = "a\n\"x\ny\"\nb\"c\nd\n\"e\"f\ng\n \n\n";
  CsvReader reader(text, ',', "t.csv");
  CsvLine line;
  for (auto [number, cell] : {std::pair(1, "a"), {2, "x\ny"}}) {
    ASSERT_TRUE(reader.next(line));
    EXPECT_EQ(line.line, number);
    EXPECT_EQ(line.cells, Cells{cell});
  }
  EXPECT_FAULT(reader.next(line), Fault::Data, "t.csv:4: a quote inside a cell");
  ASSERT_TRUE(reader.next(line));
  EXPECT_EQ(line.line, 5);
  EXPECT_FAULT(reader.next(line), Fault::Data, "t.csv:6: something stands behind a closing quote");
  ASSERT_TRUE(reader.next(line));
  EXPECT_EQ(line.cells, Cells{"g"});
  EXPECT_FALSE(reader.next(line));
}

TEST(CsvReader, AQuoteThatIsNotClosedCostsItsLineAlone) {
  CsvLine line;
  for (auto [text, bad, behind] : {std::tuple("a,\"b\nc,d\n", 1, Cells{"c", "d"}), {"\"e\nf\",\"g\nh\n", 2, Cells{"h"}}}) {
    CsvReader reader(text, ',', "t.csv");
    EXPECT_FAULT(reader.next(line), Fault::Data, "t.csv:" + std::to_string(bad) + ": a quote is not closed");
    ASSERT_TRUE(reader.next(line));
    EXPECT_EQ(line.line, bad + 1);
    EXPECT_EQ(line.cells, behind);
    EXPECT_FALSE(reader.next(line));
  }
}

TEST(CsvReader, RefusesWhatIsNoText) {
  CsvLine line;
  std::string nul("a\0b\n", 4);
  EXPECT_FAULT(CsvReader(nul, ',', "t").next(line), Fault::Data, "t:1: a NUL byte");
  EXPECT_FAULT(CsvReader("a,\"b\nc\n", ',', "t").next(line), Fault::Data, "t:1: a quote is not closed");
  EXPECT_FAULT(CsvReader("a\rb\n", ',', "t").next(line), Fault::Data, "t:1: a carriage return");
}

TEST(Csv, ColumnsAreFields) {
  Scratch scratch;
  auto path = scratch.file("t.csv", "x.1,label,x.0,y\n2,0,1,0.5\n-4e1,3,3,7\n");
  std::vector<Field> listed = listCsv(path);
  ASSERT_EQ(listed.size(), 3u);
  EXPECT_EQ(listed[0].name, "x");
  EXPECT_EQ(listed[0].shape, Shape{2});
  auto dataset = openCsv(path, {{"x"}, {"label"}, {"y"}});
  EXPECT_EQ(dataset->size(), 2);
  EXPECT_EQ(dataset->fields()[0].dtype, DType::F64);
  EXPECT_EQ(dataset->fields()[1].dtype, DType::I64);
  EXPECT_EQ(dataset->fields()[1].below, 4);
  EXPECT_EQ(dataset->fields()[2].dtype, DType::F64);
  EXPECT_EQ(numbers(*dataset, 0, "x"), (std::vector<double>{1, 2}));
  EXPECT_EQ(numbers(*dataset, 1, "x"), (std::vector<double>{3, -40}));
  EXPECT_EQ(integer(*dataset, 1, "label"), 3);
  EXPECT_EQ(numbers(*dataset, 1, "y"), (std::vector<double>{7}));
  EXPECT_THAT(dataset->placeOf(1), ::testing::EndsWith("t.csv:3"));
}

TEST(Csv, ListsOfColumns) {
  Scratch scratch;
  auto path = scratch.file("t.csv", "label,pixel0,pixel1,pixel2\n1,10,11,12\n");
  auto dataset = openCsv(path, {{"pixel*"}, {"pixel2,label"}});
  EXPECT_EQ(numbers(*dataset, 0, "pixel*"), (std::vector<double>{10, 11, 12}));
  EXPECT_EQ(numbers(*dataset, 0, "pixel2,label"), (std::vector<double>{12, 1}));
  EXPECT_FAULT(openCsv(path, {{"pixels*"}}), Fault::Data, "no column \"pixels*\" among label, pixel0, pixel1, pixel2");
  EXPECT_FAULT(openCsv(path, {{"pixel2,lable"}}), Fault::Data, "no column \"pixel2,lable\"");
}

TEST(Csv, WordsAreTheirPlacesInTheAlphabet) {
  Scratch scratch;
  auto dataset = openCsv(scratch.file("t.csv", "x,kind\n1,dog\n2,cat\n3,dog\n4,\"ant\"\n"), {{"kind"}});
  EXPECT_EQ(dataset->fields()[0].words, (Cells{"ant", "cat", "dog"}));
  EXPECT_EQ(dataset->fields()[0].below, 3);
  EXPECT_EQ(dataset->fields()[0].dtype, DType::I64);
  for (auto [record, number] : {std::pair(0, 2), {1, 1}, {2, 2}, {3, 0}})
    EXPECT_EQ(integer(*dataset, record, "kind"), number);
  auto other = openCsv(scratch.file("u.csv", "x,kind\n1,dog\n1,bird\n"), {{"kind", false, {"ant", "cat", "dog"}}});
  EXPECT_EQ(integer(*other, 0, "kind"), 2);
  EXPECT_FAULT(recordOf(*other, 1), Fault::Data, "u.csv:3: column \"kind\": \"bird\" is no word of the data to learn from: ant, cat, dog");
}

TEST(Csv, BadLinesAreBadRecords) {
  Scratch scratch;
  auto dataset = openCsv(scratch.file("t.csv", "a,b,kind\n1,2,x\n1,2\n,2,x\n1,two,x\n1,nan,x\n1,1e999,x\n1,2,5\n1,\"2,x\n"), {{"a"}, {"b"}, {"kind"}});
  EXPECT_EQ(dataset->size(), 8);
  EXPECT_EQ(integer(*dataset, 0, "b"), 2);
  EXPECT_FAULT(recordOf(*dataset, 1), Fault::Data, "t.csv:3: 2 cells, but the header names 3 columns");
  EXPECT_FAULT(recordOf(*dataset, 2), Fault::Data, "t.csv:4: column \"a\": the cell is empty");
  EXPECT_FAULT(recordOf(*dataset, 3), Fault::Data, "t.csv:5: column \"b\": \"two\" is no finite number");
  EXPECT_FAULT(recordOf(*dataset, 4), Fault::Data, "t.csv:6: column \"b\": \"nan\" is no finite number");
  EXPECT_FAULT(recordOf(*dataset, 5), Fault::Data, "t.csv:7: column \"b\": \"1e999\" is no finite number");
  EXPECT_FAULT(recordOf(*dataset, 6), Fault::Data, "t.csv:8: column \"kind\": 5 is a number; those above are words");
  EXPECT_FAULT(recordOf(*dataset, 7), Fault::Data, "t.csv:9: a quote is not closed");
  EXPECT_FAULT(openCsv(scratch.file("u.csv", "a,b\n1\n2\n"), {{"a"}}), Fault::Data, "u.csv:2: 1 cells");
}

// What is bad about a line is known before any of it counts.
TEST(Csv, BadLinesSayNothingOfTheirColumns) {
  Scratch scratch;
  std::string text = "n,word\n";
  for (int i = 0; i < 10000; ++i)
    text += "1,w" + std::to_string(i) + "\n";
  auto dataset = openCsv(scratch.file("t.csv", text + "-0.5,one too many\n7,w3\n"), {{"n"}, {"word"}});
  EXPECT_EQ(dataset->size(), 10002);
  EXPECT_FAULT(recordOf(*dataset, 10000), Fault::Data, "t.csv:10002: column \"word\": more than 10000 different words stand in it; is it text?");
  EXPECT_EQ(dataset->fields()[0].dtype, DType::I64) << "0.5 does not make it real";
  EXPECT_EQ(dataset->fields()[0].below, 8);
  EXPECT_EQ(integer(*dataset, 10001, "n"), 7);
}

TEST(Csv, IntegersBeyondDoubles) {
  Scratch scratch;
  auto dataset = openCsv(scratch.file("t.csv", "a\n9007199254740991\n9007199254740993\n-5\n-9007199254740992\n"), {{"a"}});
  EXPECT_EQ(integer(*dataset, 0, "a"), 9007199254740991);
  EXPECT_FAULT(recordOf(*dataset, 1), Fault::Data, "t.csv:3: column \"a\": 9007199254740993 is 2^53 or more");
  EXPECT_EQ(integer(*dataset, 2, "a"), -5);
  EXPECT_FAULT(recordOf(*dataset, 3), Fault::Data, "t.csv:5: column \"a\": -9007199254740992 is 2^53 or more");
  EXPECT_FALSE(dataset->fields()[0].below); // one is below 0
  auto floats = openCsv(scratch.path("t.csv"), {{"a", true}});
  EXPECT_EQ(floats->fields()[0].dtype, DType::F64);
  EXPECT_EQ(numbers(*floats, 1, "a")[0], 9007199254740992.0); // rounded as every number with more digits
}

TEST(Csv, RefusesHeadersThatAreNone) {
  Scratch scratch;
  auto open = [&](const std::string& text) { return openCsv(scratch.file("t.csv", text), {{"a"}}); };
  EXPECT_FAULT(open(""), Fault::Data, "t.csv: the file is empty");
  EXPECT_FAULT(open(" \n\n"), Fault::Data, "t.csv: the file holds nothing but blanks");
  EXPECT_FAULT(open("1,2\n3,4\n"), Fault::Data, "t.csv:1: the first line holds numbers");
  EXPECT_FAULT(open("a;b\n1;2\n"), Fault::Data, "t.csv:1: one column; cells are separated by commas");
  EXPECT_FAULT(open("a,b,a\n"), Fault::Data, "t.csv:1: two columns are named \"a\"");
  EXPECT_FAULT(open("a,,b\n"), Fault::Data, "t.csv:1: column 2 has no name");
  EXPECT_FAULT(open("a,b\n"), Fault::Data, "t.csv: there are no records behind the header line");
  EXPECT_FAULT(open("a.0,a.2\n1,2\n"), Fault::Data, "t.csv:1: column \"a.1\" is missing");
  EXPECT_FAULT(open("a,a.0\n1,2\n"), Fault::Data, "there is a column \"a\" and columns \"a.0\" ..");
  EXPECT_FAULT(open("b,c\n1,2\n"), Fault::Data, "no column \"a\" among b, c");
}

TEST(Csv, DigestIsOfContentAndColumns) {
  Scratch scratch;
  auto path = scratch.file("t.csv", "a,b\n1,2\n");
  std::string digest = openCsv(path, {{"a"}})->digest();
  EXPECT_EQ(openCsv(path, {{"a"}})->digest(), digest);
  EXPECT_NE(openCsv(path, {{"b"}})->digest(), digest);
  EXPECT_NE(openCsv(scratch.file("t.csv", "a,b\n3,2\n"), {{"a"}})->digest(), digest);
}

} // namespace
} // namespace moec::data
