/* Says which target it was built for: by name as its image is tagged, and by what the compiler
 * itself says it compiled for. Built once per target with that target's -march. */
#include <stdio.h>

#ifndef TARGET
#error "build with -DTARGET=\"...\""
#endif

#if defined(__znver3__)
#define MARCH "znver3"
#elif defined(__cascadelake__)
#define MARCH "cascadelake"
#elif defined(__skylake__)
#define MARCH "skylake"
#elif defined(__AVX512VL__) && defined(__AVX512BW__)
#define MARCH "x86-64-v4"
#elif defined(__SSE4_2__) && !defined(__AVX__)
#define MARCH "x86-64-v2"
#else
#error "no target that this program knows"
#endif

int main(void)
{
    puts(">> This container is optimized for: arch:" TARGET);
    puts("compiled with -march=" MARCH);
    return 0;
}
