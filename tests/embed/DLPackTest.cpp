// Tensors across DLPack: the structures' layout, who owns what, and what is refused. The consumer's view of the structures is written down here once
// more, from the specification (DLPack 1.0), as another library would have it.

#include "runtime/core/DLPack.h"
#include "tests/runtime/Faults.h"

#include <cstring>

namespace {

struct View {
  void* data;
  int32_t deviceType, deviceId;
  int32_t ndim;
  uint8_t code, bits;
  uint16_t lanes;
  int64_t* shape;
  int64_t* strides;
  uint64_t byteOffset;
};
struct Unversioned {
  View view;
  void* context;
  void (*deleter)(Unversioned*);
};
struct Versioned {
  uint32_t major, minor;
  void* context;
  void (*deleter)(Versioned*);
  uint64_t flags;
  View view;
};

Versioned* seen(DLManagedTensorVersioned* managed) { return reinterpret_cast<Versioned*>(managed); }
DLManagedTensorVersioned* given(Versioned* managed) { return reinterpret_cast<DLManagedTensorVersioned*>(managed); }

} // namespace

namespace moec {
namespace {

int deleted = 0;

/// A producer's tensor of 2 x 3 floats with an offset of one element.
struct Producer {
  float values[7] = {-1, 0, 1, 2, 3, 4, 5};
  int64_t shape[2] = {2, 3}, strides[2] = {3, 1};
  Versioned managed{1, 1, nullptr, [](Versioned*) { ++deleted; }, 0, {values, 1, 0, 2, 2, 32, 1, shape, strides, 4}};
};

TEST(DLPack, AnExportedTensorKeepsItsStorageAlive) {
  Versioned* managed = nullptr;
  {
    Tensor tensor = Tensor::of<float>({1, 2, 3, 4, 5, 6}, {2, 3});
    managed = seen(toDLPack(tensor));
    EXPECT_EQ(managed->view.data, tensor.data());
  }
  EXPECT_EQ(managed->major, 1u);
  EXPECT_EQ(managed->flags, 0u);
  EXPECT_EQ(managed->view.deviceType, 1);
  EXPECT_EQ(managed->view.ndim, 2);
  EXPECT_EQ(managed->view.code, 2);
  EXPECT_EQ(managed->view.bits, 32);
  EXPECT_EQ(managed->view.lanes, 1);
  EXPECT_EQ(managed->view.shape[0], 2);
  EXPECT_EQ(managed->view.shape[1], 3);
  EXPECT_EQ(managed->view.strides[0], 3);
  EXPECT_EQ(managed->view.strides[1], 1);
  EXPECT_EQ(static_cast<float*>(managed->view.data)[5], 6);
  managed->deleter(managed);
}

TEST(DLPack, EveryDtypeComesBackByBothForms) {
  for (DType type : {DType::F64, DType::F32, DType::BF16, DType::I64, DType::I32, DType::U8, DType::Bool}) {
    Tensor tensor(type, {3, 2});
    std::memset(tensor.data(), 1, tensor.bytes());
    for (const Tensor& back : {fromDLPack(toDLPack(tensor)), fromDLPack(toUnversionedDLPack(tensor))}) {
      EXPECT_EQ(back.dtype(), type);
      EXPECT_EQ(back.shape(), tensor.shape());
      EXPECT_EQ(back.data(), tensor.data());
    }
  }
}

TEST(DLPack, AnImportedTensorIsDeletedWithItsLastHandle) {
  Producer producer;
  deleted = 0;
  {
    Tensor copy;
    {
      Tensor tensor = fromDLPack(given(&producer.managed));
      EXPECT_EQ(tensor.toDoubles(), (std::vector<double>{0, 1, 2, 3, 4, 5}));
      copy = tensor.reshaped({6});
    }
    EXPECT_EQ(deleted, 0);
    EXPECT_EQ(copy.as<float>()[5], 5);
  }
  EXPECT_EQ(deleted, 1);
}

TEST(DLPack, WhatIsRefusedStaysTheCallers) {
  deleted = 0;
  auto refused = [](auto change, const char* why) {
    Producer producer;
    change(producer.managed);
    EXPECT_FAULT(fromDLPack(given(&producer.managed)), Fault::Usage, why);
  };
  refused([](Versioned& m) { m.view.deviceType = 2; }, "it lies on a device of type 2");
  refused([](Versioned& m) { m.view.bits = 16; }, "type code 2, 16 bits and 1 lanes");
  refused([](Versioned& m) { m.view.lanes = 4; }, "4 lanes");
  refused([](Versioned& m) { m.view.strides[0] = 4; }, "not row-major: stride 4 of dimension 0, 3 expected");
  refused([](Versioned& m) { m.view.strides[1] = 0; }, "not row-major");
  refused([](Versioned& m) { m.view.shape[1] = -3; }, "a size of its shape is -3");
  refused([](Versioned& m) { m.view.shape[0] = m.view.strides[0] = int64_t{1} << 47; }, "not row-major");
  refused([](Versioned& m) { m.view.data = nullptr; }, "it has no data");
  refused([](Versioned& m) { m.view.shape = nullptr; }, "it has no shape");
  refused([](Versioned& m) { m.flags = 1; }, "read-only");
  refused([](Versioned& m) { m.major = 2; }, "DLPack 2.1");
  EXPECT_EQ(deleted, 0);
}

TEST(DLPack, SizesThatOverflowAreRefused) {
  Producer producer;
  producer.shape[0] = int64_t{1} << 62;
  EXPECT_TRUE(thrownBy([&] { fromDLPack(given(&producer.managed)); }).thrown);
}

TEST(DLPack, StridesOfOneRowAndOfNothingDoNotMatter) {
  Producer one;
  one.shape[0] = 1;
  one.strides[0] = 77;
  EXPECT_EQ(fromDLPack(given(&one.managed)).elements(), 3);
  Producer none;
  none.shape[0] = 0;
  none.managed.view.data = nullptr;
  EXPECT_EQ(fromDLPack(given(&none.managed)).elements(), 0);
  Producer plain;
  plain.managed.view.strides = nullptr;
  EXPECT_EQ(fromDLPack(given(&plain.managed)).elements(), 6);
}

} // namespace
} // namespace moec
