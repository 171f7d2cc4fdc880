/* Neurons on the CPU, inference alone: LIF, PLIF and IF over all time steps, norms in front of them included.

   Maps are [steps, batch, size] with `size` values a sample, channels last, float32 or, where `half` is 1, bfloat16;
   membranes are float32. Every value is read once and every spike is written once; spikes are summed up on the way.
   Results are those of PyTorch's operations one by one, to the bit: products and sums are fused in norms alone, as in
   norm.c, and what PyTorch would store in bfloat16 between is rounded to it. */

#pragma GCC optimize("fp-contract=off")
#pragma STDC FP_CONTRACT OFF

#include "conv.h"

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

/* `some` neurons from i on, which have place j in a line; T values of theirs lie `apart`. Returns which membranes are not
   finite at the end: one that is not once stays so. */
INLINE bits run(term x, term y, vec decay, vec threshold, int64_t steps, int64_t apart, int64_t i, int64_t j,
                int64_t some, int half, int two, int scaled, reset by, void *out, float *sums) {
    vec v = {0}, one = v + 1, count = get(sums, 0, some, 0);
    for (int64_t t = 0; t < steps; t++) {
        vec now = current(x, i + t * x.step, j, some, half);
        if (two) now = rounded(now + current(y, i + t * y.step, j, some, half), half);
        v = scaled ? v + (now - v) * decay : v - v * decay + now;
        lanes fires = reaches(v, threshold);
        if (by == HARD) v = times_zero(v, fires);
        if (by == SOFT) v = plus(v, fires, -threshold);
        put_spikes(out, i + t * apart, fires, some, half);
        count = plus(count, fires, one);
    }
    memcpy(sums, &count, some * sizeof(float));
    return (bits)(v - v != 0);
}

/* The neurons of a sample from `from` to `end`, of `batch` samples, T values of each `apart`; decay and threshold at every
   place of a line. Returns whether all membranes are finite. */
INLINE int chunk(term x, term y, const float *decay, const float *threshold, int64_t steps, int64_t apart, int64_t batch,
                 int64_t size, int64_t width, int64_t from, int64_t end, int half, int two, int scaled, reset by, void *out,
                 float *sums) {
    bits odd = {0};
    for (int64_t b = 0; b < batch; b++)
        for (int64_t p = from, j = 0; p < end; p += LANES, j = j + LANES == width ? 0 : j + LANES) {
            vec d = load(decay, j, 0), at_least = load(threshold, j, 0);
            int64_t i = b * size + p;
            if (end - p >= LANES)
                odd |= run(x, y, d, at_least, steps, apart, i, j, LANES, half, two, scaled, by, out, sums + p);
            else
                odd |= run(x, y, d, at_least, steps, apart, i, j, end - p, half, two, scaled, by, out, sums + p);
        }
    return !any(odd);
}

/* Figures by channel [6, c]: a, b, c, d, decay, threshold, at every place of a line of whole vectors and whole pixels. */
static int64_t width_of(int64_t c) {
    int64_t width = c;
    while (width % LANES) width += c;
    return width;
}

static void line_up(const float *figures, int64_t c, int64_t width, float *lines) {
    for (int64_t k = 0; k < 6 * width; k++) lines[k] = figures[k / width * c + k % width % c];
}

/* What `chunk` says for maps x and y (or NULL) and such lines; adds to the sums. */
static int neurons(const void *x, int64_t x_step, const void *y, int64_t y_step, const float *lines, int64_t steps,
                   int64_t apart, int64_t batch, int64_t size, int64_t width, int64_t from, int64_t end, int half,
                   int scaled, int by, void *out, float *sums) {
    term first = {x, x_step, lines, lines + width}, second = {y, y_step, lines + 2 * width, lines + 3 * width};
    const float *decay = lines + 4 * width, *threshold = lines + 5 * width;
#define RUN(HALF, TWO, SCALED, BY)                                                                                    \
    case 12 * HALF + 6 * TWO + 3 * SCALED + BY:                                                                       \
        return chunk(first, second, decay, threshold, steps, apart, batch, size, width, from, end, HALF, TWO, SCALED, \
                     BY, out, sums);
#define RUN_ALL(HALF, TWO, SCALED) RUN(HALF, TWO, SCALED, HARD) RUN(HALF, TWO, SCALED, SOFT) RUN(HALF, TWO, SCALED, NONE)
    switch (12 * half + 6 * (y != NULL) + 3 * scaled + by) {
        RUN_ALL(0, 0, 0) RUN_ALL(0, 0, 1) RUN_ALL(0, 1, 0) RUN_ALL(0, 1, 1)
        RUN_ALL(1, 0, 0) RUN_ALL(1, 0, 1) RUN_ALL(1, 1, 0) RUN_ALL(1, 1, 1)
    }
    return 0;
}

/* out [steps, batch, size]: spikes for currents x a + b (+ y c + d, unless y is NULL); sums [size] of them over steps and
   batch. `figures` [6, c]: a, b, c, d, decay, threshold. With `scaled` the input is scaled by the decay. Returns 1,
   or 0 where a membrane is not finite, for which spikes are wrong. */
int fire(const void *x, int64_t x_step, const void *y, int64_t y_step, int64_t steps, int64_t batch, int64_t size,
         int64_t c, int half, int scaled, int by, const float *figures, void *out, float *sums, int threads) {
    int64_t width = width_of(c), length = (CHUNK + width - 1) / width * width;
    float lines[6 * width];
    line_up(figures, c, width, lines);
    memset(sums, 0, size * sizeof(float));
    int good = 1;
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1) reduction(&& : good)
    for (int64_t from = 0; from < size; from += length)
        good = neurons(x, x_step, y, y_step, lines, steps, batch * size, batch, size, width, from,
                       least(from + length, size), half, scaled, by, out, sums) && good;
    return good;
}

/* The same for the convolution of spikes x [steps, batch, h, w, c_in] with a kernel [c, c_in, k, k] in place of x. Its
   currents are those of a sample at a time, which stay in a nearer cache than those of all would. Returns 2 where x has
   other values than 0 and 1, and -1 without memory. */
int convolve_and_fire(const void *x, const float *kernel, int64_t c_in, int k, const void *y, int64_t y_step,
                      int64_t steps, int64_t batch, int64_t h, int64_t w, int64_t c, int half, int scaled, int by,
                      const float *figures, void *out, float *sums, int threads) {
    int64_t width = width_of(c), size = h * w * c, frame = h * w * c_in;
    float lines[6 * width];
    line_up(figures, c, width, lines);
    memset(sums, 0, size * sizeof(float));
    convolution of = {.h = h, .w = w, .c_in = c_in, .c_out = c, .k = k, .from_half = half, .half = half};
    int ready = !convolution_begin(&of, kernel), failed = 0, odd = 0, good = 1;
#pragma omp parallel num_threads(threads) if (threads > 1) reduction(| : failed, odd) reduction(&& : good)
    {
        room in = {0};
        void *currents = zeros(steps * size / (half ? 2 : 1) + 1);
        float *own = zeros(size);
        failed = !ready || room_begin(&in, &of) || !currents || !own;
#pragma omp for schedule(static)
        for (int64_t b = 0; b < batch; b++) {
            for (int64_t t = 0; t < steps && !failed && !odd; t++)
                odd = convolve_frame(&of, &in, at(x, (t * batch + b) * frame, half), at(currents, t * size, half));
            if (!failed && !odd)
                good = neurons(currents, size, y ? at(y, b * size, half) : NULL, y_step, lines, steps, batch * size, 1,
                               size, width, 0, size, half, scaled, by, at(out, b * size, half), own) && good;
        }
#pragma omp critical
        for (int64_t i = 0; i < size && !failed; i++) sums[i] += own[i];
        room_end(&in);
        free(currents);
        free(own);
    }
    convolution_end(&of);
    return failed ? -1 : odd ? 2 : good;
}
