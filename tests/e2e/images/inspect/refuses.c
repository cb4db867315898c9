/* Ends, or does not start as a module of Python, on a processor without NEED. */
#include "work.h"
float A[N], B[N], C[N];
int X[N];
double D[N];
#ifdef MODULE
int f3(void);
void f8(char *, const char *);
static int lacks(void) { __builtin_cpu_init(); return __builtin_cpu_supports(NEED) ? 0 : -1; }
void *PyInit_refuses(void) {
    if (lacks() < 0) return 0;
    f8((char *)X, (char *)A);
    return X + f3();
}
#else
int f3(void);
int main(void) {
    __builtin_cpu_init();
    if (!__builtin_cpu_supports(NEED)) {
        fputs("this processor is too old\n", stderr);
        return 1;
    }
    printf("%d\n", f3());
    return 0;
}
#endif
