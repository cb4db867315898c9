/* Makes code when it runs: with AVX, or with PLAIN for any processor. */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

int main(int c, char **v) {
#ifdef PLAIN
    unsigned char code[] = {0xb8, 1, 0, 0, 0, 0xc3};
#else
    unsigned char code[] = {0xc5, 0xfc, 0x57, 0xc0, 0xc5, 0xf8, 0x77, 0xb8, 1, 0, 0, 0, 0xc3};
#endif
    void *p = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(p, code, sizeof code);
    printf("%d\n", ((int (*)(void))p)());
    return 0;
}
