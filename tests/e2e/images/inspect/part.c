#include "work.h"
float A[N], B[N], C[N];
int X[N];
double D[N];
#define APART __attribute__((noinline))

APART void f1(float s) { for (int i = 0; i < N; i++) C[i] = A[i] * s + B[i]; }
APART double f2(void) { double t = 0; for (int i = 0; i < N; i++) t += D[i] * A[i]; return t; }
APART int f3(void) { int t = 0; for (int i = 0; i < N; i++) t += __builtin_popcount(X[i] ^ i); return t; }
APART void f4(int k) { for (int i = 0; i < N; i++) X[i] = (X[i] * k) >> 3; }
APART float f5(void) { float m = -1e9; for (int i = 0; i < N; i++) if (C[i] > m) m = C[i]; return m; }
APART void f6(void) { for (int i = 0; i < N; i++) D[i] = A[i] + X[i]; }
APART unsigned f7(unsigned a, unsigned b) { return (a & ~b) ^ (a << (b & 31)) ^ __builtin_clz(a | 1); }
APART void f8(char *p, const char *q) { for (int i = 0; i < N; i++) p[i] = p[i] > q[i] ? p[i] : q[i]; }
