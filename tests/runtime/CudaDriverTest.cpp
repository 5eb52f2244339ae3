// Owner of what the CUDA device asks of a driver: a table of functions that records, over the emulator's, without the emulator's watch. What a GPU's
// driver would see.

#include "runtime/Session.h"
#include "runtime/core/CudaImage.h"
#include "runtime/device/cuda/CudaDevice.h"
#include "runtime/emulator/Emulator.h"
#include "tests/runtime/Faults.h"
#include "tests/runtime/TinyCudaProgram.h"
#include "tests/runtime/TinyProgram.h"

#include <cstring>

namespace moec {
namespace {

/// The driver's functions have no object, so neither has the record.
struct Record {
  const cuda::DriverTable* real = nullptr;
  int minor = 0;       // of compute capability 8.minor
  std::string seen;    // of the last image, its first bytes
  int alive = 0;       // allocations, modules, streams, events, contexts not given back
  int failLaunch = -1; // the number of the launch that fails
  int launches = 0;
  bool failModule = false, failCurrent = false;
} record;

cuda::Result counted(cuda::Result result, int change) {
  if (result == cuda::kSuccess)
    record.alive += change;
  return result;
}

#define FORWARD(member, change, parameters, arguments) table.member = [] parameters { return counted(record.real->member arguments, change); }

const cuda::DriverTable& recordingTable() {
  static cuda::DriverTable table;
  record = Record();
  record.real = &emulator::emulatorTable("sm_80");
  table = *record.real;
  FORWARD(memoryAllocate, 1, (cuda::DevicePtr * p, size_t n), (p, n));
  FORWARD(memoryFree, -1, (cuda::DevicePtr p), (p));
  FORWARD(hostAllocate, 1, (void** p, size_t n, unsigned f), (p, n, f));
  FORWARD(hostFree, -1, (void* p), (p));
  FORWARD(streamCreate, 1, (cuda::Stream * s, unsigned f), (s, f));
  FORWARD(streamDestroy, -1, (cuda::Stream s), (s));
  FORWARD(eventCreate, 1, (cuda::Event * e, unsigned f), (e, f));
  FORWARD(eventDestroy, -1, (cuda::Event e), (e));
  FORWARD(primaryContextRetain, 1, (cuda::Context * c, cuda::Device d), (c, d));
  FORWARD(primaryContextRelease, -1, (cuda::Device d), (d));
  FORWARD(moduleUnload, -1, (cuda::Module m), (m));
  table.deviceGetAttribute = [](int* value, int attribute, cuda::Device device) {
    cuda::Result result = record.real->deviceGetAttribute(value, attribute, device);
    if (attribute == cuda::kComputeCapabilityMinor)
      *value = record.minor;
    return result;
  };
  table.moduleLoadData = [](cuda::Module* module, const void* image, unsigned count, int* options, void** values) -> cuda::Result {
    record.seen = std::string(static_cast<const char*>(image), 5);
    if (record.failModule) {
      for (unsigned i = 0; i < count; ++i)
        if (options[i] == cuda::kJitErrorLogBuffer)
          std::strcpy(static_cast<char*>(values[i]), "ptxas: line 7: what?");
      return cuda::kInvalidPtx;
    }
    if (record.seen == "cubin")
      image = ".version 7.0\n.target sm_80\n.address_size 64\n.visible .entry tiny_route_0() { ret; }\n";
    return counted(record.real->moduleLoadData(module, image, count, options, values), 1);
  };
  table.contextSetCurrent = [](cuda::Context context) -> cuda::Result {
    return record.failCurrent ? cuda::kInvalidPtx : record.real->contextSetCurrent(context);
  };
  table.launchKernel = [](cuda::Function f, unsigned x, unsigned y, unsigned z, unsigned bx, unsigned by, unsigned bz, unsigned shared, cuda::Stream s,
                          void** p, void** extra) -> cuda::Result {
    if (record.launches++ == record.failLaunch)
      return cuda::kOutOfResources;
    return record.real->launchKernel(f, x, y, z, bx, by, bz, shared, s, p, extra);
  };
  return table;
}

std::shared_ptr<CudaDevice> device() { return std::make_shared<CudaDevice>(CudaPlace{.name = "cuda:0", .table = &recordingTable()}); }

/// The tiny program's route kernel alone, its image with machine code.
ProgramData oneKernel() {
  ProgramData data = tinyCudaProgramData();
  data.plans[0].forward.resize(1);
  for (BufferInfo& buffer : data.plans[0].buffers)
    if (buffer.kind == BufferKind::Temporary)
      buffer.firstLaunch = buffer.lastLaunch = 0;
  auto& image = data.kernels.at("cuda:sm_80/tiny_route");
  CudaImage made = CudaImage::parse(image, "tiny");
  made.cubin = {'c', 'u', 'b', 'i', 'n'};
  image = made.bytes();
  return data;
}

TEST(CudaDriver, ComputesAndGivesEverythingBack) {
  {
    auto gpu = device();
    Session session(Program(tinyCudaProgramData()), gpu);
    gpu.reset(); // a session outlives its device
    for (int64_t tokens : {20, 50, 3}) {
      session.init(1);
      Tensor x = tinyTokens(tokens, 1), w = session.weights().at("w").clone();
      TensorMap outputs = session.run({{"x", x}}, {.seed = 1, .step = 2});
      TinyAnswer expected = tinyAnswer(x, w, 1, 2);
      EXPECT_EQ(std::memcmp(outputs.at("y").data(), expected.y.data(), outputs.at("y").bytes()), 0);
    }
    EXPECT_GT(record.alive, 5);
  }
  EXPECT_EQ(record.alive, 0);
}

TEST(CudaDriver, MachineCodeWhereItFitsElsePtx) {
  device()->load(Program(oneKernel()));
  EXPECT_EQ(record.seen, "cubin");
  const cuda::DriverTable& table = recordingTable();
  record.minor = 6; // runs what is made for 8.0, but through the driver's compiler
  CudaDevice newer(CudaPlace{.name = "cuda:0", .table = &table});
  newer.load(Program(oneKernel()));
  EXPECT_EQ(record.seen, "// Th");
  device()->load(Program(tinyCudaProgramData())); // no machine code
  EXPECT_EQ(record.seen, "// Th");
}

TEST(CudaDriver, TheCompilersLogIsInTheError) {
  auto gpu = device();
  record.failModule = true;
  EXPECT_FAULT(gpu->load(Program(tinyCudaProgramData())), Fault::Device,
               "cuda:0: cannot load kernel tiny_route for cuda:sm_80 from its PTX: CUDA_ERROR_INVALID_PTX");
  EXPECT_FAULT(gpu->load(Program(tinyCudaProgramData())), Fault::Device, "ptxas: line 7: what?");
  EXPECT_EQ(record.alive, 1); // the device's context
}

TEST(CudaDriver, ALaunchThatDoesNotStartIsNamed) {
  Session session(Program(tinyCudaProgramData()), device());
  session.init(1);
  record.failLaunch = 1;
  EXPECT_FAULT(session.run({{"x", tinyTokens(20, 1)}}), Fault::Device, "cuda:0: cannot start forward launch 1, experts (expert_up): CUDA_ERROR");
}

TEST(CudaDriver, MemoryThatIsNotThereIsNamed) {
  auto executable = device()->load(Program(tinyCudaProgramData()));
  EXPECT_FAULT(executable->bind({{"T", int64_t{1} << 30}}), Fault::Device, "for the temporaries of a call: CUDA_ERROR_OUT_OF_MEMORY");
  executable->bind({{"T", 4}}); // and lives on
  executable->write(0, tinyTokens(4, 1));
  executable->launch(LaunchList::Forward, 0, {});
}

TEST(CudaDriver, TheThreadsContextStaysItsOwn) {
  auto gpu = device();
  Session session(Program(tinyCudaProgramData()), gpu);
  session.init(1);
  record.real->contextSetCurrent(nullptr);
  session.run({{"x", tinyTokens(20, 1)}});
  cuda::Context current = nullptr;
  record.real->contextGetCurrent(&current);
  EXPECT_EQ(current, nullptr);
}

// Of a driver that has failed for good, whatever is asked of it.
TEST(CudaDriver, WhatIsGivenBackInVainDoesNotTerminate) {
  auto session = std::make_unique<Session>(Program(tinyCudaProgramData()), device());
  session->init(1);
  session->run({{"x", tinyTokens(20, 1)}});
  record.real->contextSetCurrent(nullptr);
  record.failCurrent = true;
  EXPECT_FAULT(session->run({{"x", tinyTokens(50, 1)}}), Fault::Device, "cuda:0: cannot make the context current: CUDA_ERROR_INVALID_PTX");
  session.reset();
  record.failCurrent = false;
}

TEST(CudaDriver, GpusWithoutATargetAreNamed) {
  static cuda::DriverTable table;
  table = recordingTable();
  table.deviceGetAttribute = [](int* value, int, cuda::Device) -> cuda::Result { return *value = 7, cuda::kSuccess; };
  EXPECT_FAULT(CudaDevice(CudaPlace{.name = "cuda:0", .table = &table}), Fault::Device,
               "has compute capability 7.7; moec compiles for cuda:sm_80, cuda:sm_90a");
  EXPECT_FAULT(CudaDevice(CudaPlace{.name = "cuda:4", .table = &table, .ordinal = 4}), Fault::Device, "cuda:4: this machine has 1 GPU, the last is cuda:0");
  EXPECT_EQ(record.alive, 0);
}

} // namespace
} // namespace moec
