/* Sums over the rows of a map [rows, width], position by position, in float32: exact for events below 2^24. */

#include "vectors.h"

#define STRIP 2048 /* sums that stay in the nearest cache while rows go by */

INLINE void sum_strip(const void *x, int64_t rows, int64_t width, int64_t from, int64_t n, int half, float *out) {
    float sums[STRIP] = {0};
    for (int64_t r = 0; r < rows; r++) {
        int64_t i = r * width + from, j = 0;
        for (; j + LANES <= n; j += LANES) store(sums, j, load(sums, j, 0) + load(x, i + j, half), 0);
        if (j < n) store_some(sums, j, load(sums, j, 0) + load_some(x, i + j, n - j, half), n - j, 0);
    }
    memcpy(out + from, sums, n * sizeof(float));
}

void sum_rows(const void *x, int64_t rows, int64_t width, int half, float *out, int threads) {
    _Pragma("omp parallel for schedule(static) num_threads(threads) if (threads > 1)")
    for (int64_t from = 0; from < width; from += STRIP) {
        int64_t n = width - from < STRIP ? width - from : STRIP;
        if (half)
            sum_strip(x, rows, width, from, n, 1, out);
        else
            sum_strip(x, rows, width, from, n, 0, out);
    }
}
