/*
 * What a real step does to values one by one, in plain loops over the lanes of a block, which compilers turn into vectors. Every
 * operation is one of IEEE 754's, rounded once, in the order written here.
 */
static const float SIGN_GAIN = 1e20f; /* packages/cbnn/src/graph/operations/batch-norm.ts */

typedef int32_t Ints __attribute__((vector_size(LANES * 4)));

static void NAME(pool)(const float *z, int height, int width, int size, float *p, uint8_t *winner) {
  const size_t row = (size_t)width * size * BLOCK;
  for (int y = 0; y < height; y++)
    for (int x = 0; x < width; x++, p += BLOCK, winner += BLOCK) {
      const float *window = z + y * size * row + (size_t)x * size * BLOCK;
      float best[BLOCK];
      int32_t place[BLOCK] = {0};
      memcpy(best, window, sizeof best);
      for (int j = 1; j < size * size; j++) {
        const float *other = window + j / size * row + (size_t)(j % size) * BLOCK;
        for (int i = 0; i < BLOCK; i++) {
          const int wins = other[i] > best[i];
          best[i] = wins ? other[i] : best[i];
          place[i] = wins ? j : place[i];
        }
      }
      memcpy(p, best, sizeof best);
      for (int i = 0; i < BLOCK; i++) winner[i] = (uint8_t)place[i];
    }
}

static void NAME(moments)(const float *p, int pixels, float share, float *sum, float *square) {
  for (int lane = 0; lane < BLOCK; lane += LANES) {
    Reals total = {0}, squares = {0};
    for (int i = 0; i < pixels; i++) total += *(const UnalignedReals *)(p + i * BLOCK + lane);
    const Reals mean = total * share;
    for (int i = 0; i < pixels; i++) {
      const Reals d = *(const UnalignedReals *)(p + i * BLOCK + lane) - mean;
      squares += d * d;
    }
    *(UnalignedReals *)(sum + lane) = total;
    *(UnalignedReals *)(square + lane) = squares;
  }
}

static void NAME(shifted_square)(const float *p, int pixels, const float *mean, float *square) {
  for (int lane = 0; lane < BLOCK; lane += LANES) {
    Reals squares = {0};
    for (int i = 0; i < pixels; i++) {
      const Reals d = *(const UnalignedReals *)(p + i * BLOCK + lane) - *(const UnalignedReals *)(mean + lane);
      const Ints bits = (Ints)d, size = ((bits & INT32_MAX) + UP_FROM_ROOT_OF_2) & EXPONENT;
      squares += d * (Reals)(size | (bits & INT32_MIN));
    }
    *(UnalignedReals *)(square + lane) = squares;
  }
}

INLINE uint16_t NAME(rounded)(float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

INLINE void NAME(put)(const uint16_t *values, int lanes, uint16_t *out) {
  if (lanes == BLOCK) memcpy(out, values, BLOCK * sizeof *values);
  else memcpy(out, values, lanes * sizeof *values);
}

static void NAME(activate)(const float *p, int count, Line line, Noise noise, int lanes, uint16_t *x, size_t pixel) {
  const float *restrict mean = line.mean, *restrict gain = line.gain, *restrict offset = line.offset;
  for (int n = 0; n < count; n++, p += BLOCK, x += pixel) {
    uint16_t out[BLOCK];
    if (noise.at)
      for (int i = 0; i < lanes; i++) {
        const float y = (p[i] - mean[i]) * gain[i] + offset[i];
        out[i] = noise.at[n * noise.pixel + i * noise.channel] < (y + 1.f) * .5f ? 0x3f80 : 0xbf80;
      }
    else if (line.activation != RELU)
      for (int i = 0; i < BLOCK; i++) out[i] = (p[i] - mean[i]) * gain[i] + offset[i] >= 0 ? 0x3f80 : 0xbf80;
    else
      for (int i = 0; i < BLOCK; i++) {
        const float y = (p[i] - mean[i]) * gain[i] + offset[i];
        out[i] = NAME(rounded)(y > 0 ? y : 0.f);
      }
    NAME(put)(out, lanes, x);
  }
}

/* Lanes added up: halves onto halves. */
INLINE float NAME(folded)(float *values) {
  for (int half = BLOCK / 2; half >= 1; half /= 2)
    for (int i = 0; i < half; i++) values[i] += values[i + half];
  return values[0];
}

static void NAME(magnitudes)(const float *p, int pixels, int blocks, size_t apart, Line line, float share, float *out) {
  for (int n = 0; n < pixels; n++, p += BLOCK) {
    float totals[BLOCK] = {0};
    for (int block = 0; block < blocks; block++) {
      const float *own = p + block * apart;
      const float *mean = line.mean + block * BLOCK, *gain = line.gain + block * BLOCK, *offset = line.offset + block * BLOCK;
      for (int i = 0; i < BLOCK; i++) {
        const float y = (own[i] - mean[i]) * gain[i] + offset[i];
        totals[i] += y < 0 ? -y : y;
      }
    }
    out[n] = NAME(folded)(totals) * share;
  }
}

static void NAME(scale)(float *z, const float *k, int pixels) {
  for (int n = 0; n < pixels; n++, z += BLOCK)
    for (int i = 0; i < BLOCK; i++) z[i] *= k[n];
}

/* max(t, 1) (1 - tanh(t y)^2), t being the sharpness, which is max(t, 1) * 4 e / (1 + e)^2 with e = exp(-2 |t y|): docs/training-step.md 8.5. */
INLINE Reals NAME(decaying_slope)(Reals y, float sharpness) {
  static const float POLYNOMIAL[] = {1.5403530e-4f, 1.3333558e-3f, 9.6181291e-3f, 5.5504109e-2f, 2.4022651e-1f, 6.9314718e-1f};
  const float height = sharpness > 1 ? sharpness : 1, NEAREST = 12582912.f, LEAST = -125.f;
  Reals power = (Reals)((Ints)y & INT32_MAX) * sharpness * -2.8853901f;
  const Ints fits = power > LEAST;
  power = (Reals)(((Ints)power & fits) | ((Ints)(LEAST + (Reals){0}) & ~fits));
  const Reals whole = (power + NEAREST) - NEAREST, part = power - whole;
  Reals e = {0};
  for (int i = 0; i < 6; i++) e = (e + POLYNOMIAL[i]) * part;
  e = (e + 1.f) * (Reals)((__builtin_convertvector(whole, Ints) + 127) << 23);
  const Reals other = e + 1.f;
  return e * (4.f * height) / (other * other);
}

static void NAME(estimate)(float *dy, const float *p, int pixels, Line line, const float *dmagnitude, float *first, float *second) {
  const float widest = line.activation == SIGN ? SIGN_GAIN : 1.f, sharpness = line.sharpness;
  for (int lane = 0; lane < BLOCK; lane += LANES) {
    const Reals mean = *(const UnalignedReals *)(line.mean + lane), gain = *(const UnalignedReals *)(line.gain + lane);
    const Reals offset = *(const UnalignedReals *)(line.offset + lane);
    Reals total = {0}, products = {0};
    for (int n = 0; n < pixels; n++) {
      UnalignedReals *d = (UnalignedReals *)(dy + n * BLOCK + lane);
      const Reals centred = *(const UnalignedReals *)(p + n * BLOCK + lane) - mean, y = centred * gain + offset;
      Reals passed = *d;
      if (line.activation == APPROXIMATE_SIGN) {
        const Reals slope = (1.f - (Reals)((Ints)y & INT32_MAX)) * 2.f;
        passed *= (Reals)((Ints)slope & (slope > 0));
        *d = passed;
      } else if (line.activation == DECAYING_SIGN) {
        passed *= NAME(decaying_slope)(y, sharpness);
        *d = passed;
      } else if (line.activation != NO_ACTIVATION) {
        const Ints open = line.activation == RELU ? y > 0 : (y >= -widest) & (y <= widest);
        passed = (Reals)((Ints)passed & open);
        if (dmagnitude) {
          const Reals rises = dmagnitude[n] + (Reals){0}, falls = -dmagnitude[n] + (Reals){0};
          passed += (Reals)(((Ints)rises & (y > 0)) | ((Ints)falls & (y < 0)));
        }
        *d = passed;
      }
      total += passed;
      products += passed * centred;
    }
    *(UnalignedReals *)(first + lane) = total;
    *(UnalignedReals *)(second + lane) = products;
  }
}

/* Of a window whose sums were scaled: dz at the place that won, and each scale's own, times the scale. */
INLINE void NAME(gradient_of_window)(const float *value, const float *p, const uint8_t *winner, int size, Scaled scaled, int lanes,
                                     uint16_t *dz, size_t row, size_t pixel) {
  for (int j = 0; j < size * size; j++) {
    const size_t place = j / size * scaled.row + (size_t)(j % size);
    const float k = scaled.k[place];
    float products[BLOCK];
    uint16_t out[BLOCK];
    for (int i = 0; i < BLOCK; i++) {
      const float own = size == 1 || winner[i] == j ? value[i] : 0;
      products[i] = own * p[i];
      out[i] = NAME(rounded)(own * k);
    }
    scaled.dk[place] = NAME(folded)(products);
    NAME(put)(out, lanes, dz + j / size * row + j % size * pixel);
  }
}

static void NAME(gradient)(const float *dy, const float *p, const uint8_t *winner, int count, int size, GradientOf of, Scaled scaled,
                           int lanes, uint16_t *dz, size_t row, size_t pixel) {
  const float *restrict slope = of.slope, *restrict mean = of.mean, *restrict curve = of.curve, *restrict offset = of.offset;
  for (int n = 0; n < count; n++, dy += BLOCK, p += BLOCK, dz += size * pixel) {
    float value[BLOCK];
    uint16_t all[BLOCK];
    for (int i = 0; i < BLOCK; i++) value[i] = dy[i] * slope[i] + (p[i] - mean[i]) * curve[i] + offset[i];
    if (scaled.k) {
      const Scaled own = {scaled.k + n * size, scaled.dk + n * size, scaled.row};
      NAME(gradient_of_window)(value, p, winner, size, own, lanes, dz, row, pixel);
    } else {
      for (int i = 0; i < BLOCK; i++) all[i] = NAME(rounded)(value[i]);
      if (size == 1) NAME(put)(all, lanes, dz);
      for (int j = 0; size > 1 && j < size * size; j++) {
        uint16_t own[BLOCK];
        for (int i = 0; i < BLOCK; i++) own[i] = winner[i] == j ? all[i] : 0;
        NAME(put)(own, lanes, dz + j / size * row + j % size * pixel);
      }
    }
    if (winner) winner += BLOCK;
  }
}

static void NAME(pairs)(const uint16_t *in, size_t apart, size_t step, int count, uint32_t *out) {
  for (int n = 0; n < count; n++, in += step, out += BLOCK) {
    const uint16_t *restrict first = in, *restrict second = in + apart;
    for (int i = 0; i < BLOCK; i++) out[i] = (uint32_t)first[i] | (uint32_t)second[i] << 16;
  }
}

static void NAME(round)(const float *in, int count, uint16_t *out) {
  for (int i = 0; i < count; i++) out[i] = NAME(rounded)(in[i]);
}
