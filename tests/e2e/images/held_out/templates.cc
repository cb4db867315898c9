// Much of the standard library, instantiated here.
#include <algorithm>
#include <complex>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <regex>
#include <sstream>
#include <string>
#include <unordered_map>
#include <valarray>
#include <variant>
#include <vector>

template <typename T, int N> struct Matrix {
    std::vector<T> v = std::vector<T>(N * N);
    T &at(int i, int j) { return v[i * N + j]; }
    Matrix operator*(Matrix &o) {
        Matrix r;
        for (int i = 0; i < N; i++)
            for (int k = 0; k < N; k++)
                for (int j = 0; j < N; j++) r.at(i, j) += at(i, k) * o.at(k, j);
        return r;
    }
};
struct Shape { virtual ~Shape() = default; virtual double area() const = 0; };
struct Square : Shape { double a; Square(double a) : a(a) {} double area() const override { return a * a; } };
struct Disc : Shape { double r; Disc(double r) : r(r) {} double area() const override { return 3.14159 * r * r; } };
template <typename T> double product() {
    Matrix<T, 24> a, b;
    std::mt19937 random(7);
    for (auto &x : a.v) x = T(random() % 9);
    for (auto &x : b.v) x = T(random() % 9);
    auto c = a * b;
    return std::abs(std::accumulate(c.v.begin(), c.v.end(), T{}));
}
int main() {
    std::map<std::string, std::vector<int>> m;
    std::unordered_map<std::string, std::variant<int, std::string>> u;
    std::stringstream in("alpha beta gamma delta alpha gamma 12 99 x");
    std::string word;
    while (in >> word) { m[word].push_back(int(word.size())); u[word] = int(m.size()); }
    std::regex digits("[0-9]+|a.*a");
    int hits = 0;
    for (auto &[k, v] : m) hits += std::regex_match(k, digits);
    std::vector<std::unique_ptr<Shape>> shapes;
    for (int i = 0; i < 20; i++)
        if (i % 2) shapes.push_back(std::make_unique<Square>(i)); else shapes.push_back(std::make_unique<Disc>(i));
    std::sort(shapes.begin(), shapes.end(), [](auto &a, auto &b) { return a->area() < b->area(); });
    std::valarray<float> w(1.5f, 300);
    w = std::sqrt(w * w + 2.0f);
    std::function<double()> f[] = {product<float>, product<double>, product<int>, product<std::complex<double>>};
    double all = w.sum() + shapes.back()->area() + hits;
    for (auto &g : f) all += g();
    std::cout << all << "\n";
}
