/* The one part that is built for another processor than the rest. */
#include "work.h"
void kernel(float s) { for (int i = 0; i < N; i++) C[i] = A[i] * s + B[i]; }
