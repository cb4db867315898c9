/* Loops that compilers turn into vector instructions of whatever target they build for. */
#include <stdio.h>
#include <string.h>
#define N 257
extern float A[N], B[N], C[N];
extern int X[N];
extern double D[N];
