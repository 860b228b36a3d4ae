/* y = x w^T + b for a few rows of x: every weight is read from memory once for eight of them.

   Built on the machine by cpu_linear.py. Vectors of GCC and clang and no intrinsics: one source for
   x86 and ARM. Sums are float32, in an order that the number of threads does not change.

   `in` is a multiple of 16. Two neighbouring bfloat16 are one 32-bit word, and a bfloat16 is the upper
   half of a float32: a shift gives the even weights of a block and a mask the odd ones. So x is put
   into the order 0 2 .. 14 1 3 .. 15 of each block first, into `scratch` of x's size. */

#include <stddef.h>
#include <stdint.h>

typedef float floats __attribute__((vector_size(32), aligned(4)));
typedef uint32_t words __attribute__((vector_size(32), aligned(2)));

/* SPAN columns of eight rows of x fit into the first cache; AHEAD bytes hide a miss of the last. */
enum { BLOCK = 16, SPAN = 1024, CHUNK = 32, AHEAD = 4096 };

#define INLINE static inline __attribute__((always_inline))

INLINE void load_bf16(const uint16_t *w, floats *first, floats *second) {
    words both = *(const words *)w;
    *first = (floats)(both << 16);
    *second = (floats)(both & 0xffff0000u);
}

INLINE void load_f32(const float *w, floats *first, floats *second) {
    *first = *(const floats *)w;
    *second = *(const floats *)(w + BLOCK / 2);
}

INLINE const float *ordered_bf16(const float *x, float *scratch, ptrdiff_t count) {
    for (ptrdiff_t k = 0; k < count; k += BLOCK)
        for (int i = 0; i < BLOCK / 2; i++) {
            scratch[k + i] = x[k + 2 * i];
            scratch[k + BLOCK / 2 + i] = x[k + 2 * i + 1];
        }
    return scratch;
}

INLINE const float *ordered_f32(const float *x, float *scratch, ptrdiff_t count) {
    (void)scratch, (void)count;
    return x;
}

INLINE float total(floats s) {
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

/* One output of one row; four pairs of sums, so that none waits for another. */
#define ONE(name, type)                                                                          \
    INLINE float one_##name(const float *x, const type *w, ptrdiff_t in) {                       \
        floats sum[8] = {{0}}, first, second;                                                    \
        ptrdiff_t k = 0;                                                                         \
        for (; k + 4 * BLOCK <= in; k += 4 * BLOCK)                                              \
            for (int i = 0; i < 4; i++) {                                                        \
                const float *at = x + k + i * BLOCK;                                             \
                __builtin_prefetch((const char *)(w + k + i * BLOCK) + AHEAD);                   \
                load_##name(w + k + i * BLOCK, &first, &second);                                 \
                sum[i] += first * *(const floats *)at;                                           \
                sum[4 + i] += second * *(const floats *)(at + BLOCK / 2);                        \
            }                                                                                    \
        for (; k < in; k += BLOCK) {                                                             \
            load_##name(w + k, &first, &second);                                                 \
            sum[0] += first * *(const floats *)(x + k);                                          \
            sum[4] += second * *(const floats *)(x + k + BLOCK / 2);                             \
        }                                                                                        \
        return total(((sum[0] + sum[1]) + (sum[2] + sum[3])) +                                   \
                     ((sum[4] + sum[5]) + (sum[6] + sum[7])));                                   \
    }

/* `len` columns of one output of `rows` rows, added to y; `rows` is a constant where this is
   inlined, so that all sums are registers. */
#define TILE(name, type)                                                                         \
    INLINE void tile_##name(const float *x, const type *w, float *y, ptrdiff_t in, ptrdiff_t out, \
                            ptrdiff_t len, int rows) {                                           \
        floats sum[8] = {{0}}, first, second;                                                    \
        for (ptrdiff_t k = 0; k < len; k += BLOCK) {                                             \
            __builtin_prefetch(w + in + k);                                                      \
            load_##name(w + k, &first, &second);                                                 \
            for (int r = 0; r < rows; r++) {                                                     \
                sum[r] += first * *(const floats *)(x + r * in + k);                             \
                sum[r] += second * *(const floats *)(x + r * in + k + BLOCK / 2);                \
            }                                                                                    \
        }                                                                                        \
        for (int r = 0; r < rows; r++) y[r * out] += total(sum[r]);                              \
    }

#define CASE(name, count)                                                                        \
    case count:                                                                                  \
        tile_##name(x, w, y, in, out, len, count);                                               \
        break;

#define ROWS(name, type)                                                                         \
    ONE(name, type)                                                                              \
    TILE(name, type)                                                                             \
    INLINE void some_##name(const float *x, const type *w, float *y, ptrdiff_t in, ptrdiff_t out, \
                            ptrdiff_t len, ptrdiff_t rows) {                                     \
        switch (rows) {                                                                          \
            CASE(name, 1) CASE(name, 2) CASE(name, 3) CASE(name, 4)                              \
            CASE(name, 5) CASE(name, 6) CASE(name, 7) CASE(name, 8)                              \
        }                                                                                        \
    }                                                                                            \
    void rows_##name(const float *x, const type *w, const float *bias, float *y, float *scratch, \
                     ptrdiff_t n, ptrdiff_t in, ptrdiff_t out, int threads) {                    \
        x = ordered_##name(x, scratch, n * in);                                                  \
        _Pragma("omp parallel for num_threads(threads) schedule(static)")                        \
        for (ptrdiff_t start = 0; start < out; start += CHUNK) {                                 \
            ptrdiff_t end = start + CHUNK < out ? start + CHUNK : out;                           \
            for (ptrdiff_t o = start; o < end; o++)                                              \
                for (ptrdiff_t r = 0; r < n; r++) y[r * out + o] = bias ? bias[o] : 0.0f;        \
            for (ptrdiff_t o = start; n == 1 && o < end; o++) y[o] += one_##name(x, w + o * in, in); \
            for (ptrdiff_t k = 0; n > 1 && k < in; k += SPAN)                                    \
                for (ptrdiff_t o = start; o < end; o++)                                          \
                    for (ptrdiff_t r = 0; r < n; r += 8)                                         \
                        some_##name(x + r * in + k, w + o * in + k, y + r * out + o, in, out,    \
                                    in - k < SPAN ? in - k : SPAN, n - r < 8 ? n - r : 8);       \
        }                                                                                        \
    }

ROWS(bf16, uint16_t)
ROWS(f32, float)
