/* Ordinary work in plain C, nothing written by hand for any processor: a sieve, a histogram, a
 * matrix product, dot products and a checksum. What instructions it comes to is the compiler's
 * choice by -march. It prints the same whatever it was compiled for, and ends with 0. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { SIEVE = 1 << 18, SIDE = 96, LENGTH = 1 << 14 };

static uint64_t bits[SIEVE / 64];
static double a[SIDE][SIDE], b[SIDE][SIDE], c[SIDE][SIDE];
static float x[LENGTH], y[LENGTH];
static int32_t p[LENGTH], q[LENGTH], r[LENGTH];

/* Not inlined, and given its sizes at run time, so that nothing is computed by the compiler. */
__attribute__((noinline)) static unsigned primes(uint32_t limit)
{
    unsigned found = 0;
    for (uint32_t i = 0; i < limit / 64; i++)
        bits[i] = ~UINT64_C(0);
    bits[0] &= ~UINT64_C(3);
    for (uint32_t i = 2; i * i < limit; i++)
        if (bits[i / 64] >> (i % 64) & 1)
            for (uint32_t j = i * i; j < limit; j += i)
                bits[j / 64] &= ~(UINT64_C(1) << (j % 64));
    for (uint32_t i = 0; i < limit / 64; i++)
        found += (unsigned)__builtin_popcountll(bits[i]);
    return found;
}

__attribute__((noinline)) static double product(int side)
{
    double sum = 0;
    for (int i = 0; i < side; i++)
        for (int j = 0; j < side; j++) {
            a[i][j] = i - j;
            b[i][j] = i + j;
            c[i][j] = 0;
        }
    for (int i = 0; i < side; i++)
        for (int k = 0; k < side; k++)
            for (int j = 0; j < side; j++)
                c[i][j] += a[i][k] * b[k][j];
    for (int i = 0; i < side; i++)
        for (int j = 0; j < side; j++)
            sum += c[i][j];
    return sum;
}

__attribute__((noinline)) static int64_t integers(int length)
{
    int64_t sum = 0;
    for (int i = 0; i < length; i++) {
        p[i] = (int32_t)((uint32_t)i * 2654435761u);
        q[i] = i ^ 0x5bd1;
    }
    for (int i = 0; i < length; i++) {
        int32_t least = p[i] < q[i] ? p[i] : q[i];
        r[i] = (least & ~q[i]) + (int32_t)((uint32_t)p[i] * (uint32_t)q[i]);
    }
    for (int i = 0; i < length; i++)
        sum += r[i];
    return sum;
}

__attribute__((noinline)) static float dot(int length)
{
    float sum = 0;
    for (int i = 0; i < length; i++) {
        x[i] = (float)(i % 7);
        y[i] = (float)(i % 5);
    }
    for (int i = 0; i < length; i++)
        sum += x[i] * y[i];
    return sum;
}

int main(int count, char **words)
{
    (void)words;
    /* Whole numbers all of them, so that no order of additions rounds otherwise. */
    printf("primes %u\n", primes(SIEVE * (uint32_t)(count > 0)));
    printf("product %.0f\n", product(SIDE * (count > 0)));
    printf("integers %lld\n", (long long)integers(LENGTH * (count > 0)));
    printf("dot %.0f\n", (double)dot(LENGTH * (count > 0)));
    return 0;
}
