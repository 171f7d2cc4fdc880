/* Neurons on the CPU, backward, see neurons.h: membranes are computed again, those of a stretch at all its time steps, which
   stay in the nearest cache, so that nothing but currents is kept for it. As in fire.c the next stretch is asked for. */

#include "neurons.h"

#include <stdlib.h>

#define NEAR 8192 /* floats that stay in the nearest cache beside the maps */

typedef enum { ATAN, SIGMOID, TRIANGLE, RECTANGLE, EXPONENTIAL } surrogate; /* see surrogate.py */

/* How neurons are, which is one for a layer. */
typedef struct {
    int64_t steps, apart; /* T, and how far apart values of one neuron lie */
    int detached;         /* whether the gradient ignores the reset */
    surrogate by;
} rule;

/* What is differentiated: two currents, of which the second may be none, and the slopes of spikes; figures at every place
   of a line. */
typedef struct {
    term x, y;
    const void *slopes;
    const float *decay, *threshold, *width;
} given;

/* Room for a stretch of neurons: what drove each and what it came to before its reset, [steps, n] each, and, [n], the
   membrane after it, slopes of the membrane and of the decay, and derivatives of spikes; slopes of the decay summed over a
   sample and over all, [line]. */
typedef struct {
    float *drives, *membranes, *v, *slope, *for_decay, *derivative, *sums;
    double *totals;
} room;

/* exp(-a) for a >= 0, right to the last digit but one or two; from 87 on, where floats end, that of 87. */
INLINE vec exp_minus(vec a) {
    const float log2e = 1.44269504f, high = 0.693359375f, low = -2.12194440e-4f; /* of ln 2 (Cody and Waite, 1980) */
    bits far = (bits)(a > 87);
    vec most = (vec){0} + 87;
    a = (vec)(((bits)a & ~far) | ((bits)most & far));
    vec shifted = a * -log2e + 0x1.8p23f; /* whole, in its last bits */
    vec whole = shifted - 0x1.8p23f, r = (-a - whole * high) - whole * low;
    vec series = r * (1.f / 720) + 1.f / 120;
    series = series * r + 1.f / 24;
    series = series * r + 1.f / 6;
    series = series * r + .5f;
    series = (series * r + 1) * r + 1;
    return (vec)((bits)series + ((bits)shifted << 23));
}

INLINE vec size_of(vec x) { return (vec)((bits)x & 0x7fffffff); }

/* What stands in for the derivative of a spike, at so much above the threshold. */
INLINE vec derivative(vec excess, vec width, surrogate by) {
    vec x = excess * width, e;
    switch (by) {
        case ATAN:
            x *= 1.57079633f;
            return width * .5f / (1 + x * x);
        case SIGMOID:
            e = exp_minus(size_of(x));
            return width * e / ((1 + e) * (1 + e));
        case TRIANGLE:
            e = width - width * size_of(x);
            return (vec)((bits)e & (bits)(e > 0));
        case RECTANGLE:
            return (vec)((bits)width & (bits)(size_of(x) < .5f));
        case EXPONENTIAL:
            return width * .5f * exp_minus(size_of(x));
    }
    return x;
}

INLINE void derive(int64_t some, given of, room in, const float *membranes, int64_t j, int64_t q, surrogate by) {
    store(in.derivative, q, derivative(load(membranes, q, 0) - load(of.threshold, j, 0), load(of.width, j, 0), by), 0);
}

/* Derivatives of a stretch's spikes, [n], for membranes [n]. */
static void derive_all(given of, room in, const float *membranes, int64_t p, int64_t n, int64_t line, surrogate by) {
#define DERIVE(BY) \
    case BY: EACH_VECTOR(derive, of, in, membranes, j, q, BY) return;
    switch (by) { DERIVE(ATAN) DERIVE(SIGMOID) DERIVE(TRIANGLE) DERIVE(RECTANGLE) DERIVE(EXPONENTIAL) }
}

/* Step t of `some` neurons, the q-th on of a stretch of n: i is where they are in a time step, j their place in a line. */
INLINE void charge(int64_t some, given of, room in, int64_t t, int64_t i, int64_t j, int64_t q, int64_t n, int half,
                   int two, int scaled, reset by) {
    vec before = load(in.v, q, 0), now = currents(of.x, of.y, t, i, j, some, half, two);
    __builtin_prefetch(at(of.x.map, i + n + t * of.x.step, half));
    if (two) __builtin_prefetch(at(of.y.map, i + n + t * of.y.step, half));
    vec threshold = load(of.threshold, j, 0), membrane = charged(before, now, load(of.decay, j, 0), scaled);
    store(in.drives, t * n + q, driven(before, now, scaled), 0);
    store(in.membranes, t * n + q, membrane, 0);
    store(in.v, q, settled(membrane, reaches(membrane, threshold), threshold, by), 0);
}

INLINE void pull_back(int64_t some, given of, rule as, room in, int64_t t, int64_t i, int64_t j, int64_t q, int64_t n,
                      int half, int scaled, reset by, void *out) {
    vec membrane = load(in.membranes, t * n + q, 0), after = load(in.slope, q, 0), slope = after;
    vec decay = load(of.decay, j, 0), threshold = load(of.threshold, j, 0);
    vec surrogate = load(in.derivative, q, 0);
    if (by == HARD) slope = unless(after, reaches(membrane, threshold));
    if (!as.detached && by != NONE) slope -= after * (by == HARD ? membrane : threshold) * surrogate;
    slope += get(of.slopes, i + t * as.apart, some, half) * surrogate;
    __builtin_prefetch(at(of.slopes, i + n + t * as.apart, half));
    __builtin_prefetch(at(out, i + n + t * as.apart, half), 1);
    vec leak = slope * decay;
    put(out, i + t * as.apart, scaled ? leak : slope, some, half);
    store(in.for_decay, q, load(in.for_decay, q, 0) + slope * load(in.drives, t * n + q, 0), 0);
    store(in.slope, q, slope - leak, 0);
}

INLINE void add_up(int64_t some, room in, int64_t j, int64_t q) {
    store(in.sums, j, load(in.sums, j, 0) + load(in.for_decay, q, 0), 0);
}

/* The neurons of samples from `from` to `end`; slopes of their decays by channel, added up sample by sample. */
INLINE void chunk(given of, rule as, room in, int64_t stretch, int64_t batch, int64_t size, int64_t c, int64_t line,
                  int64_t from, int64_t end, int half, int two, int scaled, reset by, void *out, double *of_decay) {
    memset(in.totals, 0, line * sizeof(double));
    for (int64_t b = 0; b < batch; b++) {
        memset(in.sums, 0, line * sizeof(float));
        for (int64_t p = from; p < end; p += stretch) {
            int64_t n = least(stretch, end - p), i = b * size + p;
            memset(in.v, 0, 3 * stretch * sizeof(float)); /* and slopes */
            for (int64_t t = 0; t < as.steps; t++)
                EACH_VECTOR(charge, of, in, t, i + q, j, q, stretch, half, two, scaled, by)
            for (int64_t t = as.steps; t--;) {
                derive_all(of, in, in.membranes + t * stretch, p, n, line, as.by);
                EACH_VECTOR(pull_back, of, as, in, t, i + q, j, q, stretch, half, scaled, by, out)
            }
            EACH_VECTOR(add_up, in, j, q)
        }
        for (int64_t j = 0; j < line; j++) in.totals[j] += scaled ? in.sums[j] : -in.sums[j];
    }
    for (int64_t j = 0; j < line; j += c)
        for (int64_t k = 0; k < c; k++) of_decay[k] += in.totals[j + k];
}

static void neurons(given of, rule as, room in, int64_t stretch, int64_t batch, int64_t size, int64_t c, int64_t line,
                    int64_t from, int64_t end, int half, int scaled, int by, void *out, double *of_decay) {
#define RUN(HALF, TWO, SCALED, BY) \
    chunk(of, as, in, stretch, batch, size, c, line, from, end, HALF, TWO, SCALED, BY, out, of_decay)
    BY_KIND(RUN, half, of.y.map != NULL, scaled, by)
}

/* out [steps, batch, size]: slopes of the currents that `fire` is given, for slopes g of its spikes; of_decay [c]: those of
   the decays, summed in an order that the shape alone decides on. `figures` [7, c] as there, and the surrogate's widths.
   Returns 0, or -1 without memory. */
int fire_backward(const void *x, int64_t x_step, const void *y, int64_t y_step, const void *g, int64_t steps,
                  int64_t batch, int64_t size, int64_t c, int half, int scaled, int by, int detached, int surrogate,
                  const float *figures, void *out, double *of_decay, int threads) {
    int64_t line = width_of(c), length = (CHUNK + line - 1) / line * line, chunks = (size + length - 1) / length;
    int64_t stretch = (least(NEAR / (2 * steps + 4), size) + LANES - 1) / LANES * LANES;
    float lines[7 * line];
    line_up(figures, 7, c, line, lines);
    given of = {{x, x_step, lines, lines + line}, {y, y_step, lines + 2 * line, lines + 3 * line}, g,
                lines + 4 * line, lines + 5 * line, lines + 6 * line};
    rule as = {steps, batch * size, detached, surrogate};
    double *found = calloc(chunks * c, sizeof(double));
    int failed = !found;
#pragma omp parallel num_threads(threads) if (threads > 1) reduction(| : failed)
    {
        float *floats = malloc(((2 * steps + 4) * stretch + 3 * line) * sizeof(float));
        float *v = floats + 2 * steps * stretch, *sums = v + 4 * stretch;
        room in = {floats, floats + steps * stretch, v, v + stretch, v + 2 * stretch, v + 3 * stretch, sums,
                   (double *)(sums + line)};
        failed |= !floats;
#pragma omp for schedule(static)
        for (int64_t k = 0; k < chunks; k++)
            if (!failed)
                neurons(of, as, in, stretch, batch, size, c, line, k * length, least(k * length + length, size), half,
                        scaled, by, out, found + k * c);
        free(floats);
    }
    memset(of_decay, 0, c * sizeof(double));
    for (int64_t k = 0; k < chunks * c && !failed; k++) of_decay[k % c] += found[k];
    free(found);
    return failed ? -1 : 0;
}
