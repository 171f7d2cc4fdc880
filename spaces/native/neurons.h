/* Neurons over all time steps, norms in front of them included: what forward and backward pass share.

   Maps are [steps, batch, size] with `size` values a sample, channels last, float32 or, where `half` is 1, bfloat16;
   membranes are float32. Results are those of PyTorch's operations one by one, to the bit: products and sums are fused
   in norms alone, as in norm.c, and what PyTorch would store in bfloat16 between is rounded to it. */

#pragma GCC optimize("fp-contract=off")
#pragma STDC FP_CONTRACT OFF

#include "vectors.h"

#define CHUNK 4096 /* values of a sample, at least, whose sums stay in the nearest cache */

/* x along + offset, rounded once where the processor can, as in norm.c. */
INLINE vec times_plus(vec x, vec along, vec offset) {
#if defined(__AVX512F__)
    return (vec)_mm512_fmadd_ps((__m512)x, (__m512)along, (__m512)offset);
#elif defined(__FP_FAST_FMAF)
    float of[3][LANES], out[LANES];
    memcpy(of[0], &x, sizeof x), memcpy(of[1], &along, sizeof x), memcpy(of[2], &offset, sizeof x);
    for (int l = 0; l < LANES; l++) out[l] = __builtin_fmaf(of[0][l], of[1][l], of[2][l]);
    memcpy(&x, out, sizeof x);
    return x;
#else
    return x * along + offset;
#endif
}

/* To the nearest bfloat16, and to even, if `half`; as `store` does, but that a NaN keeps its bits. */
INLINE vec rounded(vec x, int half) {
    return half ? (vec)(nearest(x) & 0xffff0000) : x;
}

/* A map: where it is, how far apart its time steps lie (0: all are the same), and its norm, figures at every place. */
typedef struct {
    const void *map;
    int64_t step;
    const float *along, *offset;
} term;

typedef enum { HARD, SOFT, NONE } reset; /* to 0, minus the threshold, or none */

INLINE vec current(term x, int64_t i, int64_t j, int64_t some, int half) {
    return rounded(times_plus(get(x.map, i, some, half), load(x.along, j, 0), load(x.offset, j, 0)), half);
}

/* The currents of neurons: the sum of one term or of `two`. */
INLINE vec currents(term x, term y, int64_t t, int64_t i, int64_t j, int64_t some, int half, int two) {
    vec now = current(x, i + t * x.step, j, some, half);
    return two ? rounded(now + current(y, i + t * y.step, j, some, half), half) : now;
}

/* What is added to membranes v: the input less the leak, or, where the input is not `scaled` by it, the leak alone. */
INLINE vec driven(vec v, vec now, int scaled) { return scaled ? now - v : v; }

INLINE vec charged(vec v, vec now, vec decay, int scaled) {
    return scaled ? v + driven(v, now, 1) * decay : v - driven(v, now, 0) * decay + now;
}

INLINE vec settled(vec v, lanes fires, vec threshold, reset by) {
    return by == HARD ? times_zero(v, fires) : by == SOFT ? plus(v, fires, -threshold) : v;
}

/* Figures by channel [rows, c] at every place of a line of whole vectors and whole pixels. */
static int64_t width_of(int64_t c) {
    int64_t width = c;
    while (width % LANES) width += c;
    return width;
}

static void line_up(const float *figures, int64_t rows, int64_t c, int64_t width, float *lines) {
    for (int64_t j = 0; j < rows * width; j += c) memcpy(lines + j, figures + j / width * c, c * sizeof(float));
}

/* Does it for every vector of a stretch of n neurons from p on: `some` of them, the q-th on, at place j of a line. */
#define EACH_VECTOR(DO, ...)                                                                              \
    {                                                                                                     \
        int64_t q = 0, j = p % line;                                                                      \
        for (; q + LANES <= n; q += LANES, j = j + LANES == line ? 0 : j + LANES) DO(LANES, __VA_ARGS__); \
        if (q < n) DO(n - q, __VA_ARGS__);                                                                \
    }

/* Does it for the kind of neurons at hand, by cases, so that each has code of its own: HALF, TWO, SCALED, and the reset. */
#define BY_KIND(DO, half, two, scaled, by)                                                     \
    switch (12 * (half) + 6 * (two) + 3 * (scaled) + (by)) {                                   \
        BY_RESET(DO, 0, 0, 0) BY_RESET(DO, 0, 0, 1) BY_RESET(DO, 0, 1, 0) BY_RESET(DO, 0, 1, 1) \
        BY_RESET(DO, 1, 0, 0) BY_RESET(DO, 1, 0, 1) BY_RESET(DO, 1, 1, 0) BY_RESET(DO, 1, 1, 1) \
    }
#define BY_RESET(DO, HALF, TWO, SCALED) \
    KIND(DO, HALF, TWO, SCALED, HARD) KIND(DO, HALF, TWO, SCALED, SOFT) KIND(DO, HALF, TWO, SCALED, NONE)
#define KIND(DO, HALF, TWO, SCALED, BY) \
    case 12 * HALF + 6 * TWO + 3 * SCALED + BY: DO(HALF, TWO, SCALED, BY); break;
