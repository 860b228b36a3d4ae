/* y = x w^T + b for a few rows of x: every weight is read from memory once for eight of them.

   Built on the machine by cpu_linear.py, for its own CPU. Vectors of GCC and clang, one source for
   x86 and ARM; only where the CPU has AVX-512 with bfloat16 dot products do those multiply bfloat16
   weights, and x is rounded to bfloat16 for them. Everywhere else x stays float32. Sums are float32,
   in an order that the number of threads does not change; `rounded` asks for them as bfloat16 sees
   them.

   `in` is a multiple of 32. Without dot products two neighbouring bfloat16 are taken as one 32-bit
   word, and a bfloat16 is the upper half of a float32: a shift gives the even weights of a block and
   a mask the odd ones. So x is put into the order 0 2 .. 1 3 .. of each block first, into `scratch`
   of x's size. */

#include <stddef.h>
#include <stdint.h>
#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

/* 32 registers hold the sums of eight rows for two outputs, 16 for one. */
#ifdef __AVX512F__
enum { WIDTH = 64, OUTS = 2 };
#else
enum { WIDTH = 32, OUTS = 1 };
#endif

typedef float floats __attribute__((vector_size(WIDTH), aligned(4)));
typedef uint32_t words __attribute__((vector_size(WIDTH), aligned(2)));

/* SPAN bytes of each of eight rows of x fit into the first cache; AHEAD bytes hide a miss of the last. */
enum { LANES = WIDTH / 4, BLOCK = 2 * LANES, SPAN = 4096, CHUNK = 32, AHEAD = 8192, LINE = 64 };

#define INLINE static inline __attribute__((always_inline))

/* Per kind of weights: how x is prepared, how a block of weights is loaded, and how its products
   with a block of x are added to sums. */

typedef float input_f32;
typedef struct { floats first, second; } block_f32;

INLINE const float *prepared_f32(const float *x, float *scratch, ptrdiff_t count) {
    (void)scratch, (void)count;
    return x;
}

INLINE block_f32 load_f32(const float *w) {
    return (block_f32){*(const floats *)w, *(const floats *)(w + LANES)};
}

INLINE floats add_f32(floats sum, block_f32 w, const float *x) {
    sum += w.first * *(const floats *)x;
    return sum + w.second * *(const floats *)(x + LANES);
}

#ifdef __AVX512BF16__

typedef uint16_t input_bf16;
typedef __m512bh block_bf16;

INLINE const uint16_t *prepared_bf16(const float *x, float *scratch, ptrdiff_t count) {
    uint16_t *rounded = (uint16_t *)scratch;
    for (ptrdiff_t k = 0; k < count; k += LANES)
        _mm256_storeu_si256((__m256i *)(rounded + k), (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(x + k)));
    return rounded;
}

INLINE block_bf16 load_bf16(const uint16_t *w) { return (block_bf16)_mm512_loadu_si512(w); }

INLINE floats add_bf16(floats sum, block_bf16 w, const uint16_t *x) {
    return (floats)_mm512_dpbf16_ps((__m512)sum, w, (__m512bh)_mm512_loadu_si512(x));
}

int rounds_inputs(void) { return 1; }

#else

typedef float input_bf16;
typedef block_f32 block_bf16;

INLINE const float *prepared_bf16(const float *x, float *scratch, ptrdiff_t count) {
    for (ptrdiff_t k = 0; k < count; k += BLOCK)
        for (int i = 0; i < LANES; i++) {
            scratch[k + i] = x[k + 2 * i];
            scratch[k + LANES + i] = x[k + 2 * i + 1];
        }
    return scratch;
}

INLINE block_bf16 load_bf16(const uint16_t *w) {
    words both = *(const words *)w;
    return (block_bf16){(floats)(both << 16), (floats)(both & 0xffff0000u)};
}

INLINE floats add_bf16(floats sum, block_bf16 w, const float *x) { return add_f32(sum, w, x); }

int rounds_inputs(void) { return 0; }

#endif

INLINE float total(floats s) {
#ifdef __AVX512F__
    typedef float half __attribute__((vector_size(32)));
    half t = __builtin_shufflevector(s, s, 0, 1, 2, 3, 4, 5, 6, 7) +
             __builtin_shufflevector(s, s, 8, 9, 10, 11, 12, 13, 14, 15);
#else
    floats t = s;
#endif
    return ((t[0] + t[4]) + (t[2] + t[6])) + ((t[1] + t[5]) + (t[3] + t[7]));
}

/* To the nearest bfloat16, ties to even. */
INLINE float nearest_bf16(float value) {
    union { float value; uint32_t bits; } both = {value};
    both.bits = (both.bits + 0x7fffu + (both.bits >> 16 & 1u)) & 0xffff0000u;
    return value == value ? both.value : value;
}

INLINE void fetch(const void *w, ptrdiff_t bytes, ptrdiff_t ahead) {
    for (ptrdiff_t at = 0; at < bytes; at += LINE) __builtin_prefetch((const char *)w + ahead + at);
}

/* One output of one row; four sums, so that none waits for another. */
#define ONE(name, type)                                                                          \
    INLINE float one_##name(const input_##name *x, const type *w, ptrdiff_t in) {                \
        floats sum[4] = {{0}};                                                                   \
        ptrdiff_t k = 0;                                                                         \
        for (; k + 4 * BLOCK <= in; k += 4 * BLOCK) {                                            \
            fetch(w + k, 4 * BLOCK * sizeof(type), AHEAD);                                       \
            for (int i = 0; i < 4; i++)                                                          \
                sum[i] = add_##name(sum[i], load_##name(w + k + i * BLOCK), x + k + i * BLOCK);  \
        }                                                                                        \
        for (; k < in; k += BLOCK) sum[0] = add_##name(sum[0], load_##name(w + k), x + k);       \
        return total((sum[0] + sum[1]) + (sum[2] + sum[3]));                                     \
    }

/* `len` columns of `outs` outputs of `rows` rows, added to y; both are constants where this is
   inlined, so that all sums are registers. `ahead` bytes on stand the same columns of a later
   output. */
#define TILE(name, type)                                                                         \
    INLINE void tile_##name(const input_##name *x, const type *w, float *y, ptrdiff_t in,        \
                            ptrdiff_t out, ptrdiff_t len, ptrdiff_t ahead, int rows, int outs) { \
        floats sum[8][OUTS] = {{{0}}};                                                           \
        block_##name weights[OUTS];                                                              \
        for (ptrdiff_t k = 0; k < len; k += BLOCK) {                                             \
            for (int o = 0; o < outs; o++) {                                                     \
                fetch(w + o * in + k, BLOCK * sizeof(type), ahead);                              \
                weights[o] = load_##name(w + o * in + k);                                        \
            }                                                                                    \
            for (int r = 0; r < rows; r++)                                                       \
                for (int o = 0; o < outs; o++)                                                   \
                    sum[r][o] = add_##name(sum[r][o], weights[o], x + r * in + k);               \
        }                                                                                        \
        for (int r = 0; r < rows; r++)                                                           \
            for (int o = 0; o < outs; o++) y[r * out + o] += total(sum[r][o]);                   \
    }

#define CASE(name, count)                                                                        \
    case count:                                                                                  \
        for (; count > 4 && o + OUTS <= outs; o += OUTS)                                         \
            tile_##name(x, w + o * in, y + o, in, out, len, ahead, count, OUTS);                 \
        for (; o < outs; o++) tile_##name(x, w + o * in, y + o, in, out, len, ahead, count, 1);  \
        break;

#define ROWS(name, type)                                                                         \
    ONE(name, type)                                                                              \
    TILE(name, type)                                                                             \
    static void some_##name(const input_##name *x, const type *w, float *y, ptrdiff_t in,        \
                            ptrdiff_t out, ptrdiff_t len, ptrdiff_t rows, ptrdiff_t outs) {      \
        ptrdiff_t piece = len * sizeof(type), ahead = (AHEAD + piece - 1) / piece * in * sizeof(type); \
        ptrdiff_t o = 0;                                                                         \
        switch (rows) {                                                                          \
            CASE(name, 1) CASE(name, 2) CASE(name, 3) CASE(name, 4)                              \
            CASE(name, 5) CASE(name, 6) CASE(name, 7) CASE(name, 8)                              \
        }                                                                                        \
    }                                                                                            \
    void rows_##name(const float *given, const type *w, const float *bias, float *y,             \
                     float *scratch, ptrdiff_t n, ptrdiff_t in, ptrdiff_t out, int rounded,      \
                     int threads) {                                                              \
        const input_##name *x = prepared_##name(given, scratch, n * in);                         \
        const ptrdiff_t span = SPAN / sizeof(*x);                                                \
        _Pragma("omp parallel for num_threads(threads) schedule(static)")                        \
        for (ptrdiff_t o = 0; o < out; o += CHUNK) {                                             \
            ptrdiff_t outs = out - o < CHUNK ? out - o : CHUNK;                                  \
            for (ptrdiff_t r = 0; r < n; r++)                                                    \
                for (ptrdiff_t i = o; i < o + outs; i++) y[r * out + i] = bias ? bias[i] : 0.0f; \
            for (ptrdiff_t i = o; n == 1 && i < o + outs; i++)                                   \
                y[i] += one_##name(x, w + i * in, in);                                           \
            for (ptrdiff_t k = 0; n > 1 && k < in; k += span)                                    \
                for (ptrdiff_t r = 0; r < n; r += 8)                                             \
                    some_##name(x + r * in + k, w + o * in + k, y + r * out + o, in, out,        \
                                in - k < span ? in - k : span, n - r < 8 ? n - r : 8, outs);     \
            for (ptrdiff_t r = 0; rounded && r < n; r++)                                         \
                for (ptrdiff_t i = o; i < o + outs; i++)                                         \
                    y[r * out + i] = nearest_bf16(y[r * out + i]);                               \
        }                                                                                        \
    }

ROWS(bf16, uint16_t)
ROWS(f32, float)
