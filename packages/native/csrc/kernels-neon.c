/* NEON (every arm64): two channels a register, bits counted by vcnt and added up in pairs of bytes. */
#if defined(__aarch64__)
#include <arm_neon.h>
#include <stdint.h>
#define NAME(x) neon_##x
enum { LANES = 2, VECTOR_BYTES = 16, WIDTH = 4, WIDTH_ALONE = 4 };
typedef uint16x8_t Counts;
#define ZERO vdupq_n_u16(0)
/* A step adds at most 16 to each of the four 16-bit counts of a channel. */
#define MOST_STEPS 4095
#include "layers.h"

typedef uint64x2_t Words;
#define WORDS vdupq_n_u64(0)
#define KEEP(x) "w"(x)
static inline Counts count_words(Counts counts, Words word, Words weights) {
  return vpadalq_u8(counts, vcntq_u8(vreinterpretq_u8_u64(veorq_u64(word, weights))));
}
static inline Counts count(Counts counts, uint64_t word, const uint64_t *weights) {
  return count_words(counts, vdupq_n_u64(word), vld1q_u64(weights));
}
static inline void spill(Counts counts, int64_t *to) {
  const uint64x2_t sums = vpaddlq_u32(vpaddlq_u16(counts));
  to[0] += (int64_t)vgetq_lane_u64(sums, 0);
  to[1] += (int64_t)vgetq_lane_u64(sums, 1);
}
static inline uint32_t mask16(const void *sums, const void *thresholds) {
  static const uint8_t bit[8] = {1, 2, 4, 8, 16, 32, 64, 128};
  const int16_t *a = sums, *b = thresholds;
  uint32_t mask = 0;
  for (int i = 0; i < 4; i++) {
    const uint8x8_t on = vmovn_u16(vcgeq_s16(vld1q_s16(a + 8 * i), vld1q_s16(b + 8 * i)));
    mask |= (uint32_t)vaddv_u8(vand_u8(on, vld1_u8(bit))) << (8 * i);
  }
  return mask;
}
static inline uint32_t mask32(const void *sums, const void *thresholds) {
  static const uint32_t bit[4] = {1, 2, 4, 8};
  const int32_t *a = sums, *b = thresholds;
  uint32_t mask = 0;
  for (int i = 0; i < 8; i++)
    mask |= vaddvq_u32(vandq_u32(vcgeq_s32(vld1q_s32(a + 4 * i), vld1q_s32(b + 4 * i)), vld1q_u32(bit))) << (4 * i);
  return mask;
}
static int neon_supported(void) { return 1; }
/*
 * For lookup.h, as in kernels-avx2.c; high nibbles are shifted and added in one operation. By LLVM 22's models of processors, whose cycles are
 * not measured ones, its loop does 1.1 times the products of counting on a Cortex-A53, 1.2 to 1.4 on A57, A76 and Neoverse N1, and 1.6 to 2.4
 * on A55, A510, N2, V1, V2 and Apple's M1; choose.c measures.
 */
#define add_high(sums, three) ((Bytes)vsraq_n_u8((uint8x16_t)(sums), (uint8x16_t)(three), 4))
#define lanes_up(before, own) ((Bytes)vextq_u8((uint8x16_t)(before), (uint8x16_t)(own), 15))
#define lanes_down(own, behind) ((Bytes)vextq_u8((uint8x16_t)(own), (uint8x16_t)(behind), 1))
#define LOOKS_UP
#include "kernels.h"
KERNELS(neon_kernels, "neon")
#endif
