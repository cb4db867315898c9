/* Calls kernel.c where the compiler's library says that the processor has what it needs. */
#include "work.h"
float A[N], B[N], C[N];
int X[N];
double D[N];
void kernel(float);
__attribute__((noinline)) void base(float s) { for (int i = 0; i < N; i++) C[i] = A[i] * s + B[i]; }

int main(int c, char **v) {
    for (int i = 0; i < N; i++) A[i] = B[i] = i;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) kernel(3);
    else base(3);
    printf("%f\n", C[5]);
    return 0;
}
