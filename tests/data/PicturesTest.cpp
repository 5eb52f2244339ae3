#include "tests/io/Pictures.h"
#include "runtime/data/Sources.h"
#include "runtime/io/Image.h"
#include "runtime/io/Photo.h"
#include "tests/data/Records.h"

#include <filesystem>

namespace moec::data {
namespace {

using namespace test;
using moec::test::png;
using moec::test::Scratch;

InputInfo input() {
  InputInfo info;
  info.name = "image";
  info.shape = {Size::symbol("batch"), 3, 4, 4};
  info.photo = PhotoRule{PhotoRule::Resize::Stretch, {0.5, 0.5, 0.5}, {0.25, 0.25, 0.25}};
  return info;
}

/// A picture of one grey.
std::string grey(int value, int width = 4, int height = 4) {
  return png(std::vector<uint8_t>(static_cast<size_t>(width * height), static_cast<uint8_t>(value)), width, height, 1);
}

struct Folder : Scratch {
  Folder() {
    for (const char* name : {"cat", "ant/deep", "dog"})
      std::filesystem::create_directories(path(name));
    file("cat/b.png", grey(255));
    file("cat/a.PNG", grey(0));
    file("cat/notes.md", "not a picture");
    file("cat/.hidden.png", "not one either");
    file("ant/deep/x.png", grey(51, 9, 5));
    file("dog/a.jpg", moec::test::jpeg(std::vector<uint8_t>(4 * 4 * 3, 255), 4, 4));
  }
};

TEST(Pictures, ClassesAreFolders) {
  Folder folder;
  auto [train, validation] = openPictures(folder.path(""), input());
  EXPECT_FALSE(validation);
  ASSERT_EQ(train->size(), 4);
  EXPECT_EQ(train->fields()[0].shape, (Shape{3, 4, 4}));
  EXPECT_EQ(train->fields()[1].words, (std::vector<std::string>{"ant", "cat", "dog"}));
  EXPECT_EQ(train->fields()[1].below, 3);
  const char* places[] = {"ant/deep/x.png", "cat/a.PNG", "cat/b.png", "dog/a.jpg"};
  int labels[] = {0, 1, 1, 2};
  double values[] = {0.2, 0, 1, 1};
  for (int64_t i = 0; i < 4; ++i) {
    EXPECT_THAT(train->placeOf(i), ::testing::EndsWith(places[i]));
    EXPECT_EQ(integer(*train, i, "label"), labels[i]);
    for (double value : numbers(*train, i, "image"))
      EXPECT_FLOAT_EQ(value, static_cast<float>((values[i] - 0.5) / 0.25)) << places[i];
  }
  EXPECT_THAT(train->describe(), ::testing::EndsWith("4 pictures of 3 classes (1 other files are passed over)"));
}

TEST(Pictures, HeldOutFolders) {
  Scratch scratch;
  for (const char* name : {"train/cat", "train/dog", "val/dog", "test/cat"})
    std::filesystem::create_directories(scratch.path(name));
  scratch.file("train/cat/a.png", grey(1));
  scratch.file("train/dog/a.png", grey(2));
  scratch.file("val/dog/a.png", grey(3));
  scratch.file("test/cat/a.png", grey(4));
  auto [train, validation] = openPictures(scratch.path(""), input());
  EXPECT_EQ(train->size(), 2);
  ASSERT_TRUE(validation);
  EXPECT_EQ(validation->size(), 1);
  EXPECT_EQ(integer(*validation, 0, "label"), 1); // of the names to learn from, not of its own
  EXPECT_THAT(validation->placeOf(0), ::testing::EndsWith("val/dog/a.png"));
  std::filesystem::create_directories(scratch.path("val/bird"));
  scratch.file("val/bird/a.png", grey(3));
  EXPECT_FAULT(openPictures(scratch.path(""), input()), Fault::Data, "val/bird: the data to learn from have no such class, but cat, dog");
}

TEST(Pictures, RefusesOtherFolders) {
  Scratch scratch;
  EXPECT_FAULT(openPictures(scratch.path(""), input()), Fault::Data, "no folders; each class has one");
  auto file = scratch.file("a.png", grey(1));
  EXPECT_FAULT(openPictures(scratch.path(""), input()), Fault::Data, "pictures stand in a folder of their class");
  EXPECT_FAULT(openPictures(file, input()), Fault::Data, "a folder with a folder for each class");
  std::filesystem::remove(file);
  std::filesystem::create_directory(scratch.path("cat"));
  EXPECT_FAULT(openPictures(scratch.path(""), input()), Fault::Data, "cat: no .png, .jpg or .jpeg stands here");
}

TEST(Pictures, RefusesLinksThatLeadOut) {
  Folder folder;
  auto outside = std::filesystem::temp_directory_path() / ("moec-outside-" + std::to_string(getpid()) + ".png");
  std::ofstream(outside) << grey(1);
  std::filesystem::create_symlink(outside, folder.path("cat/link.png"));
  EXPECT_FAULT(openPictures(folder.path(""), input()), Fault::Data, "cat/link.png: a link out of the folder, to " + outside.string());
  std::filesystem::remove(folder.path("cat/link.png"));
  std::filesystem::create_symlink("/tmp", folder.path("elsewhere"));
  EXPECT_FAULT(openPictures(folder.path(""), input()), Fault::Data, "elsewhere: a link out of the folder");
  std::filesystem::remove(folder.path("elsewhere"));
  std::filesystem::create_symlink("b.png", folder.path("cat/link.png")); // inside of it
  EXPECT_EQ(openPictures(folder.path(""), input()).train->size(), 5);
  std::filesystem::create_symlink("absent.png", folder.path("cat/nowhere.png"));
  EXPECT_FAULT(openPictures(folder.path(""), input()), Fault::Data, "cat/nowhere.png: a link that leads nowhere");
  std::filesystem::remove(folder.path("cat/nowhere.png"));
  std::filesystem::create_symlink("..", folder.path("cat/round")); // round and round
  EXPECT_FAULT(openPictures(folder.path(""), input()), Fault::Data, "more than 16 deep");
  std::filesystem::remove(outside);
}

TEST(Pictures, DamagedOnesAreBadRecords) {
  Folder folder;
  folder.file("cat/b.png", grey(255).substr(0, 40));
  folder.file("dog/a.jpg", "");
  auto train = openPictures(folder.path(""), input()).train;
  EXPECT_FAULT(recordOf(*train, 2), Fault::Data, "cat/b.png");
  EXPECT_FAULT(recordOf(*train, 3), Fault::Data, "dog/a.jpg");
  recordOf(*train, 1);
}

TEST(Pictures, TellsOfAFileThatChanges) {
  Folder folder;
  auto train = openPictures(folder.path(""), input()).train;
  std::filesystem::remove(folder.path("cat/b.png"));
  EXPECT_THROW(recordOf(*train, 2), FileChanged);
  folder.file("cat/b.png", grey(254));
  EXPECT_THROW(recordOf(*train, 2), FileChanged);
}

TEST(Pictures, OpenSizesAreTheFirstPictures) {
  Folder folder;
  InputInfo open = input();
  open.shape = {Size::symbol("batch"), 3, Size::symbol("height"), Size::symbol("width")};
  auto train = openPictures(folder.path(""), open).train;
  EXPECT_EQ(train->fields()[0].shape, (Shape{3, 5, 9}));
  recordOf(*train, 0);
  EXPECT_FAULT(recordOf(*train, 1), Fault::Data, "cat/a.PNG: the picture is 4 wide and 4 high");
}

TEST(Pictures, RefusesAnInputThatIsNoPicture) {
  Folder folder;
  InputInfo other = input();
  other.shape = {Size::symbol("batch"), 16};
  EXPECT_FAULT(openPictures(folder.path(""), other), Fault::Usage,
               "pictures for input \"image\" of [batch, 16]; expected [batch, channels, height, width], and a number of channels");
  other.shape = {Size::symbol("batch"), Size::symbol("C"), 4, 4};
  EXPECT_FAULT(openPictures(folder.path(""), other), Fault::Usage, "of [batch, C, 4, 4]; expected");
  other.shape = {Size::symbol("batch"), 4, 4};
  EXPECT_FAULT(openPictures(folder.path(""), other), Fault::Usage, "of [batch, 4, 4]; expected");
}

TEST(Pictures, DigestIsOfNamesAndSizes) {
  std::string first;
  {
    Folder folder;
    first = openPictures(folder.path(""), input()).train->digest();
    folder.file("cat/b.png", grey(255) + "x");
    EXPECT_NE(openPictures(folder.path(""), input()).train->digest(), first);
  }
  Folder again;
  EXPECT_EQ(openPictures(again.path(""), input()).train->digest(), first);
  std::filesystem::rename(again.path("cat/b.png"), again.path("dog/b.png"));
  EXPECT_NE(openPictures(again.path(""), input()).train->digest(), first);
}

} // namespace
} // namespace moec::data
