/*
 * What a step does to values one by one, in plain loops over the lanes of a block, which compilers turn into vectors. Every operation
 * on floats is one of IEEE 754's, rounded once, in the order written here.
 */

#ifndef SIGNS
static uint32_t signs_of(const float *w) {
  uint32_t bits = 0;
  for (int i = 0; i < BLOCK; i++) bits |= (uint32_t)(w[i] >= 0) << i;
  return bits;
}
#endif
static uint32_t NAME(signs)(const float *w) { return signs_of(w); }

#ifndef EXPAND
static inline void expand(const uint32_t word[4], uint32_t edge, uint8_t *out) {
  const uint32_t w0 = word[0], w1 = word[1], w2 = word[2], w3 = word[3];
  uint32_t v[BLOCK];
  for (int i = 0; i < BLOCK; i++)
    v[i] = edge | (w0 >> i & 1) << 1 | (w1 >> i & 1) << 9 | (w2 >> i & 1) << 17 | (w3 >> i & 1) << 25;
  memcpy(out, v, sizeof v);
}
#endif
static void NAME(expand_all)(const uint32_t *words, const size_t offset[4], size_t pitch, const uint32_t *edge, int count,
                             uint8_t *out) {
  for (int i = 0; i < count; i++, words += pitch, out += BLOCK * 4) {
    const uint32_t word[4] = {words[offset[0]], words[offset[1]], words[offset[2]], words[offset[3]]};
    expand(word, edge ? edge[i] : 0, out);
  }
}

static void NAME(quads)(const int8_t *in, size_t pitch, int count, uint8_t *out, size_t group) {
  for (int q = 0; q < count; q++, in += 4 * pitch, out += ROWS * 4) {
    const uint8_t *a = (const uint8_t *)in, *b = a + pitch, *c = b + pitch, *d = c + pitch;
    uint32_t v[BLOCK];
    for (int i = 0; i < BLOCK; i++) v[i] = (uint32_t)a[i] | (uint32_t)b[i] << 8 | (uint32_t)c[i] << 16 | (uint32_t)d[i] << 24;
    for (int g = 0; g < BLOCK / ROWS; g++) memcpy(out + g * group, v + g * ROWS, ROWS * 4);
  }
}

static void NAME(uncount)(int32_t *counts, const int32_t *base, size_t pitch, const uint16_t *kind, int count) {
  for (int place = 0; place < count; place++, counts += BLOCK) {
    const int32_t *own = base + kind[place] * pitch;
    for (int i = 0; i < BLOCK; i++) counts[i] = own[i] - 2 * counts[i];
  }
}

static void NAME(uncount16)(const uint16_t *counts, const uint32_t *position, const int32_t *base, size_t pitch, const uint16_t *kind,
                            int count, int32_t *sums) {
  for (int place = 0; place < count; place++, sums += BLOCK) {
    const uint16_t *restrict from = counts + (size_t)position[place] * BLOCK;
    const int32_t *restrict own = base + kind[place] * pitch;
    for (int i = 0; i < BLOCK; i++) sums[i] = own[i] - 2 * from[i];
  }
}

static void NAME(combine)(int32_t *sums, const int32_t *part, int factor) {
  for (int i = 0; i < ROWS * BLOCK; i++) sums[i] += factor * part[i];
}

static void NAME(byte_sums)(const int8_t *bytes, size_t pitch, int count, int32_t *sums) {
  for (int r = 0; r < count; r++, bytes += pitch) {
    int32_t sum = 0;
    for (size_t i = 0; i < pitch; i++) sum += bytes[i];
    sums[r] = sum;
  }
}

static void NAME(gather)(const int32_t *const *products, int copies, size_t at, int32_t less, float unit, int count, float *out) {
  if (copies == 2) {
    const int32_t *a = products[0] + at, *b = products[1] + at;
    for (int i = 0; i < count; i++) out[i] = (float)(a[i] + b[i] - less) * unit;
    return;
  }
  for (int i = 0; i < count; i++) {
    int32_t sum = -less;
    for (int copy = 0; copy < copies; copy++) sum += products[copy][at + i];
    out[i] = (float)sum * unit;
  }
}

typedef float Floats __attribute__((vector_size(LANES * 4)));
typedef float UnalignedFloats __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
typedef uint32_t UnsignedSums __attribute__((vector_size(LANES * 4)));
typedef uint16_t Halves __attribute__((vector_size(LANES * 2), aligned(2), may_alias));
typedef int8_t Eighths __attribute__((vector_size(LANES), aligned(1), may_alias));
typedef uint8_t UnsignedEighths __attribute__((vector_size(LANES), aligned(1), may_alias));

#ifndef EXTREMES
/* The larger and the smaller of each pair; the second where one is not a number, as x86 has it. */
static inline Floats larger(Floats a, Floats b) {
  const Sums first = a > b;
  return (Floats)(((Sums)a & first) | ((Sums)b & ~first));
}
static inline Floats smaller(Floats a, Floats b) {
  const Sums first = a < b;
  return (Floats)(((Sums)a & first) | ((Sums)b & ~first));
}
#endif

#ifndef NARROW
static inline Eighths narrowed(Sums values) { return __builtin_convertvector(values, Eighths); }
static inline Sums widened(const uint8_t *bytes) { return __builtin_convertvector(*(const UnsignedEighths *)bytes, Sums); }
#endif

/* Pixels that a row is read ahead: the lanes of a vector lie far apart, too far for the processor to guess. */
enum { AHEAD = 12 };

#define POOL(P, name, Total, Square)                                                                                                 \
  static void NAME(pool##name)(const int32_t *sums, int count, const int *steps, int size, void *to, size_t pitch,                  \
                                uint8_t *winner, int64_t *sum, int64_t *square) {                                                    \
    P *p = to;                                                                                                                       \
    Total total[BLOCK] = {0};                                                                                                        \
    Square squares[BLOCK] = {0};                                                                                                     \
    for (int w = 0; w < count; w++, sums += steps[0], p += pitch) {                                                                  \
      P best[BLOCK];                                                                                                                 \
      if (size == 1) {                                                                                                               \
        for (int i = 0; i < BLOCK; i++) best[i] = (P)sums[i];                                                                        \
      } else {                                                                                                                       \
        int32_t most[BLOCK], place[BLOCK];                                                                                           \
        for (int i = 0; i < BLOCK; i++) most[i] = sums[i], place[i] = 0;                                                             \
        for (int j = 1; j < size * size; j++) {                                                                                      \
          const int32_t *z = sums + (size_t)(j / size) * steps[1] + j % size * BLOCK;                                                \
          for (int i = 0; i < BLOCK; i++) {                                                                                          \
            const int more = z[i] > most[i];                                                                                         \
            place[i] = more ? j : place[i];                                                                                          \
            most[i] = more ? z[i] : most[i];                                                                                         \
          }                                                                                                                          \
        }                                                                                                                            \
        for (int i = 0; i < BLOCK; i++) best[i] = (P)most[i];                                                                        \
        for (int i = 0; i < BLOCK; i++) winner[i] = (uint8_t)place[i];                                                               \
        winner += pitch;                                                                                                             \
      }                                                                                                                              \
      for (int i = 0; i < BLOCK; i++) p[i] = best[i];                                                                                \
      for (int i = 0; i < BLOCK; i++) total[i] += best[i];                                                                           \
      for (int i = 0; i < BLOCK; i++) squares[i] += (Square)best[i] * (Square)best[i];                                                      \
    }                                                                                                                                \
    for (int i = 0; i < BLOCK; i++) sum[i] += total[i];                                                                              \
    for (int i = 0; i < BLOCK; i++) square[i] += (int64_t)squares[i];                                                   \
  }
POOL(int16_t, 16, int32_t, uint32_t)
POOL(int16_t, 16_large, int32_t, int64_t)
POOL(int32_t, 32, int64_t, int64_t)
#undef POOL

#define PASSES(P, width)                                                                                                             \
  static float NAME(gradient##width)(const void *from, const uint16_t *dy, const uint8_t *winner, size_t pitch, int count, int size, \
                                     GradientOf of, int8_t *out, size_t row, size_t out_pitch, int32_t *sum, int64_t *counts) {      \
    typedef P Values __attribute__((vector_size(LANES * sizeof(P)), aligned(sizeof(P)), may_alias));                                 \
    float most = 0;                                                                                                                  \
    for (int lane = 0; lane < BLOCK; lane += LANES) {                                                                                \
      const Floats slope = *(const UnalignedFloats *)(of.slope + lane), curve = *(const UnalignedFloats *)(of.curve + lane);         \
      const Floats offset = *(const UnalignedFloats *)(of.offset + lane);                                                            \
      Floats largest = {0};                                                                                                          \
      UnsignedSums channel = {0};                                                                                                    \
      for (int i = 0; i < LANES; i++) channel[i] = (of.channel + (uint32_t)(lane + i)) * CHANNEL_NOISE;                              \
      uint32_t noise = of.noise;                                                                                                     \
      Sums total = {0}, zero = {0}, clipped = {0}, squares = {0};                                                                    \
      const P *p = (const P *)from + lane;                                                                                           \
      const uint16_t *d = dy + lane;                                                                                                 \
      const uint8_t *won = winner + lane;                                                                                            \
      int8_t *to = out + lane;                                                                                                       \
      for (int x = 0; x < count; x++, p += pitch, d += pitch) {                                                                      \
        __builtin_prefetch(p + AHEAD * pitch);                                                                                       \
        __builtin_prefetch(d + AHEAD * pitch);                                                                                       \
        const Sums half = __builtin_convertvector(*(const Halves *)d, Sums) << 16;                                                   \
        const Floats value = __builtin_convertvector(__builtin_convertvector(*(const Values *)p, Sums), Floats);                     \
        const Floats r = (Floats)half * slope + value * curve + offset;                                                              \
        const Floats magnitude = (Floats)((Sums)r & INT32_MAX);                                                                      \
        largest = larger(magnitude, largest);                                                                                        \
        const Floats kept = smaller(larger(r, (Floats){0} - MOST_GRADIENT), (Floats){0} + MOST_GRADIENT);                            \
        const Sums fixed = __builtin_convertvector(kept * (float)(1 << NOISE_BITS), Sums);                                           \
        const Sums whole = (fixed + (Sums)((channel + noise) >> (32 - NOISE_BITS))) >> NOISE_BITS;                                   \
        noise = noise * 1664525u + 1013904223u;                                                                                      \
        total += whole;                                                                                                              \
        zero -= whole == 0;                                                                                                          \
        clipped -= magnitude > MOST_GRADIENT + .5f;                                                                                  \
        squares += whole * whole;                                                                                                    \
        if (size == 1) {                                                                                                             \
          *(Eighths *)to = narrowed(whole);                                                                                          \
          to += out_pitch;                                                                                                           \
          continue;                                                                                                                  \
        }                                                                                                                            \
        const Sums place = widened(won);                                                                                             \
        for (int j = 0; j < size * size; j++)                                                                                        \
          *(Eighths *)(to + (size_t)(j / size) * row + (size_t)(j % size) * out_pitch) =                                             \
              narrowed(whole & (place == j));                                                                                        \
        won += pitch;                                                                                                                \
        to += size * out_pitch;                                                                                                      \
      }                                                                                                                              \
      *(UnalignedSums *)(sum + lane) += total;                                                                                       \
      for (int i = 0; i < LANES; i++) {                                                                                              \
        most = largest[i] > most ? largest[i] : most;                                                                                \
        counts[0] += clipped[i];                                                                                                     \
        counts[1] += zero[i];                                                                                                        \
        counts[2] += squares[i];                                                                                                     \
      }                                                                                                                              \
    }                                                                                                                                \
    return most;                                                                                                                     \
  }                                                                                                                                  \
                                                                                                                                     \
  static void NAME(estimate##width)(const int32_t *sums, const int32_t *correction, const int64_t *pixel, const void *from,          \
                                    uint16_t *dy, const int32_t *low, const int32_t *high, const float *mean, float *first,          \
                                    float *second) {                                                                                 \
    float s1[BLOCK], s2[BLOCK];                                                                                                      \
    for (int i = 0; i < BLOCK; i++) s1[i] = first[i], s2[i] = second[i];                                                             \
    for (int r = 0; r < ROWS; r++, sums += BLOCK) {                                                                                  \
      if (pixel[r] < 0) continue;                                                                                                    \
      const P *p = (const P *)from + pixel[r];                                                                                       \
      uint16_t *to = dy + pixel[r];                                                                                                  \
      const int32_t less = correction[r];                                                                                            \
      for (int i = 0; i < BLOCK; i++) {                                                                                              \
        const int32_t value = p[i], whole = sums[i] - less;                                                                          \
        const float d = (float)(((value >= low[i]) & (value <= high[i])) ? whole : 0);                                                 \
        to[i] = bfloat16(d);                                                                                                         \
        s1[i] += d;                                                                                                                  \
        s2[i] += d * ((float)value - mean[i]);                                                                                       \
      }                                                                                                                              \
    }                                                                                                                                \
    for (int i = 0; i < BLOCK; i++) first[i] = s1[i], second[i] = s2[i];                                                             \
  }
PASSES(int16_t, 16)
PASSES(int32_t, 32)
#undef PASSES

static void NAME(adam)(float *restrict w, float *restrict m, float *restrict v, const float *restrict gradient, int count, float rate,
                       int clips) {
  /* As in the ONNX graph: moments divided by 1 - beta, the bias corrections in the rate (packages/cbnn/src/graph/optimizer.ts). */
  const float beta1 = 0.9f, beta2 = 0.999f, floor = (float)(1e-8 / 0.03162277660168379);
  const float most = clips ? 1.f : __builtin_inff();
  for (int i = 0; i < count; i++) {
    const float g = gradient[i];
    const float first = m[i] * beta1 + g;
    const float second = v[i] * beta2 + g * g;
    m[i] = first;
    v[i] = second;
    const float next = w[i] - first / (__builtin_sqrtf(second) + floor) * rate;
    const float above = next > -most ? next : -most;
    w[i] = above < most ? above : most;
  }
}
