/* y = x w^T + b on a CPU for a few rows of x: every weight is read from memory once for eight rows.

   Built on the machine by cpu_linear.py, for its own CPU, from vectors of GCC and clang; only the two
   products that x86 has instructions for are written per instruction set. Weights are bfloat16 in
   torch's order, or codes of 8 or 4 bits in the order of quantise.py: 16 outputs side by side, so
   that no sum crosses a vector. A group of 32 inputs shares a scale. For codes a group of x becomes
   16-bit integers with a scale of its own (an error of 2^-16 of the group's largest number), and the
   products are exact integers. For bfloat16 with AVX-512 x is rounded to bfloat16, elsewhere nothing
   is. Sums over groups are float32, in an order that the number of threads does not change. */

#include <stddef.h>
#include <stdint.h>
#ifdef __AVX2__
#include <immintrin.h>
#endif

/* Bytes AHEAD of which codes are fetched: their decoding leaves the CPU too little room to look. */
enum { GROUP = 32, TILE = 16, MOST = 8, AHEAD = 4096 };

#define INLINE static inline __attribute__((always_inline))

typedef float floats __attribute__((vector_size(64), aligned(4)));
typedef int32_t words __attribute__((vector_size(64), aligned(4)));
typedef int16_t shorts __attribute__((vector_size(64), aligned(4)));
typedef uint16_t halves __attribute__((vector_size(32), aligned(2)));
typedef float eight __attribute__((vector_size(32)));

INLINE floats widened(const uint16_t *h) {
    return (floats)(__builtin_convertvector(*(const halves *)h, words) << 16);
}

/* To the nearest bfloat16, ties to even, as its upper half. */
INLINE uint16_t bf16_of(float value) {
    union { float value; uint32_t bits; } both = {value};
    return value == value ? (both.bits + 0x7fffu + (both.bits >> 16 & 1u)) >> 16 : 0x7fc0;
}

INLINE float float_of(uint16_t half) {
    union { uint32_t bits; float value; } both = {(uint32_t)half << 16};
    return both.value;
}

INLINE float total(floats s) {
    eight t = __builtin_shufflevector(s, s, 0, 1, 2, 3, 4, 5, 6, 7) +
              __builtin_shufflevector(s, s, 8, 9, 10, 11, 12, 13, 14, 15);
    return ((t[0] + t[4]) + (t[2] + t[6])) + ((t[1] + t[5]) + (t[3] + t[7]));
}

/* 16 outputs' products of two codes with two numbers of x, which lie in `x` side by side. */
INLINE words dot(words sum, shorts w, int32_t x) {
#if defined(__AVX512VNNI__)
    return (words)_mm512_dpwssd_epi32((__m512i)sum, (__m512i)w, _mm512_set1_epi32(x));
#elif defined(__AVX2__)
    union { shorts w; __m256i part[2]; words sum; } both = {w};
    for (int i = 0; i < 2; i++) both.part[i] = _mm256_madd_epi16(both.part[i], _mm256_set1_epi32(x));
    return sum + both.sum;
#else
    words both = (words)w;
    return sum + (both << 16 >> 16) * (int16_t)x + (both >> 16) * (x >> 16);
#endif
}

/* Products of 32 neighbouring bfloat16 weights. */
#ifdef __AVX512BF16__
typedef uint16_t input;
int rounds_inputs(void) { return 1; }
INLINE input input_of(float x) { return bf16_of(x); }
INLINE floats add(floats sum, const uint16_t *w, const input *x) {
    __m512bh a = (__m512bh)_mm512_loadu_si512(w), b = (__m512bh)_mm512_loadu_si512(x);
    return (floats)_mm512_dpbf16_ps((__m512)sum, a, b);
}
#else
typedef float input;
int rounds_inputs(void) { return 0; }
INLINE input input_of(float x) { return x; }
INLINE floats add(floats sum, const uint16_t *w, const input *x) {
    sum += widened(w) * *(const floats *)x;
    return sum + widened(w + 16) * *(const floats *)(x + 16);
}
#endif

/* A group of x as integers; one that holds what is no number has a scale that is none. */
INLINE void coded(const float *x, int16_t *to, float *scale, float *sum) {
    float most = 0, wrong = 0;
    int whole = 0;
    _Pragma("omp simd reduction(max : most) reduction(+ : wrong)")
    for (int i = 0; i < GROUP; i++) {
        float size = x[i] < 0 ? -x[i] : x[i];
        most = size > most ? size : most;
        wrong += x[i] * 0;
    }
    float by = wrong == 0 && most > 1e-30f ? 32767 / most : 0;
    for (int i = 0; i < GROUP; i++) {
        to[i] = by > 0 ? (int16_t)(x[i] * by + (x[i] < 0 ? -0.5f : 0.5f)) : 0;
        whole += to[i];
    }
    *scale = most / 32767 + wrong;
    *sum = whole * *scale;
}

/* `bits` and `rows` are constants where these are inlined, so that all sums are registers. */
INLINE void tile_of_codes(int bits, int rows, const int16_t *x, const float *scale, const float *sum,
                          const uint8_t *w, const uint16_t *steps, float (*y)[TILE], ptrdiff_t in) {
    const ptrdiff_t groups = in / GROUP;
    floats whole[MOST] = {{0}};
    for (ptrdiff_t g = 0; g < groups; g++, steps += bits == 4 ? 2 * TILE : TILE) {
        words part[MOST] = {{0}};
        for (int k = 0; k < GROUP; k += 32 / bits, w += 64) {
            __builtin_prefetch(w + AHEAD);
            for (int at = 0; at < 16; at += bits) {
                shorts codes = *(const shorts *)w << (16 - bits - at) >> (16 - bits);
                const int16_t *from = x + g * GROUP + k + at / bits * 2;
                for (int r = 0; r < rows; r++)
                    part[r] = dot(part[r], codes, *(const int32_t *)(from + r * in));
            }
        }
        for (int r = 0; r < rows; r++) {
            floats by = widened(steps) * scale[r * groups + g];
            whole[r] += __builtin_convertvector(part[r], floats) * by;
            if (bits == 4) whole[r] += widened(steps + TILE) * sum[r * groups + g];
        }
    }
    for (int r = 0; r < rows; r++) *(floats *)y[r] = whole[r];
}

INLINE void tile_of_bf16(int rows, const input *x, const uint16_t *w, float (*y)[TILE], ptrdiff_t in,
                         ptrdiff_t count) {
    for (ptrdiff_t o = 0; o < count; o++, w += in) {
        /* Four sums where there is one row, so that none waits for another. */
        floats sum[MOST][4] = {{{0}}};
        ptrdiff_t k = 0;
        for (; k + 4 * GROUP <= in; k += 4 * GROUP)
            for (int i = 0; i < 4; i++)
                for (int r = 0; r < rows; r++) {
                    floats *own = &sum[r][rows == 1 ? i : 0];
                    *own = add(*own, w + k + GROUP * i, x + r * in + k + GROUP * i);
                }
        for (; k < in; k += GROUP)
            for (int r = 0; r < rows; r++) sum[r][0] = add(sum[r][0], w + k, x + r * in + k);
        for (int r = 0; r < rows; r++)
            y[r][o] = total((sum[r][0] + sum[r][1]) + (sum[r][2] + sum[r][3]));
    }
}

#define CASE(n)                                                                                  \
    case n:                                                                                      \
        if (bits == 16) tile_of_bf16(n, (input *)xs + r * in, w + o * in, found, in, count);     \
        if (bits == 8) tile_of_codes(8, n, own, by, sum, codes, steps + o * groups, found, in);  \
        if (bits == 4) tile_of_codes(4, n, own, by, sum, codes, steps + 2 * o * groups, found, in); \
        break;

/* `scratch` has room for n * in + 2 * n * in / 32 floats; `w` of codes has whole tiles of outputs.
   `rounded` asks for sums as bfloat16 sees them. */
void rows(int bits, const float *x, const uint16_t *w, const uint16_t *steps, const float *bias, float *y,
          float *scratch, ptrdiff_t n, ptrdiff_t in, ptrdiff_t out, int rounded, int threads) {
    const ptrdiff_t groups = in / GROUP;
    float *xs = scratch, *scales = scratch + n * in, *sums = scales + n * groups;
    for (ptrdiff_t i = 0; bits == 16 && i < n * in; i++) ((input *)xs)[i] = input_of(x[i]);
    for (ptrdiff_t g = 0; bits != 16 && g < n * groups; g++)
        coded(x + g * GROUP, (int16_t *)xs + g * GROUP, scales + g, sums + g);
    _Pragma("omp parallel for num_threads(threads) schedule(static)")
    for (ptrdiff_t o = 0; o < out; o += TILE) {
        const ptrdiff_t count = out - o < TILE ? out - o : TILE;
        for (ptrdiff_t r = 0; r < n; r += MOST) {
            const ptrdiff_t some = n - r < MOST ? n - r : MOST;
            const int16_t *own = (int16_t *)xs + r * in;
            const float *by = scales + r * groups, *sum = sums + r * groups;
            const uint8_t *codes = (const uint8_t *)w + o * in * bits / 8;
            float found[MOST][TILE];
            switch (some) { CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8) }
            for (ptrdiff_t i = 0; i < some; i++)
                for (ptrdiff_t c = 0; c < count; c++) {
                    float value = found[i][c] + (bias ? bias[o + c] : 0.0f);
                    y[(r + i) * out + o + c] = rounded ? float_of(bf16_of(value)) : value;
                }
        }
    }
}
