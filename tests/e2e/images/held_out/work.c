/* The part that is built for another processor than the rest. */
#include <stddef.h>
double work(double *a, const double *b, size_t n) {
    double all = 0;
    for (size_t i = 0; i < n; i++) { a[i] = a[i] * 1.5 + b[i]; all += a[i]; }
    return all;
}
int order(const void *x, const void *y) {
    double a[8], b[8];
    for (int i = 0; i < 8; i++) { a[i] = *(const double *)x + i; b[i] = *(const double *)y - i; }
    return work(a, b, 8) > 0 ? (*(const double *)x > *(const double *)y) : 0;
}
void *thread(void *at) { double a[64] = {1}, b[64] = {2}; *(double *)at = work(a, b, 64); return at; }
void finish(void) { double a[64] = {1}, b[64] = {2}; volatile double all = work(a, b, 64); (void)all; }
void on_signal(int number) { (void)number; finish(); }
