/* Runs every function of part.c. */
#include "work.h"
void f1(float);
double f2(void);
int f3(void);
void f4(int);
float f5(void);
void f6(void);
unsigned f7(unsigned, unsigned);
void f8(char *, const char *);

int main(int c, char **v) {
    for (int i = 0; i < N; i++) { A[i] = i; B[i] = c; X[i] = i * 7; }
    f1(2); f6(); f4(3);
    printf("%f %d %f %u\n", f2(), f3(), f5(), f7(c, c + 2));
    f8((char *)X, (char *)A);
    return 0;
}
