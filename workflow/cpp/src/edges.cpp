#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <modelferry/contract.h>
#include <modelferry/edges.h>
#include <modelferry/errors.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>
#include <vector>

#include "describe.h"

namespace modelferry {
namespace {

constexpr double INFINITE = std::numeric_limits<double>::infinity();

/// Where each event begins, and the end of the last.
std::vector<std::int64_t> borders(std::int64_t nodes, const std::optional<at::Tensor>& batch) {
  if (!batch) return {0, nodes};
  if (!is_dense(*batch) || batch->dim() != 1 || batch->size(0) != nodes || batch->scalar_type() != at::kLong) {
    throw ContractError(text("'batch' is ", shape_and_dtype(*batch), "; expected (", nodes, ") int64"));
  }
  const at::Tensor contiguous = batch->contiguous();
  const auto* event = contiguous.const_data_ptr<std::int64_t>();
  std::vector<std::int64_t> found{0};
  for (std::int64_t i = 1; i < nodes; ++i) {
    if (event[i] < event[i - 1]) throw ContractError(text("'batch' falls at ", i, "; events must be ascending"));
    if (event[i] > event[i - 1]) found.push_back(i);
  }
  found.push_back(nodes);
  return found;
}

/// Edges found so far, centres and their neighbours.
struct Edges {
  std::vector<std::int64_t> centres, neighbours;

  /// Adds the nearest of each node of an event; `distance` gives that of two of its nodes.
  template <class Distance>
  void add_event(std::int64_t begin, std::int64_t end, std::int64_t k, const Distance& distance) {
    const std::int64_t count = std::min(k, end - begin - 1);
    std::vector<std::int64_t> order(end - begin);
    std::vector<double> apart(end - begin);
    const auto nearer = [&](std::int64_t a, std::int64_t b) {
      // NaN comes last, as numpy sorts it; of equals the first.
      const double x = apart[a], y = apart[b];
      if (x < y || (std::isnan(y) && !std::isnan(x))) return true;
      return !(y < x || (std::isnan(x) && !std::isnan(y))) && a < b;
    };
    for (std::int64_t centre = 0; count > 0 && centre < end - begin; ++centre) {
      for (std::int64_t other = 0; other < end - begin; ++other) {
        apart[other] = other == centre ? INFINITE : distance(centre, other);
      }
      std::iota(order.begin(), order.end(), 0);
      std::partial_sort(order.begin(), order.begin() + count, order.end(), nearer);
      for (std::int64_t slot = 0; slot < count; ++slot) {
        centres.push_back(begin + centre);
        neighbours.push_back(begin + order[slot]);
      }
    }
  }
};

at::Tensor stacked(const std::vector<std::int64_t>& first, const std::vector<std::int64_t>& second) {
  const auto count = static_cast<std::int64_t>(first.size());
  at::Tensor edges = at::empty({2, count}, at::kLong);
  auto* data = edges.mutable_data_ptr<std::int64_t>();
  std::ranges::copy(first, data);
  std::ranges::copy(second, data + count);
  return edges;
}

void check_neighbours(std::int64_t k) {
  if (k < 0) throw ContractError(text("k is ", k, "; expected 0 or more neighbours"));
}

double pseudorapidity(double px, double py, double pz) {
  const double pt = std::max(std::hypot(px, py), std::numeric_limits<double>::min());
  constexpr double LIMIT = std::numeric_limits<double>::max();
  return std::asinh(std::clamp(pz / pt, -LIMIT, LIMIT));
}

/// Moves an angle into (−π, π]; one that is there already stays bit for bit.
double wrapped(double phi) {
  constexpr double PI = std::numbers::pi;
  return phi - 2 * PI * std::ceil((phi - PI) / (2 * PI));
}

}  // namespace

at::Tensor delta_r_edges(const at::Tensor& x, std::int64_t k, const std::optional<at::Tensor>& batch) {
  check_neighbours(k);
  if (!is_dense(x) || x.dim() != 2 || x.size(1) < 4 || !x.is_floating_point()) {
    throw ContractError(text("'x' is ", shape_and_dtype(x), "; expected (n, ≥4) float: E, Px, Py, Pz, …"));
  }
  const at::Tensor momenta = x.narrow(1, 1, 3).to(at::kDouble);
  const auto momentum = momenta.accessor<double, 2>();
  const std::int64_t nodes = x.size(0);
  std::vector<double> eta(nodes), phi(nodes);
  for (std::int64_t i = 0; i < nodes; ++i) {
    const double px = momentum[i][0], py = momentum[i][1], pz = momentum[i][2];
    eta[i] = pseudorapidity(px, py, pz);
    phi[i] = std::atan2(py, px);
  }
  Edges edges;
  const auto events = borders(nodes, batch);
  for (std::size_t event = 0; event + 1 < events.size(); ++event) {
    const std::int64_t begin = events[event];
    edges.add_event(begin, events[event + 1], k, [&](std::int64_t a, std::int64_t b) {
      return std::hypot(eta[begin + a] - eta[begin + b], wrapped(phi[begin + a] - phi[begin + b]));
    });
  }
  return stacked(edges.centres, edges.neighbours);
}

at::Tensor knn_edges(const at::Tensor& x, std::int64_t k, const std::optional<at::Tensor>& batch) {
  check_neighbours(k);
  if (!is_dense(x) || x.dim() != 2 || !x.is_floating_point()) {
    throw ContractError(text("'x' is ", shape_and_dtype(x), "; expected (n, F) floating point"));
  }
  Edges edges;
  const auto events = borders(x.size(0), batch);
  for (std::size_t event = 0; event + 1 < events.size(); ++event) {
    const std::int64_t begin = events[event], end = events[event + 1];
    const at::Tensor nodes = x.slice(0, begin, end).contiguous();
    // libtorch's own sum, so that distances round as in the network.
    const at::Tensor squared = nodes.unsqueeze(1).sub(nodes.unsqueeze(0)).square().sum(-1).to(at::kDouble);
    const auto distance = squared.accessor<double, 2>();
    edges.add_event(begin, end, k, [&](std::int64_t a, std::int64_t b) { return distance[a][b]; });
  }
  return stacked(edges.neighbours, edges.centres);
}

}  // namespace modelferry
