/* Calls kernel.c through a table, without a look at the processor. */
#include "work.h"
float A[N], B[N], C[N];
int X[N];
double D[N];
void plain(float s) { for (int i = 0; i < N; i++) C[i] = A[i] * s + B[i]; }
void kernel(float);
void (*volatile const table[])(float) = {plain, kernel};

int main(int c, char **v) {
    for (int i = 0; i < N; i++) A[i] = B[i] = i;
    table[c > 0](3.0f);
    printf("%f\n", C[5]);
    return 0;
}
