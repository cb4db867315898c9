// Virtual functions, templates and the standard library.
#include <algorithm>
#include <iostream>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

struct Shape { virtual double run(std::vector<double> &v) = 0; virtual ~Shape() {} };
template <int K> struct Scaled : Shape {
    double run(std::vector<double> &v) override {
        double t = 0;
        for (auto &x : v) t += x * K;
        std::sort(v.begin(), v.end());
        return t;
    }
};
struct Halved : Shape {
    std::vector<float> w;
    double run(std::vector<double> &v) override {
        w.resize(v.size());
        for (size_t i = 0; i < v.size(); i++) w[i] = v[i] * 1.5f;
        return std::accumulate(w.begin(), w.end(), 0.f);
    }
};

int main() {
    std::map<std::string, std::unique_ptr<Shape>> m;
    m["a"] = std::make_unique<Scaled<3>>();
    m["b"] = std::make_unique<Scaled<5>>();
    m["c"] = std::make_unique<Halved>();
    std::vector<double> d(1000);
    for (size_t i = 0; i < d.size(); i++) d[i] = (i * 7919) % 1000;
    double t = 0;
    for (auto &[k, s] : m) t += s->run(d);
    std::cout << t << "\n";
}
