// CUDA's managed memory beside explicit copies: what a vendor's own unified memory costs on the machine that gmem is measured on.
//
// Every round starts cold: the CPU has just written the inputs, and nothing is on the card. The clock runs from there until the
// CPU has read every word that the kernel wrote. Four kernels (SAXPY, a 2-D stencil, triad, a random gather), four variants each:
//
//   faults    managed memory, touched first by the CPU, then moved by the card's page faults
//   prefetch  managed memory, with cudaMemPrefetchAsync to the card before the kernel and of the result home after it
//   advice    managed memory, with cudaMemAdvise: inputs read-mostly, the result preferred on the card; moved by faults
//   copies    cudaMalloc, and cudaMemcpyAsync from and to pinned memory
//
// Rounds are interleaved (A B C D, A B C D, ...) after one that does not count. Allocating, filling and checking is not timed.
// A case never holds more than 40 % of the card's free memory, whatever is asked for.
//
// Output: a line of JSON about the device, then one for each case and variant:
//   {"case", "variant", "seconds_median", "spread", "bytes", "gb_s", "rounds", "verified"}
// `bytes` are those of all arrays of the case, each once; `gb_s` is bytes / seconds_median / 1e9; `spread` is the distance between
// the first and the third quartile as a part of the median. A variant that the device cannot run has "skipped" and why instead.
//
// Build: nvcc -O3 -o managed managed.cu        (CUDA 11 to 13)
// Run:   ./managed [--bytes N] [--rounds N] [--device N]
// Status: 0 when every result was verified, 1 when one was not or CUDA failed, 2 for bad arguments.

#include <cuda_runtime.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

constexpr int kMostArrays = 3;
constexpr size_t kWidth = 4096;  // columns of the stencil: every array is whole rows of it
constexpr unsigned kBlock = 256;
constexpr double kMostOfFree = 0.4;
constexpr size_t kDefaultBytes = size_t{1} << 30;

void check(cudaError_t error, const char *call, int line) {
  if (error == cudaSuccess) return;
  std::fprintf(stderr, "error: line %d: %s: %s: %s\n", line, call, cudaGetErrorName(error), cudaGetErrorString(error));
  std::exit(1);
}
#define CHECK(call) check((call), #call, __LINE__)

// ---- data: small integers as floats, so that every sum and product here is exact in any order and with any contraction

uint32_t mix(uint32_t x) {
  x ^= x >> 16;
  x *= 0x7feb352du;
  x ^= x >> 15;
  x *= 0x846ca68bu;
  return x ^ (x >> 16);
}

// Other in each round, so that a result left over from the last one is not taken for this one's.
float value(size_t i, uint32_t array, uint32_t round) {
  const uint32_t word = (static_cast<uint32_t>(i) + 97u * round) * 2654435761u + array * 0x9e3779b9u;
  return static_cast<float>(static_cast<int32_t>(word >> 22) - 512);
}

uint32_t place(size_t i, uint32_t round, size_t n) {
  return static_cast<uint32_t>((uint64_t{mix(static_cast<uint32_t>(i) + 0x51ed27u * round)} * n) >> 32);
}

// ---- kernels

constexpr float kScale = 3.0f;

__global__ void saxpy(const float *x, float *y, size_t n) {
  const size_t i = size_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < n) y[i] = kScale * x[i] + y[i];
}

__global__ void stencil(const float *in, float *out, size_t width, size_t height) {
  const size_t i = size_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= width * height) return;
  const size_t column = i % width, row = i / width;
  const bool inside = column > 0 && column + 1 < width && row > 0 && row + 1 < height;
  out[i] = inside ? 0.25f * (in[i - 1] + in[i + 1] + in[i - width] + in[i + width]) : in[i];
}

__global__ void triad(const float *b, const float *c, float *a, size_t n) {
  const size_t i = size_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < n) a[i] = b[i] + kScale * c[i];
}

__global__ void gather(const float *in, const uint32_t *index, float *out, size_t n) {
  const size_t i = size_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < n) out[i] = in[index[i]];
}

// ---- cases

// The arrays of a case, as one of its sides sees them. All have the same number of words.
using Arrays = void *[kMostArrays];

struct Case {
  const char *name;
  int arrays;
  int inputs;  // the first so many arrays are filled by the CPU
  int result;  // the array that the kernel writes
  void (*launch)(const Arrays &, size_t n, cudaStream_t);
  float (*expected)(size_t i, size_t n, uint32_t round);
  bool indices;  // the second array holds places in the first
};

template <typename T> T *as(const Arrays &arrays, int which) { return static_cast<T *>(arrays[which]); }

unsigned blocks(size_t n) { return static_cast<unsigned>((n + kBlock - 1) / kBlock); }

void launch_saxpy(const Arrays &a, size_t n, cudaStream_t stream) {
  saxpy<<<blocks(n), kBlock, 0, stream>>>(as<float>(a, 0), as<float>(a, 1), n);
}
void launch_stencil(const Arrays &a, size_t n, cudaStream_t stream) {
  stencil<<<blocks(n), kBlock, 0, stream>>>(as<float>(a, 0), as<float>(a, 1), kWidth, n / kWidth);
}
void launch_triad(const Arrays &a, size_t n, cudaStream_t stream) {
  triad<<<blocks(n), kBlock, 0, stream>>>(as<float>(a, 0), as<float>(a, 1), as<float>(a, 2), n);
}
void launch_gather(const Arrays &a, size_t n, cudaStream_t stream) {
  gather<<<blocks(n), kBlock, 0, stream>>>(as<float>(a, 0), as<uint32_t>(a, 1), as<float>(a, 2), n);
}

// Worked out from the rule that made the inputs, not from the inputs as they are after the run.
float expect_saxpy(size_t i, size_t, uint32_t round) { return kScale * value(i, 0, round) + value(i, 1, round); }
float expect_stencil(size_t i, size_t n, uint32_t round) {
  const size_t column = i % kWidth, row = i / kWidth, height = n / kWidth;
  if (column == 0 || column + 1 == kWidth || row == 0 || row + 1 == height) return value(i, 0, round);
  return 0.25f * (value(i - 1, 0, round) + value(i + 1, 0, round) + value(i - kWidth, 0, round) + value(i + kWidth, 0, round));
}
float expect_triad(size_t i, size_t, uint32_t round) { return value(i, 0, round) + kScale * value(i, 1, round); }
float expect_gather(size_t i, size_t n, uint32_t round) { return value(place(i, round, n), 0, round); }

const Case kCases[] = {
    {"saxpy", 2, 2, 1, launch_saxpy, expect_saxpy, false},
    {"stencil", 2, 1, 1, launch_stencil, expect_stencil, false},
    {"triad", 3, 2, 2, launch_triad, expect_triad, false},
    {"gather", 3, 2, 2, launch_gather, expect_gather, true},
};

enum Variant { kFaults, kPrefetch, kAdvice, kCopies, kVariants };
const char *const kNames[kVariants] = {"faults", "prefetch", "advice", "copies"};

void fill(const Case &work, const Arrays &host, size_t n, uint32_t round) {
  for (int array = 0; array < work.inputs; ++array) {
    if (work.indices && array == 1) {
      uint32_t *out = as<uint32_t>(host, array);
      for (size_t i = 0; i < n; ++i) out[i] = place(i, round, n);
    } else {
      float *out = as<float>(host, array);
      for (size_t i = 0; i < n; ++i) out[i] = value(i, static_cast<uint32_t>(array), round);
    }
  }
}

// Reads every word, as a program does that uses its results.
uint64_t read_all(const uint32_t *words, size_t n) {
  uint64_t sum = 0;
  for (size_t i = 0; i < n; ++i) sum += words[i];
  return sum;
}

bool verify(const Case &work, const float *result, size_t n, uint32_t round, uint64_t sum) {
  uint64_t again = 0;
  for (size_t i = 0; i < n; ++i) {
    const float want = work.expected(i, n, round);
    if (result[i] != want) {
      std::fprintf(stderr, "%s: word %zu is %g, not %g\n", work.name, i, static_cast<double>(result[i]), static_cast<double>(want));
      return false;
    }
    uint32_t word;
    std::memcpy(&word, &result[i], sizeof word);
    again += word;
  }
  // What was read in the timed part is what was checked after it.
  return again == sum;
}

// ---- what CUDA 13 changed: a place is a type and a number, no longer a number alone

void prefetch(const void *memory, size_t bytes, int device, cudaStream_t stream) {
#if CUDART_VERSION >= 13000
  cudaMemLocation where{};
  where.type = device == cudaCpuDeviceId ? cudaMemLocationTypeHost : cudaMemLocationTypeDevice;
  where.id = device == cudaCpuDeviceId ? 0 : device;
  CHECK(cudaMemPrefetchAsync(memory, bytes, where, 0, stream));
#else
  CHECK(cudaMemPrefetchAsync(memory, bytes, device, stream));
#endif
}

void advise(const void *memory, size_t bytes, cudaMemoryAdvise advice, int device) {
#if CUDART_VERSION >= 13000
  cudaMemLocation where{};
  where.type = cudaMemLocationTypeDevice;
  where.id = device;
  CHECK(cudaMemAdvise(memory, bytes, advice, where));
#else
  CHECK(cudaMemAdvise(memory, bytes, advice, device));
#endif
}

// ---- rounds

struct Round {
  double seconds;
  bool verified;
};

// A stray large request of managed memory can take the whole card down, so it is looked at each time.
void insist_on_room(size_t bytes) {
  size_t free_bytes = 0, total = 0;
  CHECK(cudaMemGetInfo(&free_bytes, &total));
  if (static_cast<double>(bytes) > kMostOfFree * static_cast<double>(free_bytes)) {
    std::fprintf(stderr, "error: %zu bytes are more than 40 %% of the %zu that the card has free now: give a smaller --bytes\n", bytes,
                 free_bytes);
    std::exit(1);
  }
}

Round managed_round(const Case &work, Variant variant, size_t n, uint32_t round, int device, cudaStream_t stream) {
  const size_t bytes = n * sizeof(float);
  Arrays arrays{};
  for (int i = 0; i < work.arrays; ++i) CHECK(cudaMallocManaged(&arrays[i], bytes, cudaMemAttachGlobal));
  fill(work, arrays, n, round);
  CHECK(cudaDeviceSynchronize());

  const auto start = Clock::now();
  for (int i = 0; i < work.arrays; ++i) {
    if (variant == kPrefetch) prefetch(arrays[i], bytes, device, stream);
    if (variant == kAdvice) {
      advise(arrays[i], bytes, i == work.result ? cudaMemAdviseSetPreferredLocation : cudaMemAdviseSetReadMostly, device);
    }
  }
  work.launch(arrays, n, stream);
  CHECK(cudaGetLastError());
  if (variant == kPrefetch) prefetch(arrays[work.result], bytes, cudaCpuDeviceId, stream);
  CHECK(cudaStreamSynchronize(stream));
  const uint64_t sum = read_all(as<uint32_t>(arrays, work.result), n);
  const std::chrono::duration<double> took = Clock::now() - start;

  const bool verified = verify(work, as<float>(arrays, work.result), n, round, sum);
  for (int i = 0; i < work.arrays; ++i) CHECK(cudaFree(arrays[i]));
  return {took.count(), verified};
}

Round copied_round(const Case &work, size_t n, uint32_t round, cudaStream_t stream) {
  const size_t bytes = n * sizeof(float);
  Arrays host{}, card{};
  for (int i = 0; i < work.arrays; ++i) {
    CHECK(cudaMallocHost(&host[i], bytes));
    CHECK(cudaMalloc(&card[i], bytes));
  }
  fill(work, host, n, round);
  if (work.result >= work.inputs) {
    std::memset(host[work.result], 0xff, bytes);
    CHECK(cudaMemset(card[work.result], 0xff, bytes));
  }
  CHECK(cudaDeviceSynchronize());

  const auto start = Clock::now();
  for (int i = 0; i < work.inputs; ++i) CHECK(cudaMemcpyAsync(card[i], host[i], bytes, cudaMemcpyHostToDevice, stream));
  work.launch(card, n, stream);
  CHECK(cudaGetLastError());
  CHECK(cudaMemcpyAsync(host[work.result], card[work.result], bytes, cudaMemcpyDeviceToHost, stream));
  CHECK(cudaStreamSynchronize(stream));
  const uint64_t sum = read_all(as<uint32_t>(host, work.result), n);
  const std::chrono::duration<double> took = Clock::now() - start;

  const bool verified = verify(work, as<float>(host, work.result), n, round, sum);
  for (int i = 0; i < work.arrays; ++i) {
    CHECK(cudaFree(card[i]));
    CHECK(cudaFreeHost(host[i]));
  }
  return {took.count(), verified};
}

double quartile(const std::vector<double> &sorted, size_t part) { return sorted[std::min(sorted.size() * part / 4, sorted.size() - 1)]; }

// All variants of a case, in turn; whether every result was right.
bool run_case(const Case &work, size_t most_bytes, unsigned rounds, int device, bool concurrent, bool managed, cudaStream_t stream) {
  const size_t rows = most_bytes / (static_cast<size_t>(work.arrays) * kWidth * sizeof(float));
  const size_t n = std::max<size_t>(rows, 1) * kWidth;
  const size_t bytes = n * sizeof(float) * static_cast<size_t>(work.arrays);
  std::vector<double> seconds[kVariants];
  bool verified[kVariants] = {true, true, true, true};
  const char *skipped[kVariants] = {};
  if (!managed) {
    for (int v = kFaults; v < kCopies; ++v) skipped[v] = "the device has no managed memory";
  } else if (!concurrent) {
    for (int v = kPrefetch; v < kCopies; ++v) skipped[v] = "the device does not fault: managed memory moves as a whole at each launch";
  }
  for (unsigned round = 0; round <= rounds; ++round) {
    for (int v = 0; v < kVariants; ++v) {
      if (skipped[v] != nullptr) continue;
      insist_on_room(bytes);
      const Round done = v == kCopies ? copied_round(work, n, round, stream)
                                      : managed_round(work, static_cast<Variant>(v), n, round, device, stream);
      verified[v] = verified[v] && done.verified;
      if (round > 0) seconds[v].push_back(done.seconds);
    }
  }
  bool all = true;
  for (int v = 0; v < kVariants; ++v) {
    std::printf("{\"case\": \"%s\", \"variant\": \"%s\", ", work.name, kNames[v]);
    if (skipped[v] != nullptr) {
      std::printf("\"skipped\": \"%s\"}\n", skipped[v]);
      continue;
    }
    std::sort(seconds[v].begin(), seconds[v].end());
    const double median = quartile(seconds[v], 2);
    const double spread = (quartile(seconds[v], 3) - quartile(seconds[v], 1)) / median;
    std::printf("\"seconds_median\": %.9f, \"spread\": %.4f, \"bytes\": %zu, \"gb_s\": %.3f, \"rounds\": %u, \"verified\": %s}\n", median,
                spread, bytes, static_cast<double>(bytes) / median / 1e9, rounds, verified[v] ? "true" : "false");
    all = all && verified[v];
  }
  std::fflush(stdout);
  return all;
}

// The number after an option; without a right one, the end of the program.
unsigned long long number(const char *option, const char *text, unsigned long long least, unsigned long long most) {
  char *end = nullptr;
  const unsigned long long read = text != nullptr ? std::strtoull(text, &end, 10) : 0;
  if (text == nullptr || end == text || *end != '\0' || text[0] == '-' || read < least || read > most) {
    std::fprintf(stderr, "error: %s takes a number from %llu to %llu\n", option, least, most);
    std::exit(2);
  }
  return read;
}

}  // namespace

int main(int argc, char **argv) {
  size_t wanted = kDefaultBytes;
  unsigned rounds = 7;
  int device = 0;
  for (int i = 1; i < argc; i += 2) {
    const char *text = i + 1 < argc ? argv[i + 1] : nullptr;
    if (std::strcmp(argv[i], "--bytes") == 0) {
      wanted = static_cast<size_t>(number(argv[i], text, size_t{1} << 20, size_t{1} << 35));
    } else if (std::strcmp(argv[i], "--rounds") == 0) {
      rounds = static_cast<unsigned>(number(argv[i], text, 1, 1000));
    } else if (std::strcmp(argv[i], "--device") == 0) {
      device = static_cast<int>(number(argv[i], text, 0, 1023));
    } else {
      std::fprintf(stderr, "error: `%s` is not known\nusage: managed [--bytes N] [--rounds N] [--device N]\n", argv[i]);
      return 2;
    }
  }

  CHECK(cudaSetDevice(device));
  cudaDeviceProp properties{};
  CHECK(cudaGetDeviceProperties(&properties, device));
  int driver = 0, runtime = 0, managed = 0, concurrent = 0;
  CHECK(cudaDriverGetVersion(&driver));
  CHECK(cudaRuntimeGetVersion(&runtime));
  CHECK(cudaDeviceGetAttribute(&managed, cudaDevAttrManagedMemory, device));
  CHECK(cudaDeviceGetAttribute(&concurrent, cudaDevAttrConcurrentManagedAccess, device));
  cudaStream_t stream = nullptr;
  CHECK(cudaStreamCreate(&stream));
  size_t free_bytes = 0, total = 0;
  CHECK(cudaMemGetInfo(&free_bytes, &total));
  // A little below the limit, so that what the runtime takes later does not make the check of a round fail.
  const size_t bytes = std::min(wanted, static_cast<size_t>(0.9 * kMostOfFree * static_cast<double>(free_bytes)));
  std::printf("{\"device\": \"%s\", \"cuda_driver\": %d, \"cuda_runtime\": %d, \"free_bytes\": %zu, \"total_bytes\": %zu, "
              "\"concurrent_managed_access\": %s}\n",
              properties.name, driver, runtime, free_bytes, total, concurrent != 0 ? "true" : "false");
  std::fflush(stdout);

  bool all = true;
  for (const Case &work : kCases) all = run_case(work, bytes, rounds, device, concurrent != 0, managed != 0, stream) && all;
  CHECK(cudaStreamDestroy(stream));
  return all ? 0 : 1;
}
