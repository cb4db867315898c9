/* What clang calls multiversioning. */
#include <stdio.h>
__attribute__((cpu_specific(generic))) double run(const double *a, int n) { double s = 0; for (int i = 0; i < n; i++) s += a[i]; return s; }
__attribute__((cpu_specific(haswell))) double run(const double *a, int n) { double s = 1e-9; for (int i = 0; i < n; i++) s += a[i] * a[i]; return s; }
__attribute__((cpu_dispatch(generic, haswell))) double run(const double *a, int n) {}
int main(void) {
    double a[64] = {1};
    printf("%d\n", run(a, 64) > 0);
    return 0;
}
