// Runs one launch on buffers, both read from a file, and writes the buffers back: `runner JOB RESULT`.
//
// Little-endian, as emulator.py writes it: count of buffers, then for each its bytes (int64) and content; the
// kernel's name, grid, block, shared bytes; count of arguments, each -1 (a null pointer), a buffer's number, or
// -2 and a value's bytes.  Buffers lie in memory of exactly their size, so that an address sanitizer sees the
// first byte beyond.
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "cuda_emulator.h"

static FILE *job;

static void take(void *to, size_t bytes)
{
    if (bytes && fread(to, 1, bytes, job) != bytes) {
        fprintf(stderr, "the job ends too early\n");
        exit(2);
    }
}

static int64_t number()
{
    int64_t n;
    take(&n, sizeof n);
    return n;
}

static std::string text()
{
    std::string s(number(), ' ');
    take(&s[0], s.size());
    return s;
}

static Triple triple()
{
    const unsigned x = number(), y = number(), z = number();
    return {x, y, z};
}

struct Argument {
    void *pointer;
    std::string value;
    bool by_value;
};

int main(int count, char **words)
{
    job = count == 3 ? fopen(words[1], "rb") : nullptr;
    if (!job) return 2;
    std::vector<void *> buffers(number());
    std::vector<size_t> sizes;
    for (void *&buffer : buffers) {
        sizes.push_back(number());
        buffer = malloc(sizes.back());
        take(buffer, sizes.back());
    }

    const std::string name = text();
    emulator::Launch launch;
    launch.grid = triple();
    launch.block = triple();
    launch.shared_bytes = number();
    std::vector<Argument> arguments(number());
    std::vector<void *> where;
    for (Argument &a : arguments) {
        const int64_t kind = number();
        a.by_value = kind == -2;
        a.pointer = kind >= 0 ? buffers.at(kind) : nullptr;
        if (a.by_value) a.value = text();
        where.push_back(a.by_value ? (void *)a.value.data() : (void *)&a.pointer);
    }
    launch.arguments = where.data();

    const emulator::Body body = emulator::find(name.c_str());
    const char *failure = body ? emulator::run(launch, body) : "no such kernel";
    if (failure) {
        fprintf(stderr, "emulator: %s: %s\n", name.c_str(), failure);
        return 3;
    }
    FILE *result = fopen(words[2], "wb");
    for (size_t n = 0; n < buffers.size(); ++n) fwrite(buffers[n], 1, sizes[n], result);
    for (void *buffer : buffers) free(buffer);
    fclose(job);
    return fclose(result);
}
