/* Needs no header of a 32-bit C library. */
float a[256], b[256];
void add(float s) { for (int i = 0; i < 256; i++) a[i] = a[i] * s + b[i]; }
#ifdef MAKES_CODE
void *mmap(void *, unsigned, int, int, int, unsigned);
void *room(void) { return mmap(0, 4096, 7, 34, -1, 0); }
#endif
