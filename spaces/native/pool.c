/* Max-pooling 2x2, stride 2, of maps [n, h, w, c]; an odd row or column at the end is left out, as by PyTorch. */

#include "vectors.h"

/* Where b takes the place of a as the largest so far: the first of equals stays, and whatever is no number is largest. */
INLINE bits beats(vec b, vec a) { return (bits)(b > a) | (bits)(b != b); }
INLINE vec either(bits where, vec b, vec a) { return (vec)(((bits)b & where) | ((bits)a & ~where)); }

#define EACH_PAIR_OF_ROWS                                                                       \
    _Pragma("omp parallel for schedule(static) num_threads(threads) if (threads > 1)")          \
    for (int64_t r = 0; r < n * (h / 2); r++)
#define EACH_VECTOR for (int64_t j = 0, some; some = c - j < LANES ? c - j : LANES, some > 0; j += LANES)

INLINE void pool(const void *x, void *y, int64_t n, int64_t h, int64_t w, int64_t c, int half, int threads) {
    EACH_PAIR_OF_ROWS {
        int64_t from = (r / (h / 2) * h + r % (h / 2) * 2) * w * c, to = r * (w / 2) * c;
        for (int64_t q = 0; q < w / 2; q++, from += 2 * c, to += c) EACH_VECTOR {
            vec most = get(x, from + j, some, half);
            for (int k = 1; k < 4; k++) {
                vec next = get(x, from + (k / 2 * w + k % 2) * c + j, some, half);
                most = either(beats(next, most), next, most);
            }
            put_as_is(y, to + j, most, some, half);
        }
    }
}

/* out [n, h, w, c]: the slope g [n, h / 2, w / 2, c] at the first of the largest of x, zero elsewhere. What the next two rows
   are written to is asked for. */
INLINE void unpool(const void *g, const void *x, void *out, int64_t n, int64_t h, int64_t w, int64_t c, int half,
                   int threads) {
    int64_t row = w * c * (half ? 2 : 4);
    if (h % 2)
        for (int64_t i = 1; i <= n; i++) memset(at(out, (i * h - 1) * w * c, half), 0, row);
    EACH_PAIR_OF_ROWS {
        int64_t to = (r / (h / 2) * h + r % (h / 2) * 2) * w * c, from = r * (w / 2) * c;
        if (w % 2)
            for (int k = 1; k <= 2; k++) memset(at(out, to + (k * w - 1) * c, half), 0, row / w);
        for (int64_t q = 0; q < w / 2; q++, to += 2 * c, from += c) EACH_VECTOR {
            for (int k = 0; k < 4; k++) __builtin_prefetch(at(out, to + ((2 + k / 2) * w + k % 2) * c + j, half), 1);
            vec most = get(x, to + j, some, half), slope = get(g, from + j, some, half);
            bits wins[4] = {~(bits){0}};
            for (int k = 1; k < 4; k++) {
                vec next = get(x, to + (k / 2 * w + k % 2) * c + j, some, half);
                wins[k] = beats(next, most);
                most = either(wins[k], next, most);
                for (int l = 0; l < k; l++) wins[l] &= ~wins[k];
            }
            for (int k = 0; k < 4; k++)
                put_as_is(out, to + (k / 2 * w + k % 2) * c + j, (vec)((bits)slope & wins[k]), some, half);
        }
    }
}

void pool_forward(const void *x, void *y, int64_t n, int64_t h, int64_t w, int64_t c, int half, int threads) {
    if (half)
        pool(x, y, n, h, w, c, 1, threads);
    else
        pool(x, y, n, h, w, c, 0, threads);
}

void pool_backward(const void *g, const void *x, void *out, int64_t n, int64_t h, int64_t w, int64_t c, int half,
                   int threads) {
    if (half)
        unpool(g, x, out, n, h, w, c, 1, threads);
    else
        unpool(g, x, out, n, h, w, c, 0, threads);
}
