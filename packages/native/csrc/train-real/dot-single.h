/*
 * Products of bfloat16 by instructions for single precision, in which each is exact: the second of every pair, then the first, as
 * AVX-512's vdpbf16ps takes them. A file that includes this has defined Reals, LANES and multiply_add(sums, b, a).
 */
typedef uint32_t Words __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
typedef struct {
  Reals first, second;
} Pairs, Spread;
static inline Pairs load(const uint32_t *b) {
  const Words both = *(const Words *)b;
  return (Pairs){(Reals)(both << 16), (Reals)(both & 0xffff0000)};
}
static inline Spread spread(const uint16_t *a) {
  uint32_t two;
  __builtin_memcpy(&two, a, 4);
  const Words both = two - (Words){0};
  return (Spread){(Reals)(both << 16), (Reals)(both & 0xffff0000)};
}
static inline Reals dot(Reals sums, Pairs b, Spread a) {
  return multiply_add(multiply_add(sums, b.second, a.second), b.first, a.first);
}
