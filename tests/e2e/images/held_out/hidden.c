__attribute__((section(".hidden,\"awx\",@progbits#"))) int hidden(int *a, int n) {
    int all = 0;
    for (int i = 0; i < n; i++) all += a[i] * 3;
    return all;
}
