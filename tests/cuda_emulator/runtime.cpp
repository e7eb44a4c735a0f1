// Runs the threads of a CUDA launch as fibers in one OS thread, block after block.
//
// A fiber runs to its next synchronisation; then any fiber that is ready may go on, chosen by a seeded generator
// (EMULATOR_SEED; 0 is forward order), and blocks come in a seeded order too.  Every break of the rules of
// convergence is an error that names line, block and thread.  Fresh memory is filled with EMULATOR_FILL.
// Never compiled with -fsanitize=thread: the scheduler would report itself.
#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>

#include "cuda_emulator.h"

#ifdef EMULATOR_ASAN
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef EMULATOR_TSAN
extern "C" {
void *__tsan_create_fiber(unsigned flags);
void __tsan_switch_to_fiber(void *fiber, unsigned flags);
void *__tsan_get_current_fiber();
void __tsan_acquire(void *address);
void __tsan_release(void *address);
}
constexpr unsigned NO_SYNCHRONISATION = 1;
#endif

Triple threadIdx, blockIdx, blockDim, gridDim;

#ifndef __x86_64__
#error "the switch of stacks below is for x86-64"
#endif
// Saves what a callee must keep, swaps stacks, restores: rdi is where to keep the old stack pointer, rsi the new one.
asm(R"(
.globl emulator_switch
emulator_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
)");
extern "C" void emulator_switch(void **from, void *to);

namespace emulator {
namespace {

constexpr int MOST_THREADS = 1024, STACK = 1 << 18, PAGE = 4096;
constexpr size_t MOST_SHARED = 227 * 1024;

enum State { READY, IN_BARRIER, IN_WARP, LEFT };

struct Fiber {
    Triple index;
    State state;
    int line, source;
    uint64_t value;
    char *stack;
    void *pointer;
    void *tsan;
};

struct Meeting {  // lanes of one warp that wait for each other
    unsigned mask, arrived;
    int line;
};

struct Warp {
    unsigned alive;
    Meeting meetings[32];
};

Fiber fibers[MOST_THREADS];
Warp warps[MOST_THREADS / 32];
int ready[MOST_THREADS], ready_first, ready_count;
int threads, left_count, waiting, barrier_line, barrier_result, running;
int barrier_parity;
void *shared, *scheduler_pointer;
Body body;
void **arguments;
char message[512];
uint64_t generator;
#ifdef EMULATOR_TSAN
char barrier_tag[2], start_tag, end_tag;
void *scheduler_tsan;
#endif
#ifdef EMULATOR_ASAN
const void *scheduler_stack;
size_t scheduler_stack_size;
void *scheduler_fake;
#endif

uint64_t draw()
{
    generator ^= generator << 13;
    generator ^= generator >> 7;
    generator ^= generator << 17;
    return generator;
}

int setting(const char *name, int otherwise)
{
    const char *text = getenv(name);
    return text ? atoi(text) : otherwise;
}

__attribute__((no_sanitize("address"))) void to_scheduler([[maybe_unused]] bool for_good)
{
    Fiber &fiber = fibers[running];
#ifdef EMULATOR_ASAN
    void *fake = nullptr;
    __sanitizer_start_switch_fiber(for_good ? nullptr : &fake, scheduler_stack, scheduler_stack_size);
#endif
#ifdef EMULATOR_TSAN
    __tsan_switch_to_fiber(scheduler_tsan, NO_SYNCHRONISATION);
#endif
    emulator_switch(&fiber.pointer, scheduler_pointer);
#ifdef EMULATOR_ASAN
    __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
}

__attribute__((no_sanitize("address"))) void to_fiber(int thread)
{
    Fiber &fiber = fibers[thread];
    running = thread;
    threadIdx = fiber.index;
#ifdef EMULATOR_ASAN
    __sanitizer_start_switch_fiber(&scheduler_fake, fiber.stack, STACK);
#endif
#ifdef EMULATOR_TSAN
    __tsan_switch_to_fiber(fiber.tsan, NO_SYNCHRONISATION);
#endif
    emulator_switch(&scheduler_pointer, fiber.pointer);
#ifdef EMULATOR_ASAN
    __sanitizer_finish_switch_fiber(scheduler_fake, nullptr, nullptr);
#endif
}

// Keeps the first message and never comes back: the launch abandons its fibers.
void fail(int line, const char *what)
{
    if (!message[0])
        snprintf(message, sizeof message, "line %d, block (%u, %u, %u), thread (%u, %u, %u): %s", line, blockIdx.x,
                 blockIdx.y, blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z, what);
    to_scheduler(true);
    abort();
}

void make_ready(int thread)
{
    fibers[thread].state = READY;
    ready[(ready_first + ready_count++) % MOST_THREADS] = thread;
}

int next_ready()
{
    if (generator) {
        const int chosen = (ready_first + (int)(draw() % ready_count)) % MOST_THREADS;
        const int swapped = ready[ready_first];
        ready[ready_first] = ready[chosen];
        ready[chosen] = swapped;
    }
    const int thread = ready[ready_first];
    ready_first = (ready_first + 1) % MOST_THREADS;
    --ready_count;
    return thread;
}

// Waits until every lane of the mask is here, from the same line.
void meet(unsigned mask, int line)
{
    const int own = running, base = own & ~31;
    const unsigned bit = 1u << (own & 31);
    Warp &warp = warps[own / 32];
    if (!(mask & bit)) fail(line, "a lane is not in its own mask");
    if (mask & ~warp.alive) fail(line, "the mask names a lane that has left the kernel");
    Meeting *meeting = nullptr, *empty = nullptr;
    for (Meeting &m : warp.meetings) {
        if (!m.arrived) {
            if (!empty) empty = &m;
            break;
        }
        if (m.mask & mask) {
            if (m.mask != mask) fail(line, "lanes of a warp meet with different masks");
            if (m.line != line) fail(line, "lanes of a warp meet from different lines");
            meeting = &m;
            break;
        }
    }
    if (!meeting) {
        for (int lane = 0; lane < 32; ++lane)
            if (mask >> lane & 1 && fibers[base + lane].state == IN_BARRIER)
                fail(line, "the mask names a lane that waits in __syncthreads");
        meeting = empty;
        *meeting = {mask, 0, line};
    }
    meeting->arrived |= bit;
    fibers[own].state = IN_WARP;
    fibers[own].line = line;
    if (meeting->arrived == mask) {
        for (int lane = 0; lane < 32; ++lane)
            if (mask >> lane & 1) make_ready(base + lane);
        Meeting *last = warp.meetings;
        while (last < warp.meetings + 31 && last[1].arrived) ++last;
        *meeting = *last;  // no gaps: the search stops at the first free one
        *last = {0, 0, 0};
    }
    to_scheduler(false);
}

void leave()
{
    Fiber &fiber = fibers[running];
    Warp &warp = warps[running / 32];
    const unsigned bit = 1u << (running & 31);
    for (const Meeting &m : warp.meetings)
        if (m.arrived && m.mask & bit) fail(m.line, "a lane leaves the kernel while its warp waits for it");
    if (waiting) fail(barrier_line, "a thread leaves the kernel while its block waits in __syncthreads");
    warp.alive &= ~bit;
    fiber.state = LEFT;
    ++left_count;
#ifdef EMULATOR_TSAN
    __tsan_release(&end_tag);
#endif
    to_scheduler(true);
}

__attribute__((no_sanitize("address"))) void fiber_main()
{
#ifdef EMULATOR_ASAN
    const void *stack;
    size_t size;
    __sanitizer_finish_switch_fiber(nullptr, &stack, &size);
    scheduler_stack = stack;
    scheduler_stack_size = size;
#endif
#ifdef EMULATOR_TSAN
    __tsan_acquire(&start_tag);
#endif
    body(arguments);
    leave();
    abort();
}

void prepare_fiber(int thread, int fill)
{
    Fiber &fiber = fibers[thread];
    if (!fiber.stack) {
        char *memory = static_cast<char *>(
            mmap(nullptr, STACK + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
        if (memory == MAP_FAILED) abort();
        mprotect(memory, PAGE, PROT_NONE);
        fiber.stack = memory + PAGE;
    }
    // Locals that a kernel forgets to set must not find zeros; the deepest part is enough.
    std::memset(fiber.stack + STACK - 8192, fill, 8192);
    void **top = reinterpret_cast<void **>(fiber.stack + STACK) - 8;
    for (int n = 0; n < 6; ++n) top[n] = nullptr;      // the six registers
    top[6] = reinterpret_cast<void *>(&fiber_main);    // where `ret` goes
    top[7] = nullptr;                                  // rsp is 8 mod 16 there, as after a call
    fiber.pointer = top;
    fiber.index = {thread % blockDim.x, thread / blockDim.x % blockDim.y, thread / (blockDim.x * blockDim.y)};
#ifdef EMULATOR_TSAN
    if (!fiber.tsan) fiber.tsan = __tsan_create_fiber(0);  // kept: making one is slow
#endif
    make_ready(thread);
}

void run_block(size_t shared_bytes, int fill)
{
    shared = std::aligned_alloc(16, (shared_bytes + 15) / 16 * 16);
#ifdef EMULATOR_ASAN
    // aligned_alloc rounds up; a guard must begin at the first byte beyond what the launch asked for.
    if (shared_bytes % 16) fail(0, "the launch asks for shared memory that is no multiple of 16 bytes");
#endif
    if (shared_bytes) std::memset(shared, fill, shared_bytes);
    left_count = waiting = ready_first = ready_count = 0;
    for (Warp &warp : warps) warp = {};
    for (int n = 0; n < threads; ++n) warps[n / 32].alive |= 1u << (n & 31);
    for (int n = 0; n < threads; ++n) prepare_fiber(n, fill);
#ifdef EMULATOR_TSAN
    __tsan_release(&start_tag);
#endif
    while (left_count < threads && !message[0]) {
        if (!ready_count) {
            int n = 0;
            while (fibers[n].state == LEFT) ++n;
            snprintf(message, sizeof message, "block (%u, %u, %u): nobody can run, thread %d waits at line %d",
                     blockIdx.x, blockIdx.y, blockIdx.z, n, fibers[n].line);
            break;
        }
        to_fiber(next_ready());
    }
#ifdef EMULATOR_TSAN
    __tsan_acquire(&end_tag);
#endif
    free(shared);
}

const char *check(const Launch &launch)
{
    const size_t size = (size_t)launch.block.x * launch.block.y * launch.block.z;
    if (size < 1 || size > MOST_THREADS) return "a block has 1 to 1024 threads";
    if (launch.shared_bytes > MOST_SHARED) return "a block has at most 227 KiB of shared memory";
    if (!launch.grid.x || !launch.grid.y || !launch.grid.z) return "the grid is empty";
    if (launch.grid.x > 0x7fffffffu || launch.grid.y > 65535 || launch.grid.z > 65535) return "the grid is too large";
    return nullptr;
}

Entry *entries;

}  // namespace

void *shared_memory() { return shared; }
int lane() { return running & 31; }

int barrier(int predicate, int line)
{
    [[maybe_unused]] const int parity = barrier_parity;
    if (left_count) fail(line, "__syncthreads after a thread of the block has left the kernel");
    if (waiting && line != barrier_line) fail(line, "__syncthreads from different lines");
    for (const Meeting &m : warps[running / 32].meetings) {
        if (!m.arrived) break;
        if (m.mask >> (running & 31) & 1) fail(line, "a lane comes to __syncthreads while its warp waits for it");
    }
    if (!waiting) barrier_result = 1;
    barrier_line = line;
    barrier_result &= predicate != 0;
    fibers[running].state = IN_BARRIER;
    fibers[running].line = line;
#ifdef EMULATOR_TSAN
    __tsan_release(&barrier_tag[parity]);
#endif
    if (++waiting == threads) {
        waiting = 0;
        barrier_parity ^= 1;  // two tags, or a later release would hide a race
        for (int n = 0; n < threads; ++n) {
            fibers[n].source = barrier_result;
            make_ready(n);
        }
    }
    const int own = running;
    to_scheduler(false);
#ifdef EMULATOR_TSAN
    __tsan_acquire(&barrier_tag[parity]);
#endif
    return fibers[own].source;
}

// Orders no memory: to the race detector a shuffle is nothing.
uint64_t shuffle(unsigned mask, uint64_t value, int source, int line)
{
    if (source < 0 || source > 31 || !(mask >> source & 1)) fail(line, "the source lane is not in the mask");
    static uint64_t deposits[MOST_THREADS][2];
    static unsigned char turn[MOST_THREADS];
    const int own = running;
    const int slot = turn[own] ^= 1;  // a quick lane's next deposit must not overwrite what a slow one still reads
    deposits[own][slot] = value;
    const int from = (own & ~31) + source;
    meet(mask, line);
    return deposits[from][slot];
}

Entry::Entry(const char *name, Body body) : name(name), body(body), next(entries) { entries = this; }

Body find(const char *name)
{
    for (const Entry *entry = entries; entry; entry = entry->next)
        if (!strcmp(entry->name, name)) return entry->body;
    return nullptr;
}

const char *run(const Launch &launch, Body kernel)
{
    if (const char *refusal = check(launch)) return refusal;
    message[0] = 0;
    gridDim = launch.grid;
    blockDim = launch.block;
    threads = (int)(launch.block.x * launch.block.y * launch.block.z);
    body = kernel;
    arguments = launch.arguments;
    const int seed = setting("EMULATOR_SEED", 0), fill = setting("EMULATOR_FILL", 0xff);
    generator = seed ? 0x9e3779b97f4a7c15ull * (uint64_t)seed : 0;
#ifdef EMULATOR_TSAN
    scheduler_tsan = __tsan_get_current_fiber();
#endif
    const uint64_t blocks = (uint64_t)launch.grid.x * launch.grid.y * launch.grid.z;
    const uint64_t first = generator ? draw() % blocks : 0;
    const bool backwards = generator && draw() % 2;
    for (uint64_t n = 0; n < blocks && !message[0]; ++n) {
        const uint64_t b = ((backwards ? blocks - 1 - n : n) + first) % blocks;
        blockIdx = {(unsigned)(b % launch.grid.x), (unsigned)(b / launch.grid.x % launch.grid.y),
                    (unsigned)(b / launch.grid.x / launch.grid.y)};
        run_block(launch.shared_bytes, fill);
    }
    return message[0] ? message : nullptr;
}

}  // namespace emulator
