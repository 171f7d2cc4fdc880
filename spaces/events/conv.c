/* Event-driven convolution on the CPU: work in proportion to spikes, not to neurons.

   Maps are channels last, [n, h, w, c] float32; spikes are exactly 0 or 1. Kernels are of odd size k up to 7 with padding
   k / 2 and stride 1; channels out come in multiples of 8 and are worked on in blocks of `cb`, 16 where that divides them.

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

#define CACHED (96 * 1024) /* bytes of padded gradient to work on at a time */

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

#define EACH(v, n) _Pragma("GCC unroll 16") for (int v = 0; v < (n); v++)

/* to += the sum of `count` stretches of K * NV vectors, which lie STEP vectors apart at the given places. */
#define GATHER(NAME, PLACE, K, NV, STEP)                                                                 \
    static void NAME##_##K##_##NV(const PLACE *place, int64_t count, const float *map, float *to) {      \
        v8 sum[K * NV];                                                                                  \
        EACH(v, K * NV) sum[v] = ((v8 *)to)[v];                                                          \
        for (int64_t i = 0; i < count; i++) {                                                            \
            const v8 *at = (const v8 *)map + (int64_t)place[i] * (STEP);                                 \
            EACH(v, K * NV) sum[v] += at[v];                                                             \
        }                                                                                                \
        EACH(v, K * NV) ((v8 *)to)[v] = sum[v];                                                          \
    }
#define GATHERS(K, NV)                        \
    GATHER(weights, uint16_t, K, NV, K * NV)  \
    GATHER(pixels, int32_t, K, NV, NV)

GATHERS(1, 1)
GATHERS(1, 2)
GATHERS(3, 1)
GATHERS(3, 2)
GATHERS(5, 1)
GATHERS(5, 2)
GATHERS(7, 1)
GATHERS(7, 2)

#define CHOOSE(NAME, PLACE)                                                                 \
    typedef void (*NAME##_gather)(const PLACE *, int64_t, const float *, float *);          \
    static NAME##_gather choose_##NAME(int k, int wide) {                                   \
        static const NAME##_gather all[4][2] = {{NAME##_1_1, NAME##_1_2},                   \
                                                {NAME##_3_1, NAME##_3_2},                   \
                                                {NAME##_5_1, NAME##_5_2},                   \
                                                {NAME##_7_1, NAME##_7_2}};                  \
        return all[k / 2][wide];                                                            \
    }

CHOOSE(weights, uint16_t)
CHOOSE(pixels, int32_t)

/* `count` pieces of `size` floats, 8 or 16, from one distance apart to another. */
static void copy(const float *from, int64_t from_step, float *to, int64_t to_step, int64_t count, int64_t size) {
    for (int64_t i = 0; i < count; i++, from += from_step, to += to_step) {
        ((v8 *)to)[0] = ((const v8 *)from)[0];
        if (size == 16) ((v8 *)to)[1] = ((const v8 *)from)[1];
    }
}

/* That many floats, all 0, on a border of the cache's lines. */
static float *padded(int64_t count) {
    size_t bytes = (count * sizeof(float) + 63) / 64 * 64;
    float *map = aligned_alloc(64, bytes);
    if (map) memset(map, 0, bytes);
    return map;
}

static int64_t block(int64_t c_out) { return c_out % 16 ? 8 : 16; }

/* out [n, h, w, c_out] of events; weight is [c_out / cb][ky][c_in][k - 1 - kx][cb]. Returns 0, or -1 without memory. */
int conv_forward(const uint16_t *event, const int32_t *start, const float *weight, float *out, int64_t n, int64_t h,
                 int64_t w, int64_t c_in, int64_t c_out, int k, int threads) {
    int64_t p = k / 2, ph = h + 2 * p, pw = w + 2 * p, cb = block(c_out);
    weights_gather gather = choose_weights(k, cb == 16);
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
                for (int64_t y = 0; y < h; y++)
                    for (int64_t x = 0; x < w; x++) {
                        const int32_t *at = start + (frame * h + y) * w + x;
                        int64_t count = at[1] - at[0];
                        if (count == 0) continue;
                        for (int64_t ky = 0; ky < k; ky++)
                            gather(event + at[0], count, weight + (co * k + ky * cb) * c_in * k,
                                   map + ((y + 2 * p - ky) * pw + x) * cb);
                    }
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
    int64_t p = k / 2, ph = h + 2 * p, pw = w + 2 * p, size = k * k * c_in * c_out, cb = block(c_out);
    int64_t group = CACHED / (ph * pw * cb * (int64_t)sizeof(float));
    group = group < 1 ? 1 : group > n ? n : group;
    int64_t groups = (n + group - 1) / group;
    pixels_gather gather = choose_pixels(k, cb == 16);
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
                        float sum[7 * 16] __attribute__((aligned(64))) = {0};
                        gather(place + first[c], count, map + (2 * p - ky) * pw * cb, sum);
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
