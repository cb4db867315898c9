/* Loops over two dimensions, integers and bits, as compilers meet them in scientific code. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#define N 64
static double grid[N][N], next[N][N];
static uint64_t words[1024];

__attribute__((noinline)) static void step(double w) {
    for (int i = 1; i < N - 1; i++)
        for (int j = 1; j < N - 1; j++)
            next[i][j] = w * (grid[i - 1][j] + grid[i + 1][j] + grid[i][j - 1] + grid[i][j + 1]) + grid[i][j];
    for (int i = 1; i < N - 1; i++)
        for (int j = 1; j < N - 1; j++) grid[i][j] = next[i][j];
}

__attribute__((noinline)) static unsigned bits(void) {
    unsigned all = 0;
    for (int i = 0; i < 1024; i++) all += __builtin_popcountll(words[i]) + __builtin_clzll(words[i] | 1);
    return all;
}

__attribute__((noinline)) static uint32_t mix(const char *text) {
    uint32_t hash = 2166136261u;
    while (*text) hash = (hash ^ (unsigned char)*text++) * 16777619u;
    return hash;
}

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) grid[i][j] = i * j % 17;
    for (int i = 0; i < 1024; i++) words[i] = (uint64_t)i * 0x9e3779b97f4a7c15u;
    for (int i = 0; i < 10; i++) step(0.2);
    qsort(words, 1024, sizeof *words, by_value);
    printf("%f %u %u\n", grid[N / 2][N / 2], bits(), mix(argv[0]) & 1);
    return 0;
}
