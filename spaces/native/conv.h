/* What event-driven convolutions share, and what those with neurons behind them need of them. */

#ifndef CONV_H
#define CONV_H

#include "vectors.h"

#include <stdlib.h>

#define NEAR (32 * 1024) /* bytes that stay in the nearest cache beside what else is read */
#define ODD 1 /* said of maps that have other values than 0 and 1 */

#define EACH(i, n) _Pragma("GCC unroll 32") for (int i = 0; i < (n); i++)

/* How many rows of a kernel fit into the registers: beside a block of each of their pixels, little else is held. */
#ifdef __AVX512F__
#define MOST_5 5
#define MOST_7 4
#define EACH_5(DO, ...) \
    DO(5, 1, __VA_ARGS__) DO(5, 2, __VA_ARGS__) DO(5, 3, __VA_ARGS__) DO(5, 4, __VA_ARGS__) DO(5, 5, __VA_ARGS__)
#define EACH_7(DO, ...) DO(7, 1, __VA_ARGS__) DO(7, 2, __VA_ARGS__) DO(7, 3, __VA_ARGS__) DO(7, 4, __VA_ARGS__)
#else
#define MOST_5 3
#define MOST_7 2
#define EACH_5(DO, ...) DO(5, 1, __VA_ARGS__) DO(5, 2, __VA_ARGS__) DO(5, 3, __VA_ARGS__)
#define EACH_7(DO, ...) DO(7, 1, __VA_ARGS__) DO(7, 2, __VA_ARGS__)
#endif
#define EACH_SIZE(DO, ...) \
    DO(3, 1, __VA_ARGS__) DO(3, 2, __VA_ARGS__) DO(3, 3, __VA_ARGS__) \
    EACH_5(DO, __VA_ARGS__) EACH_7(DO, __VA_ARGS__)

#ifdef __AVX512F__
#define WIDEST 16
#else
#define WIDEST 8
#endif

INLINE int64_t most_rows(int64_t k) { return k == 3 ? 3 : k == 5 ? MOST_5 : MOST_7; }

/* Channels out that are worked on at a time: a vector. */
INLINE int64_t block_of(int64_t c_out) { return c_out % WIDEST ? 8 : WIDEST; }

/* That many values of 32 bits, all 0, on a border of the cache's lines. */
INLINE void *zeros(int64_t count) {
    size_t bytes = (count * 4 + 63) / 64 * 64;
    void *map = aligned_alloc(64, bytes);
    if (map) memset(map, 0, bytes);
    return map;
}

/* A convolution of frames [h, w, c_in] to [h, w, c_out], see forward.c. */
typedef struct {
    int64_t h, w, c_in, c_out, k;
    int from_half, half;        /* whether spikes, and what comes out, are bfloat16 */
    int64_t unit, pixels;       /* channels that a bit stands for, and pixels that are taken together */
    int64_t units, group;       /* how many bits these have, and how many of them are taken together */
    int64_t cb, rows, strip;    /* channels out, rows of the kernel and rows of the frame that are taken together */
    void *weight; /* [c_out / cb][groups][row][group][k + pixels - 1][cb][unit], rows taken together side by side */
    float *steps;               /* what a weight's step is worth, by channel out; NULL where weights are floats */
} convolution;

/* What a thread has for it: a padded map, a block of channels; bits, in a row and by pixels. */
typedef struct {
    void *map;
    uint8_t *bits;
    uint64_t *fired; /* [groups][h][w / pixels] */
} room;

/* Both return 0, or -1 without memory; what they have taken is given back by the others, in either case. */
int convolution_begin(convolution *of, const float *kernel);
void convolution_end(convolution *of);
int room_begin(room *in, const convolution *of);
void room_end(room *in);

/* Convolves one frame. Returns 0, or ODD. */
int convolve_frame(const convolution *of, const room *in, const void *x, void *out);

#define AT_ONCE 56 /* bits that can be read wherever they begin */

/* `count` bits from a place on, AT_ONCE or fewer, or up to 64 from a place that is a multiple of 8. Reads 8 bytes. */
INLINE uint64_t bits_at(const uint8_t *bits, int64_t place, int64_t count) {
    uint64_t found;
    memcpy(&found, bits + place / 8, sizeof found);
    return found >> place % 8 & ~0ull >> (64 - count);
}

int64_t pack_bits(const void *x, int64_t n, int half, uint8_t *out);

#endif
