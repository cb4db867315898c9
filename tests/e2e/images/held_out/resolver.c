/* The dynamic linker chooses by resolvers. */
#include <stdio.h>
#include <stddef.h>
double work(double *, const double *, size_t);
static double plain(double *a, const double *b, size_t n) { double s = 0; for (size_t i = 0; i < n; i++) s += a[i] * b[i]; return s; }
static void *choose(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports(NEED) ? (void *)work : (void *)plain;
}
double run(double *, const double *, size_t) __attribute__((ifunc("choose")));
int main(void) {
    double a[64] = {1}, b[64] = {2};
    printf("%d\n", run(a, b, 64) > -1);
    return 0;
}
