// Chooses a class by what the processor has.
#include <cstdio>
#include <memory>
extern "C" double work(double *, const double *, size_t);
struct Engine { virtual ~Engine() = default; virtual double run(double *, const double *, size_t) = 0; };
struct Plain : Engine { double run(double *a, const double *b, size_t n) override { double s = 0; for (size_t i = 0; i < n; i++) s += a[i] + b[i]; return s; } };
struct Wide : Engine { double run(double *a, const double *b, size_t n) override { return work(a, b, n); } };
static std::unique_ptr<Engine> engine() {
    __builtin_cpu_init();
    if (__builtin_cpu_supports(NEED)) return std::make_unique<Wide>();
    return std::make_unique<Plain>();
}
int main() {
    double a[64] = {1}, b[64] = {2};
    std::printf("%d\n", engine()->run(a, b, 64) > -1);
}
