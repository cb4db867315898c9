/* Its work, which is in hidden.c, is encoded in the file, and decoded when it runs. */
#include <stdio.h>
int hidden(int *, int);
int main(void) {
    int a[64] = {1, 2, 3};
    volatile unsigned char *at = (volatile unsigned char *)hidden;
    for (int i = 0; i < SIZE; i++) at[i] ^= 0x5a;
    printf("%d\n", hidden(a, 64));
    return 0;
}
