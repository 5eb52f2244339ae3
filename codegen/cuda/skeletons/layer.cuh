#pragma once
// All tiles of a product of a small layer, by one block: each expert's rows times its own weights.
//   for each tile, for each slice of K:  copy the slice `stages - 1` further on, of this tile or of one behind;  wait for this one;  sums += its outer products
//   behind a tile's last slice:          visit(tile, sums)
// Slices of the tiles behind are on their way while a tile is computed: rows of a few slices would else wait for memory at each tile.
// Layouts, threads, shared bytes and the order of sums: product.cuh. Product, a policy: Tile; experts, columns, depth; offsets of the experts' rows;
// rowOfA(row), rowOfB(expert, column): where they start in global memory; readable(): any address there.
#include "experts.cuh"
#include "product.cuh"

// Tiles in order: an expert's rows, then the columns of these.
template <class Product> struct LayerTiles {
  using Tile = typename Product::Tile;
  static constexpr int across = (Product::columns + Tile::tileN - 1) / Tile::tileN;
  ExpertTiles<Product::experts, Tile::tileM> rows; // expert, first, count
  int index = -1, column0 = 0;

  __device__ __forceinline__ explicit LayerTiles(const int* offsets) : rows(offsets) {}
  __device__ __forceinline__ bool next() {
    ++index;
    column0 = index % across * Tile::tileN;
    return rows.find(index / across);
  }
};

// Slices on their way: of the tile `tiles` stands at, and in the ring at `place`.
template <class Product> struct LayerCopies {
  using Tile = typename Product::Tile;
  using T = typename Tile::T;
  static constexpr int slices = (Product::depth + Slice<T>::depth - 1) / Slice<T>::depth; // of a tile
  const Product& product;
  LayerTiles<Product> tiles;
  bool more;                                                                              // there is such a tile
  RowCopies<Tile, Tile::tileM> a;
  RowCopies<Tile, Tile::tileN> b;
  int slice = 0, place = 0;

  __device__ __forceinline__ explicit LayerCopies(const Product& product_)
      : product(product_), tiles(product_.offsets), more(tiles.next()), a(rowsOfA()), b(rowsOfB()) {}
  __device__ __forceinline__ RowCopies<Tile, Tile::tileM> rowsOfA() const {
    return RowCopies<Tile, Tile::tileM>([&](int m) -> const T* { return more && m < tiles.rows.count ? product.rowOfA(tiles.rows.first + m) : nullptr; });
  }
  __device__ __forceinline__ RowCopies<Tile, Tile::tileN> rowsOfB() const {
    return RowCopies<Tile, Tile::tileN>(
        [&](int n) -> const T* { return more && tiles.column0 + n < Product::columns ? product.rowOfB(tiles.rows.expert, tiles.column0 + n) : nullptr; });
  }
  // Starts the next slice's copies; behind the last one it only ends an empty group.
  __device__ __forceinline__ void start(typename Tile::Shared& shared) {
    if (more) {
      a.start(shared.a[place], slice * Slice<T>::depth, Product::depth, product.readable());
      b.start(shared.b[place], slice * Slice<T>::depth, Product::depth, product.readable());
      if (++slice == slices) {
        slice = 0;
        more = tiles.next();
        a = rowsOfA();
        b = rowsOfB();
      }
    }
    place = place + 1 == Tile::stages ? 0 : place + 1;
    commitCopies();
  }
};

// What the products read must be there for all threads before; what visit() wrote is there for all behind.
template <class Product, class Visit>
__device__ __forceinline__ void multiplyLayer(typename Product::Tile::Shared& shared, const Product& product, Visit visit) {
  using Tile = typename Product::Tile;
  LayerCopies<Product> copies(product);
#pragma unroll 1
  for (int slice = 0; slice < Tile::stages - 1; ++slice)
    copies.start(shared);
  LayerTiles<Product> tiles(product.offsets);
  int place = 0;
#pragma unroll 1
  while (tiles.next()) {
    typename Tile::T sums[Tile::rows][Tile::columns];
#pragma unroll
    for (int m = 0; m < Tile::rows; ++m)
#pragma unroll
      for (int n = 0; n < Tile::columns; ++n)
        sums[m][n] = 0;
#pragma unroll 1
    for (int slice = 0; slice < LayerCopies<Product>::slices; ++slice) {
      waitForCopies<Tile::stages - 2>();
      __syncthreads(); // this slice is there for all, and all are done with the one before, whose place the next copies take
      copies.start(shared);
      multiplySlice<Tile>(sums, shared.a[place], shared.b[place]);
      place = place + 1 == Tile::stages ? 0 : place + 1;
    }
    visit(tiles, sums);
  }
  waitForCopies<0>();
  __syncthreads();
}
