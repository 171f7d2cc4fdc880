/* Event-driven convolution on the CPU: work in proportion to spikes, not to neurons.

   Maps are channels last, [n, h, w, c] float32; spikes are exactly 0 or 1. Kernels are of odd size k up to 7 with padding
   k / 2 and stride 1; channels out come in multiples of 8 and are worked on in blocks of `cb`, see `conv_block`.

   Spikes are a list: `event` holds the channels of each pixel's spikes, pixel after pixel, and `start` [n * h * w + 1]
   where each pixel's begin. Output and gradient maps are padded by k / 2, so that what a pixel reaches in one row of a
   kernel is one stretch of k pixels x cb channels, which fits into registers. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef _OPENMP
#include <omp.h>
#define THREAD omp_get_thread_num()
#else
#define THREAD 0
#endif

typedef float v8 __attribute__((vector_size(32), aligned(4)));
typedef float v8a __attribute__((vector_size(32)));
typedef int32_t v8i __attribute__((vector_size(32), aligned(4)));
typedef uint16_t v8s __attribute__((vector_size(16), aligned(2)));

#define NEAR (24 * 1024)   /* bytes of a padded map to work on at a time */
#define CACHED (96 * 1024) /* and of a padded gradient */

/* Eight bits, one for each of eight floats that is not 0; sets bits of `odd` where one is not 1 either. */
static inline unsigned spikes_of(const float *x, v8i *odd) {
    v8i bits = *(const v8i *)x, fired = bits != 0;
    *odd |= fired & (bits != 0x3f800000);
#ifdef __AVX__
    return (unsigned)__builtin_ia32_movmskps256((v8a)fired);
#else
    unsigned mask = 0;
    for (int i = 0; i < 8; i++) mask |= (unsigned)(fired[i] & 1) << i;
    return mask;
#endif
}

/* Writes events and starts; gives how many events there are, or -1 where a value is neither 0 nor 1. `event` has room for
   all pixels * c and eight more: eight are written at a time, the places of the bits that are set first. */
int64_t events_of(const float *x, int64_t pixels, int64_t c, uint16_t *event, int32_t *start) {
    v8s places[256];
    for (int mask = 0; mask < 256; mask++)
        for (int bit = 0, at = 0; bit < 8; bit++)
            if (mask >> bit & 1) places[mask][at++] = (uint16_t)bit;
    int64_t count = 0;
    for (int64_t px = 0; px < pixels; px++) {
        v8i odd = {0};
        int64_t i = 0;
        start[px] = (int32_t)count;
        for (; i + 8 <= c; i += 8) {
            unsigned mask = spikes_of(x + i, &odd);
            *(v8s *)(event + count) = places[mask] + (uint16_t)i;
            count += __builtin_popcount(mask);
        }
        for (; i < c; i++) {
            event[count] = (uint16_t)i;
            count += x[i] != 0;
            odd[0] |= x[i] != 0 && x[i] != 1;
        }
        for (int lane = 0; lane < 8; lane++)
            if (odd[lane]) return -1;
        x += c;
    }
    start[pixels] = (int32_t)count;
    return count;
}

#define EACH(v, n) _Pragma("GCC unroll 32") for (int v = 0; v < (n); v++)

/* Kernels for a size K of kernel and blocks of NV vectors V of channels.

   forward: adds what each spike of a frame reaches to the padded map [h + 2p, w + 2p, cb]; weight is [K][c_in][K][cb].
   It takes a strip of the frame at a time, and of that one row of the kernel after the other, so that both the map and
   the weights that it works on stay in the nearest cache.
   backward: to += the sum of `count` stretches of K pixels of a padded map, which begin at the given pixels. */
#define KERNELS(K, V, NV)                                                                                      \
    static void forward_##K##_##V##_##NV(const uint16_t *event, const int32_t *start, const float *weight,     \
                                         float *map, int64_t h, int64_t w, int64_t c_in) {                     \
        int64_t pw = w + K - 1, strip = NEAR / (pw * NV * (int64_t)sizeof(V)) - K + 1;                         \
        if (strip < 1) strip = 1;                                                                              \
        for (int64_t top = 0; top < h; top += strip)                                                           \
            for (int ky = 0; ky < K; ky++) {                                                                   \
                const V *weights = (const V *)weight + ky * c_in * (K * NV);                                   \
                for (int64_t y = top; y < top + strip && y < h; y++) {                                         \
                    const int32_t *at = start + y * w;                                                         \
                    V *to = (V *)map + (y + K - 1 - ky) * pw * NV;                                             \
                    for (int64_t x = 0; x < w; x++, to += NV) {                                                \
                        const uint16_t *spike = event + at[x], *end = event + at[x + 1];                       \
                        if (spike == end) continue;                                                            \
                        V sum[K * NV];                                                                         \
                        EACH(v, K * NV) sum[v] = to[v];                                                        \
                        for (; spike < end; spike++) {                                                         \
                            const V *reached = weights + *spike * (K * NV);                                    \
                            EACH(v, K * NV) sum[v] += reached[v];                                              \
                        }                                                                                      \
                        EACH(v, K * NV) to[v] = sum[v];                                                        \
                    }                                                                                          \
                }                                                                                              \
            }                                                                                                  \
    }                                                                                                          \
    static void backward_##K##_##V##_##NV(const int32_t *place, int64_t count, const float *map, float *to) {  \
        V sum[K * NV];                                                                                         \
        EACH(v, K * NV) sum[v] = ((V *)to)[v];                                                                 \
        for (int64_t i = 0; i < count; i++) {                                                                  \
            const V *at = (const V *)map + (int64_t)place[i] * NV;                                             \
            EACH(v, K * NV) sum[v] += at[v];                                                                   \
        }                                                                                                      \
        EACH(v, K * NV) ((V *)to)[v] = sum[v];                                                                 \
    }

#define SIZES(V, NV) KERNELS(1, V, NV) KERNELS(3, V, NV) KERNELS(5, V, NV) KERNELS(7, V, NV)
#define ROW(NAME, V, NV) {NAME##_1_##V##_##NV, NAME##_3_##V##_##NV, NAME##_5_##V##_##NV, NAME##_7_##V##_##NV}

SIZES(v8, 1)
#ifdef __AVX512F__ /* as many sums as 32 registers hold, and vectors twice as long */
typedef float v16 __attribute__((vector_size(64), aligned(4)));
SIZES(v16, 1)
SIZES(v16, 2)
#define WIDEST 32
#define ROWS(NAME) ROW(NAME, v8, 1), ROW(NAME, v16, 1), ROW(NAME, v16, 2)
#else
SIZES(v8, 2)
#define WIDEST 16
#define ROWS(NAME) ROW(NAME, v8, 1), ROW(NAME, v8, 2)
#endif

static void (*const forwards[][4])(const uint16_t *, const int32_t *, const float *, float *, int64_t, int64_t, int64_t) =
    {ROWS(forward)};
static void (*const backwards[][4])(const int32_t *, int64_t, const float *, float *) = {ROWS(backward)};

/* Channels out that are worked on at a time: 8, 16 or 32. */
int64_t conv_block(int64_t c_out) {
    int64_t cb = 8;
    while (cb < WIDEST && c_out % (2 * cb) == 0) cb *= 2;
    return cb;
}

/* `count` pieces of `size` floats, a multiple of 8, from one distance apart to another. */
static void copy(const float *from, int64_t from_step, float *to, int64_t to_step, int64_t count, int64_t size) {
    for (int64_t i = 0; i < count; i++, from += from_step, to += to_step)
        for (int64_t at = 0; at < size; at += 8) *(v8 *)(to + at) = *(const v8 *)(from + at);
}

/* That many floats, all 0, on a border of the cache's lines. */
static float *padded(int64_t count) {
    size_t bytes = (count * sizeof(float) + 63) / 64 * 64;
    float *map = aligned_alloc(64, bytes);
    if (map) memset(map, 0, bytes);
    return map;
}

/* out [n, h, w, c_out] of events; weight is [c_out / cb][ky][c_in][k - 1 - kx][cb]. Returns 0, or -1 without memory. */
int conv_forward(const uint16_t *event, const int32_t *start, const float *weight, float *out, int64_t n, int64_t h,
                 int64_t w, int64_t c_in, int64_t c_out, int k, int threads) {
    int64_t p = k / 2, ph = h + 2 * p, pw = w + 2 * p, cb = conv_block(c_out);
    int failed = 0;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        float *map = padded(ph * pw * cb);
        if (!map) {
#pragma omp atomic write
            failed = 1;
        }
#pragma omp for schedule(static) collapse(2)
        for (int64_t frame = 0; frame < n; frame++)
            for (int64_t co = 0; co < c_out; co += cb) {
                if (!map) continue;
                memset(map, 0, ph * pw * cb * sizeof(float));
                forwards[cb / 16][k / 2](event, start + frame * h * w, weight + co * k * k * c_in, map, h, w, c_in);
                for (int64_t y = 0; y < h; y++)
                    copy(map + ((y + p) * pw + p) * cb, cb, out + (frame * h + y) * w * c_out + co, c_out, w, cb);
            }
        free(map);
    }
    return failed ? -1 : 0;
}

/* Gradient of the weights, [ky][kx][c_in][c_out], for the gradient [n, h, w, c_out] of the output. Returns 0, or -1
   without memory. Frames go in groups whose padded gradient stays in the cache; in one, for each channel in and each row
   of the kernel the sums over all its events are held in registers. */
int conv_weight_gradient(const uint16_t *event, const int32_t *start, const float *grad, float *out, int64_t n,
                         int64_t h, int64_t w, int64_t c_in, int64_t c_out, int k, int threads) {
    int64_t p = k / 2, ph = h + 2 * p, pw = w + 2 * p, size = k * k * c_in * c_out, cb = conv_block(c_out);
    int64_t group = CACHED / (ph * pw * cb * (int64_t)sizeof(float));
    group = group < 1 ? 1 : group > n ? n : group;
    int64_t groups = (n + group - 1) / group;
    float *sums = calloc(threads * size, sizeof(float)); /* one a thread, added up in order: runs repeat to the bit */
    int failed = !sums;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        float *own = sums ? sums + THREAD * size : NULL;
        float *map = padded(group * ph * pw * cb);
        int32_t *place = malloc(group * h * w * c_in * sizeof(int32_t));
        int64_t *first = malloc((c_in + 1) * sizeof(int64_t));
        int ready = own && map && place && first;
        if (!ready) {
#pragma omp atomic write
            failed = 1;
        }
#pragma omp for schedule(static)
        for (int64_t g = 0; g < groups; g++) {
            if (!ready) continue;
            int64_t low = g * group, high = low + group > n ? n : low + group;
            memset(first, 0, (c_in + 1) * sizeof(int64_t)); /* events of the group by channel: a counting sort */
            for (int64_t i = start[low * h * w]; i < start[high * h * w]; i++) first[event[i] + 1]++;
            for (int64_t c = 0; c < c_in; c++) first[c + 1] += first[c];
            for (int64_t row = low * h; row < high * h; row++)
                for (int64_t x = 0; x < w; x++)
                    for (int64_t i = start[row * w + x]; i < start[row * w + x + 1]; i++)
                        place[first[event[i]]++] = (int32_t)(((row / h - low) * ph + row % h) * pw + x);
            for (int64_t c = c_in; c > 0; c--) first[c] = first[c - 1];
            first[0] = 0;
            for (int64_t co = 0; co < c_out; co += cb) {
                for (int64_t row = low * h; row < high * h; row++) {
                    float *to = map + (((row / h - low) * ph + row % h + p) * pw + p) * cb;
                    copy(grad + row * w * c_out + co, c_out, to, cb, w, cb);
                }
                for (int64_t c = 0; c < c_in; c++) {
                    int64_t count = first[c + 1] - first[c];
                    if (count == 0) continue;
                    for (int64_t ky = 0; ky < k; ky++) {
                        float sum[7 * WIDEST] __attribute__((aligned(64))) = {0};
                        const float *from = map + (2 * p - ky) * pw * cb;
                        backwards[cb / 16][k / 2](place + first[c], count, from, sum);
                        for (int64_t j = 0; j < k; j++) {
                            float *to = own + ((ky * k + k - 1 - j) * c_in + c) * c_out + co;
                            for (int64_t i = 0; i < cb; i++) to[i] += sum[j * cb + i];
                        }
                    }
                }
            }
        }
        free(map);
        free(place);
        free(first);
    }
    for (int64_t i = 0; i < size && sums; i++) {
        out[i] = sums[i];
        for (int t = 1; t < threads; t++) out[i] += sums[t * size + i];
    }
    free(sums);
    return failed ? -1 : 0;
}
