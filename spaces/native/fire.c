/* Neurons on the CPU, forward: LIF, PLIF and IF over all time steps, see neurons.h. Every value is read once and every spike
   is written once, a stretch of a time step after the other; spikes are summed up on the way. */

#include "neurons.h"

#include "conv.h"

#define STRETCH 1024 /* membranes that stay in the nearest cache beside the maps */

/* Step t of `some` neurons, the q-th on of a stretch with membranes v: i is where they are in a time step, j their place in
   a line. What the next stretch needs of each time step is asked for: the processor does not guess it, steps lie so far
   apart. */
INLINE void step(int64_t some, term x, term y, const float *decay, const float *threshold, int64_t t, int64_t apart,
                 int64_t i, int64_t j, int64_t q, int half, int two, int scaled, reset by, void *out, float *v,
                 float *sums) {
    __builtin_prefetch(at(x.map, i + STRETCH + t * x.step, half));
    if (two) __builtin_prefetch(at(y.map, i + STRETCH + t * y.step, half));
    __builtin_prefetch(at(out, i + STRETCH + t * apart, half), 1);
    vec at_least = load(threshold, j, 0), one = {0}, count = get(sums, q, some, 0);
    vec membrane = charged(load(v, q, 0), currents(x, y, t, i, j, some, half, two), load(decay, j, 0), scaled);
    lanes fires = reaches(membrane, at_least);
    store(v, q, settled(membrane, fires, at_least, by), 0);
    put_spikes(out, i + t * apart, fires, some, half);
    put(sums, q, plus(count, fires, one + 1), some, 0);
}

/* The neurons of a sample from `from` to `end`, of `batch` samples, T values of each `apart`; decay and threshold at every
   place of a line. Returns whether all membranes are finite at the end: one that is not once stays so. */
INLINE int chunk(term x, term y, const float *decay, const float *threshold, int64_t steps, int64_t apart, int64_t batch,
                 int64_t size, int64_t line, int64_t from, int64_t end, int half, int two, int scaled, reset by, void *out,
                 float *sums) {
    bits odd = {0};
    float v[STRETCH];
    for (int64_t b = 0; b < batch; b++)
        for (int64_t p = from; p < end; p += STRETCH) {
            int64_t n = least(STRETCH, end - p), i = b * size + p;
            memset(v, 0, least(STRETCH, n + LANES) * sizeof *v);
            for (int64_t t = 0; t < steps; t++)
                EACH_VECTOR(step, x, y, decay, threshold, t, apart, i + q, j, q, half, two, scaled, by, out, v, sums + p)
            for (int64_t q = 0; q < n; q += LANES) odd |= (bits)(load(v, q, 0) - load(v, q, 0) != 0);
        }
    return !any(odd);
}

/* What `chunk` says for maps x and y (or NULL) and such lines; adds to the sums. */
static int neurons(const void *x, int64_t x_step, const void *y, int64_t y_step, const float *lines, int64_t steps,
                   int64_t apart, int64_t batch, int64_t size, int64_t width, int64_t from, int64_t end, int half,
                   int scaled, int by, void *out, float *sums) {
    term first = {x, x_step, lines, lines + width}, second = {y, y_step, lines + 2 * width, lines + 3 * width};
    const float *decay = lines + 4 * width, *threshold = lines + 5 * width;
#define RUN(HALF, TWO, SCALED, BY)                                                                                \
    return chunk(first, second, decay, threshold, steps, apart, batch, size, width, from, end, HALF, TWO, SCALED, \
                 BY, out, sums)
    BY_KIND(RUN, half, y != NULL, scaled, by)
    return 0;
}

/* out [steps, batch, size]: spikes for currents x a + b (+ y c + d, unless y is NULL); sums [size] of them over steps and
   batch. `figures` [6, c], or more: a, b, c, d, decay, threshold. With `scaled` the input is scaled by the decay. Returns 1,
   or 0 where a membrane is not finite, for which spikes are wrong. */
int fire(const void *x, int64_t x_step, const void *y, int64_t y_step, int64_t steps, int64_t batch, int64_t size,
         int64_t c, int half, int scaled, int by, const float *figures, void *out, float *sums, int threads) {
    int64_t width = width_of(c), length = (CHUNK + width - 1) / width * width;
    float lines[6 * width];
    line_up(figures, 6, c, width, lines);
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
    line_up(figures, 6, c, width, lines);
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
