/* Functions that the dynamic linker chooses. */
#include "work.h"
float A[N], B[N], C[N];
int X[N];
double D[N];
__attribute__((target_clones("avx2", "avx512f", "default"), noinline)) void k1(float s) {
    for (int i = 0; i < N; i++) C[i] = A[i] * s + B[i];
}
__attribute__((target_clones("arch=haswell", "default"), noinline)) int k2(void) {
    int t = 0;
    for (int i = 0; i < N; i++) t += X[i] * 3;
    return t;
}

int main(int c, char **v) {
    for (int i = 0; i < N; i++) A[i] = B[i] = X[i] = i;
    k1(2);
    printf("%f %d\n", C[5], k2());
    return 0;
}
