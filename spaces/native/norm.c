/* Batch normalisation on the CPU: every map is read once a pass, and sums do not depend on the number of threads.

   Maps are rows of channels, [rows, c], float32 or, where `half` is 1, bfloat16. They are seen as lines of `width`
   values, whole rows and whole panels that are summed in registers, and are worked on in blocks of lines that
   the shape alone decides on: sums are in float32 within a block, in double over blocks, in order. */

#include "vectors.h"

#include <stdlib.h>

#define PANEL 4    /* vectors that are summed in registers */
#define LINE 64    /* values that a line is a multiple of, whatever the processor: it decides on the order of sums */
#define BLOCK 4096 /* values, at least: they stay in the nearest cache */

/* How a map is cut: `width` values a line, `size` a block, and those of the last one, which may end within a line. */
typedef struct {
    int64_t c, rows, width, size, blocks, last;
} cut;

static cut cut_of(int64_t rows, int64_t c) {
    int64_t shared = c, rest = LINE;
    while (rest) {
        int64_t next = shared % rest;
        shared = rest, rest = next;
    }
    cut by = {.c = c, .rows = rows, .width = c / shared * LINE};
    by.size = (BLOCK + by.width - 1) / by.width * by.width;
    by.blocks = (rows * c + by.size - 1) / by.size;
    by.last = rows * c - (by.blocks - 1) * by.size;
    return by;
}

#define EACH_BLOCK                                                                     \
    _Pragma("omp parallel for schedule(static) num_threads(threads) if (threads > 1)") \
    for (int64_t b = 0; b < by.blocks; b++)
#define EACH_PANEL for (int64_t p = 0; p < by.width; p += PANEL * LANES)
#define EACH_LINE(n) for (int64_t i = 0; i + by.width <= (n); i += by.width)
#define EACH_VECTOR for (int v = 0; v < PANEL; v++)
#define BEHIND_LINES(n) /* `some` values from j on of the line that is not whole */ \
    for (int64_t i = (n) / by.width * by.width, j = 0, some; some = least((n) - i - j, LANES), some > 0; j += LANES)

/* Sums a channel, [c] in double, of sums a place in a line. */
static void fold(const float *sums, cut by, double *sum) {
    memset(sum, 0, by.c * sizeof(double));
    for (int64_t j = 0; j < by.width; j += by.c)
        for (int64_t k = 0; k < by.c; k++) sum[k] += sums[j + k];
}

/* Figures a channel at every place in a line. */
static void spread(const double *figures, cut by, float *line) {
    for (int64_t k = 0; k < by.c; k++) line[k] = (float)figures[k];
    for (int64_t j = by.c; j < by.width; j += by.c) memcpy(line + j, line, by.c * sizeof(float));
}

/* Mean and sum of squared deviations of a block of n values, each [c]: deviations are from its rounded mean. */
INLINE void moments_of(const void *x, int64_t n, cut by, int half, double *mean, double *square) {
    float first[by.width], second[by.width], near[by.width];
    double rows = (double)(n / by.c), rest[by.c];
    EACH_PANEL {
        vec sum[PANEL] = {0};
        EACH_LINE(n) EACH_VECTOR sum[v] += load(x, i + p + v * LANES, half);
        memcpy(first + p, sum, sizeof sum);
    }
    BEHIND_LINES(n) store(first, j, load(first, j, 0) + load_some(x, i + j, some, half), 0);
    fold(first, by, mean);
    for (int64_t k = 0; k < by.c; k++) mean[k] /= rows;
    spread(mean, by, near);
    EACH_PANEL {
        vec off[PANEL] = {0}, squares[PANEL] = {0}, from[PANEL];
        memcpy(from, near + p, sizeof from);
        EACH_LINE(n) EACH_VECTOR {
            vec d = load(x, i + p + v * LANES, half) - from[v];
            off[v] += d;
            squares[v] += d * d;
        }
        memcpy(first + p, off, sizeof off);
        memcpy(second + p, squares, sizeof squares);
    }
    BEHIND_LINES(n) for (int64_t l = j; l < j + some; l++) {
        float d = load_some(x, i + l, 1, half)[0] - near[l];
        first[l] += d;
        second[l] += d * d;
    }
    fold(first, by, rest);
    fold(second, by, square);
    for (int64_t k = 0; k < by.c; k++) {
        mean[k] = near[k] + rest[k] / rows;
        square[k] -= rest[k] * rest[k] / rows;
    }
}

/* Means and variances (divisor: rows), [2, c]. Returns 0, or -1 without memory. */
int norm_moments(const void *x, int64_t rows, int64_t c, int half, double *out, int threads) {
    cut by = cut_of(rows, c);
    double *found = malloc(by.blocks * 2 * c * sizeof(double));
    if (!found) return -1;
    EACH_BLOCK {
        const void *block = at(x, b * by.size, half);
        double *mean = found + b * 2 * c;
        int64_t n = b < by.blocks - 1 ? by.size : by.last;
        if (half)
            moments_of(block, n, by, 1, mean, mean + c);
        else
            moments_of(block, n, by, 0, mean, mean + c);
    }
    memset(out, 0, 2 * c * sizeof(double));
    for (int64_t b = 0; b < by.blocks; b++) {
        double share = (double)(b < by.blocks - 1 ? by.size : by.last) / (rows * c);
        for (int64_t k = 0; k < c; k++) out[k] += found[b * 2 * c + k] * share;
    }
    for (int64_t b = 0; b < by.blocks; b++) {
        double share = (double)(b < by.blocks - 1 ? by.size : by.last) / (rows * c);
        for (int64_t k = 0; k < c; k++) {
            double d = found[b * 2 * c + k] - out[k];
            out[c + k] += found[(b * 2 + 1) * c + k] / rows + d * d * share;
        }
    }
    free(found);
    return 0;
}

INLINE void sums_of(const void *g, const void *x, int64_t n, cut by, int half, const float *mean, double *along,
                    double *plain) {
    float with[by.width], alone[by.width];
    EACH_PANEL {
        vec products[PANEL] = {0}, slopes[PANEL] = {0}, from[PANEL];
        memcpy(from, mean + p, sizeof from);
        EACH_LINE(n) EACH_VECTOR {
            vec slope = load(g, i + p + v * LANES, half);
            slopes[v] += slope;
            products[v] += slope * (load(x, i + p + v * LANES, half) - from[v]);
        }
        memcpy(with + p, products, sizeof products);
        memcpy(alone + p, slopes, sizeof slopes);
    }
    BEHIND_LINES(n) {
        vec slope = load_some(g, i + j, some, half), d = load_some(x, i + j, some, half) - load(mean, j, 0);
        store(alone, j, load(alone, j, 0) + slope, 0);
        store(with, j, load(with, j, 0) + slope * d, 0);
    }
    fold(with, by, along);
    fold(alone, by, plain);
}

/* Sums over rows of g (x - mean) and of g, [2, c]; mean [c]. Returns 0, or -1 without memory. */
int norm_sums(const void *g, const void *x, int64_t rows, int64_t c, int half, const double *mean, double *out,
              int threads) {
    cut by = cut_of(rows, c);
    double *found = malloc(by.blocks * 2 * c * sizeof(double));
    if (!found) return -1;
    float means[by.width];
    spread(mean, by, means);
    EACH_BLOCK {
        const void *slopes = at(g, b * by.size, half), *block = at(x, b * by.size, half);
        double *to = found + b * 2 * c;
        int64_t n = b < by.blocks - 1 ? by.size : by.last;
        if (half)
            sums_of(slopes, block, n, by, 1, means, to, to + c);
        else
            sums_of(slopes, block, n, by, 0, means, to, to + c);
    }
    memset(out, 0, 2 * c * sizeof(double));
    for (int64_t b = 0; b < by.blocks; b++)
        for (int64_t k = 0; k < 2 * c; k++) out[k] += found[b * 2 * c + k];
    free(found);
    return 0;
}

INLINE void apply(const void *x, const void *g, void *out, int64_t n, cut by, int half, const float *along,
                  const float *slope, const float *offset) {
    EACH_LINE(n) for (int64_t j = 0; j < by.width; j += LANES) {
        vec value = load(x, i + j, half) * load(along, j, 0) + load(offset, j, 0);
        store(out, i + j, g ? value + load(g, i + j, half) * load(slope, j, 0) : value, half);
    }
    BEHIND_LINES(n) {
        vec value = load_some(x, i + j, some, half) * load(along, j, 0) + load(offset, j, 0);
        if (g) value += load_some(g, i + j, some, half) * load(slope, j, 0);
        store_some(out, i + j, value, some, half);
    }
}

/* out = x along + g slope + offset, each [c] the rows of `by_channel` [3, c]; without g if it is NULL. */
void norm_apply(const void *x, const void *g, void *out, int64_t rows, int64_t c, int half, const double *by_channel,
                int threads) {
    cut by = cut_of(rows, c);
    float along[by.width], slope[by.width], offset[by.width];
    spread(by_channel, by, along);
    spread(by_channel + c, by, slope);
    spread(by_channel + 2 * c, by, offset);
    EACH_BLOCK {
        const void *block = at(x, b * by.size, half), *slopes = g ? at(g, b * by.size, half) : NULL;
        void *to = at(out, b * by.size, half);
        int64_t n = b < by.blocks - 1 ? by.size : by.last;
        if (half && g)
            apply(block, slopes, to, n, by, 1, along, slope, offset);
        else if (half)
            apply(block, NULL, to, n, by, 1, along, slope, offset);
        else if (g)
            apply(block, slopes, to, n, by, 0, along, slope, offset);
        else
            apply(block, NULL, to, n, by, 0, along, slope, offset);
    }
}
