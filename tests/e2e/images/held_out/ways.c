/* Comes to work.c in one of many WAYs, none of which looks at the processor. */
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <setjmp.h>
double work(double *, const double *, size_t);
int order(const void *, const void *);
void *thread(void *);
void finish(void);
void on_signal(int);
static double a[256], b[256];
#if WAY == 5
__attribute__((constructor)) static void first(void) { finish(); }
#elif WAY == 6
__attribute__((destructor)) static void last(void) { finish(); }
#elif WAY == 7
struct ops { const char *name; double (*run)(double *, const double *, size_t); };
static double none(double *x, const double *y, size_t n) { (void)y; (void)n; return x[0]; }
static const struct ops all[] = {{"none", none}, {"work", work}};
#elif WAY == 8
static double (*volatile chosen)(double *, const double *, size_t);
#endif
int main(int argc, char **argv) {
    double out = 0;
    (void)argv;
#if WAY == 0
    out = work(a, b, 256);
#elif WAY == 1
    qsort(a, 256, sizeof *a, order);
#elif WAY == 2
    pthread_t t;
    pthread_create(&t, NULL, thread, &out);
    pthread_join(t, NULL);
#elif WAY == 3
    atexit(finish);
#elif WAY == 4
    signal(SIGUSR1, on_signal);
    raise(SIGUSR1);
#elif WAY == 7
    out = all[argc > 0].run(a, b, 256);
#elif WAY == 8
    chosen = argc > 0 ? work : NULL;
    out = chosen(a, b, 256);
#elif WAY == 9
    jmp_buf back;
    if (setjmp(back) == 0) longjmp(back, argc);
    else out = work(a, b, 256);
#elif WAY == 10
    if (argc > 0 && getenv("PATH")) out = work(a, b, 256);
#elif WAY == 11
    __builtin_cpu_init();
    printf("%d\n", !!__builtin_cpu_supports("avx2"));
    out = work(a, b, 256);
#endif
    printf("%f\n", out);
    return 0;
}
