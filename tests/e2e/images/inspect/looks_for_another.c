/* Looks at the processor, but not before it calls kernel.c. */
#include "work.h"
float A[N], B[N], C[N];
int X[N];
double D[N];
void kernel(float);
__attribute__((noinline)) void note(void) { puts("AVX-512 is here"); }

int main(int c, char **v) {
    for (int i = 0; i < N; i++) A[i] = B[i] = i;
    if (__builtin_cpu_supports("avx512f")) note();
    kernel(3);
    printf("%f\n", C[5]);
    return 0;
}
