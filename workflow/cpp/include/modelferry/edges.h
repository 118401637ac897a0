#pragma once

#include <ATen/core/Tensor.h>
#include <modelferry/scores.h>

#include <cstdint>
#include <optional>

namespace modelferry {

/// Edges for the flat layout of the charged-Higgs networks: from each particle to its `k` nearest in ΔR.
///
/// ΔR = sqrt(Δη² + Δφ²) in double precision, from (px, py, pz); η is 0 where pz is 0 (missing momentum), and finite along
/// the beam; Δφ is wrapped into (−π, π].
///
/// @param x      (n, ≥4) float: E, Px, Py, Pz in GeV, and more; any strides
/// @param k      neighbours; with fewer than k + 1 particles each gets all others
/// @param batch  (n) int64, event of each particle, ascending; without it all belong to one event
/// @return       (2, E) int64: **row 0 the particle, row 1 its neighbour**, nearest first, of equally near ones the first
///               first. Under PyTorch Geometric's convention messages then flow from the centre to its neighbours: the
///               networks were trained so.
/// @throws ContractError  if a shape or dtype is another
at::Tensor delta_r_edges(const at::Tensor& x, std::int64_t k = 4, const std::optional<at::Tensor>& batch = {});

/// Edges of a k-nearest-neighbour graph in the space of `x`: PyTorch Geometric's `knn_graph`.
///
/// Distances are Euclidean, from differences in the precision of `x`: a matrix product would cancel.
///
/// @param x      (n, F) floating point; any strides
/// @param k      neighbours; an event of n nodes gives each min(k, n − 1)
/// @param batch  (n) int64, event of each node, ascending; without it all belong to one event
/// @return       (2, E) int64: **row 0 the neighbour, row 1 the centre**, by centre, nearest first, of equally near ones
///               the first first; no self-loops
/// @throws ContractError  if a shape or dtype is another
at::Tensor knn_edges(const at::Tensor& x, std::int64_t k, const std::optional<at::Tensor>& batch = {});

}  // namespace modelferry
