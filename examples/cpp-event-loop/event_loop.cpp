// An event loop on one thread: reads columns of particles, runs models, fills a histogram of each one's score.
//
//     event-loop EVENTS.csv BATCH MODEL…
//
// EVENTS.csv has a header, one particle a line, its event first, and the nine features of the network after it. BATCH
// events go into one call. Models are artifacts of the dense layout, TorchScript and AOTInductor side by side.

#include <ATen/ATen.h>
#include <modelferry/modelferry.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

constexpr std::size_t FEATURES = 9;
constexpr std::array<std::string_view, FEATURES> NAMES{"E",      "Px",         "Py",    "Pz",    "Charge",
                                                       "IsMuon", "IsElectron", "IsJet", "IsBjet"};

/// Particles of all events, column by column, and where each event begins.
struct Events {
  std::array<std::vector<float>, FEATURES> columns;
  std::vector<std::int64_t> begin{0};

  std::int64_t count() const { return static_cast<std::int64_t>(begin.size()) - 1; }
};

Events read(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error("cannot read " + path);
  Events events;
  std::string line, cell, current;
  std::getline(file, line);
  while (std::getline(file, line)) {
    std::istringstream cells(line);
    std::getline(cells, cell, ',');
    const auto rows = static_cast<std::int64_t>(events.columns[0].size());
    if (!current.empty() && cell != current) events.begin.push_back(rows);
    current = cell;
    for (auto& column : events.columns) {
      std::getline(cells, cell, ',');
      column.push_back(std::stof(cell));
    }
  }
  events.begin.push_back(static_cast<std::int64_t>(events.columns[0].size()));
  return events;
}

int main(int count, char** words) try {
  if (count < 4) throw std::runtime_error("usage: event-loop EVENTS.csv BATCH MODEL…");
  const modelferry::ThreadingService threading;
  const Events events = read(words[1]);
  const std::int64_t batch = std::stoll(words[2]);
  if (batch < 1) throw std::runtime_error("BATCH must be at least 1");
  for (int m = 3; m < count; ++m) {
    const modelferry::Model model(words[m]);
    std::array<int, 10> histogram{};
    double sum = 0;
    for (std::int64_t first = 0; first < events.count(); first += batch) {
      const std::int64_t last = std::min(first + batch, events.count());
      std::int64_t largest = 0;
      for (std::int64_t e = first; e < last; ++e) largest = std::max(largest, events.begin[e + 1] - events.begin[e]);
      at::Tensor x = at::zeros({last - first, largest, static_cast<std::int64_t>(FEATURES)});
      at::Tensor mask = at::zeros({last - first, largest}, at::kBool);
      for (std::int64_t e = first; e < last; ++e) {
        const std::int64_t begin = events.begin[e], size = events.begin[e + 1] - begin;
        modelferry::SoAView particles(size);
        for (std::size_t f = 0; f < FEATURES; ++f) {
          particles.column(std::string(NAMES[f]), events.columns[f].data() + begin);
          x[e - first].narrow(0, 0, size).select(1, static_cast<std::int64_t>(f)).copy_(particles.tensor({NAMES[f]}).select(1, 0));
        }
        mask[e - first].narrow(0, 0, size).fill_(true);
      }
      const at::Tensor era = at::eye(4).narrow(0, 3, 1).expand({last - first, 4});  // 2018
      const auto outputs = model.run({{"x", x}, {"mask", mask}, {"graph_input", era}});
      const at::Tensor scores = modelferry::softmax(outputs["logits"]).select(1, 0).contiguous();
      for (std::int64_t e = 0; e < last - first; ++e) {
        const float score = scores.const_data_ptr<float>()[e];
        ++histogram[std::min<std::size_t>(static_cast<std::size_t>(score * 10), 9)];
        sum += score;
      }
    }
    std::printf("%s %s: %lld events, mean score %.6f\n", model.identity().format.c_str(), words[m],
                static_cast<long long>(events.count()), sum / static_cast<double>(events.count()));
    for (std::size_t bin = 0; bin < histogram.size(); ++bin) std::printf("  %.1f %d\n", 0.1 * static_cast<double>(bin), histogram[bin]);
  }
  return 0;
} catch (const std::exception& error) {
  std::cerr << "error: " << error.what() << '\n';
  return 1;
}
