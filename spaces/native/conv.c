/* Event-driven convolution on the CPU, backward: the gradient of the kernel, in proportion to spikes. See forward.c.

   Spikes are a list, kept until then: `event` holds the channels of each pixel's spikes, pixel after pixel, and `start`
   [n * h * w + 1] where each pixel's begin. Gradient maps are padded by k / 2. */

#include "conv.h"

#ifdef _OPENMP
#include <omp.h>
#define THREAD omp_get_thread_num()
#else
#define THREAD 0
#endif

typedef float v8 __attribute__((vector_size(32), aligned(4)));
typedef float v8a __attribute__((vector_size(32)));
typedef int32_t v8i __attribute__((vector_size(32), aligned(4)));
typedef uint32_t v8u __attribute__((vector_size(32)));
typedef uint16_t v8s __attribute__((vector_size(16), aligned(2)));

/* Whether this processor multiplies matrices of bfloat16 by the tile: dense convolutions in it are then faster. */
int has_tiles(void) {
#ifdef __AMX_BF16__
    return 1;
#else
    return 0;
#endif
}

INLINE v8 load8(const void *x, int64_t i, int half) {
    if (!half) return *(const v8 *)at(x, i, 0);
    return (v8)(__builtin_convertvector(*(const v8s *)at(x, i, 1), v8u) << 16);
}

INLINE void store8(void *y, int64_t i, v8 value, int half) {
    if (!half) {
        *(v8 *)at(y, i, 0) = value;
        return;
    }
    v8u wide = (v8u)value, numbers = (v8u)(value == value);
    v8u upper = (wide + 0x7fff + (wide >> 16 & 1)) >> 16;
    *(v8s *)at(y, i, 1) = __builtin_convertvector((upper & numbers) | (0x7fc0 & ~numbers), v8s);
}

/* Eight bits, one for each of eight values that is not 0; sets bits of `odd` where one is not 1 either. */
INLINE unsigned spikes_of(v8 x, v8i *odd) {
    v8i bits = (v8i)x, fired = bits != 0;
    *odd |= fired & (bits != 0x3f800000);
#ifdef __AVX__
    return (unsigned)__builtin_ia32_movmskps256((v8a)fired);
#else
    unsigned mask = 0;
    for (int i = 0; i < 8; i++) mask |= (unsigned)(fired[i] & 1) << i;
    return mask;
#endif
}

INLINE int64_t count(const void *x, int64_t size, int half) {
    v8i odd = {0};
    int64_t found = 0, i = 0;
    for (; i + 8 <= size; i += 8) found += __builtin_popcount(spikes_of(load8(x, i, half), &odd));
    for (; i < size; i++) {
        uint32_t value = half ? (uint32_t)((const uint16_t *)x)[i] << 16 : ((const uint32_t *)x)[i];
        found += value != 0;
        odd[0] |= value != 0 && value != 0x3f800000;
    }
    for (int lane = 0; lane < 8; lane++)
        if (odd[lane]) return -1;
    return found;
}

/* How many of a map's values are spikes; -1 where one is neither 0 nor 1. */
int64_t count_events(const void *x, int64_t size, int half) { return half ? count(x, size, 1) : count(x, size, 0); }

INLINE void list(const void *x, int64_t pixels, int64_t c, int half, uint16_t *event, int32_t *start) {
    v8s places[256];
    v8i odd;
    for (int mask = 0; mask < 256; mask++)
        for (int bit = 0, at = 0; bit < 8; bit++)
            if (mask >> bit & 1) places[mask][at++] = (uint16_t)bit;
    int64_t found = 0;
    for (int64_t px = 0; px < pixels; px++) {
        int64_t i = 0;
        start[px] = (int32_t)found;
        for (; i + 8 <= c; i += 8) {
            unsigned mask = spikes_of(load8(x, px * c + i, half), &odd);
            *(v8s *)(event + found) = places[mask] + (uint16_t)i;
            found += __builtin_popcount(mask);
        }
        for (; i < c; i++) {
            event[found] = (uint16_t)i;
            found += (half ? ((const uint16_t *)x)[px * c + i] : ((const uint32_t *)x)[px * c + i]) != 0;
        }
    }
    start[pixels] = (int32_t)found;
}

/* Writes the events and starts of a map of spikes. `event` has room for eight more than there are: eight are written at a
   time, the places of the bits that are set first. */
void list_events(const void *x, int64_t pixels, int64_t c, int half, uint16_t *event, int32_t *start) {
    if (half)
        list(x, pixels, c, 1, event, start);
    else
        list(x, pixels, c, 0, event, start);
}

/* For a size K of kernel, R of its rows at once, and blocks that are a vector V of channels, a pixel of a map being one:
   to [R][K][cb] += the sum of `count` windows of R x K pixels of a padded map, which begin at the given pixels. */
#define BACKWARD(K, R, V)                                                                                         \
    static void backward_##K##_##R##_##V(const int32_t *place, int64_t count, const float *map, int64_t wide,     \
                                         float *to) {                                                             \
        V sum[R][K];                                                                                              \
        EACH(r, R) EACH(j, K) sum[r][j] = ((V *)to)[r * K + j];                                                   \
        for (int64_t i = 0; i < count; i++) {                                                                     \
            const V *from = (const V *)map + place[i];                                                            \
            EACH(r, R) EACH(j, K) sum[r][j] += from[r * wide + j];                                                \
        }                                                                                                         \
        EACH(r, R) EACH(j, K)((V *)to)[r * K + j] = sum[r][j];                                                    \
    }

typedef void backward_rows(const int32_t *, int64_t, const float *, int64_t, float *);
#define ENTRY(K, R, V) [K / 2][R] = backward_##K##_##R##_##V,
#define TABLE(V)             \
    EACH_SIZE(BACKWARD, V)   \
    static backward_rows *const backward_##V[4][6] = {EACH_SIZE(ENTRY, V)};
TABLE(v8)
#ifdef __AVX512F__ /* vectors twice as long */
typedef float v16 __attribute__((vector_size(64), aligned(4)));
TABLE(v16)
#endif

static backward_rows *backward_of(int64_t cb, int64_t k, int64_t rows) {
#ifdef __AVX512F__
    if (cb == 16) return backward_v16[k / 2][rows];
#endif
    return (void)cb, backward_v8[k / 2][rows];
}

/* `count` blocks of cb values of a row, `step` apart, into a padded map. */
INLINE void put_in(const void *x, int64_t i, int64_t step, int half, float *map, int64_t count, int64_t cb) {
    for (int64_t px = 0; px < count; px++, i += step, map += cb)
        for (int64_t c = 0; c < cb; c += 8) *(v8 *)(map + c) = load8(x, i + c, half);
}

/* Gradient of the kernel, [c_out, c_in, k, k], for the gradient [n, h, w, c_out] of the output. Returns 0, or -1 without
   memory.

   A piece is a strip of a frame, or several whole frames, of which a block of the padded gradient stays in the nearest
   cache; in one, for each channel in the sums over all its events are held in registers. */
int conv_weight_gradient(const uint16_t *event, const int32_t *start, const void *grad, float *out, int64_t n, int64_t h,
                         int64_t w, int64_t c_in, int64_t c_out, int k, int half, int threads) {
    int64_t p = k / 2, pw = w + 2 * p, size = k * k * c_in * c_out, cb = block_of(c_out);
    int64_t lines = NEAR / (pw * cb * (int64_t)sizeof(float)), frames = lines / (h + 2 * p), strip = h;
    if (frames > n) frames = n;
    if (frames < 1) {
        frames = 1;
        strip = lines > 2 * p ? least(lines - 2 * p, h) : 1;
    }
    int64_t ph = strip + 2 * p, room = frames * strip * w, strips = (h + strip - 1) / strip, pieces = (n + frames - 1) / frames * strips;
    float *sums = zeros(threads * size); /* [c_out / cb][c_in][k][k][cb] a thread, added up in order: runs repeat to the bit */
    int failed = !sums;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        float *own = sums ? sums + THREAD * size : NULL;
        float *map = zeros(frames * ph * pw * cb);
        int32_t *place = malloc(room * c_in * sizeof(int32_t)); /* the piece's events by channel */
        int64_t *count = malloc(c_in * sizeof(int64_t));
        int ready = own && map && place && count;
        if (!ready) {
#pragma omp atomic write
            failed = 1;
        }
#pragma omp for schedule(static)
        for (int64_t piece = 0; piece < pieces; piece++) {
            if (!ready) continue;
            int64_t low = piece / strips * frames, high = least(low + frames, n), top = piece % strips * strip;
            int64_t deep = least(strip, h - top);
            memset(count, 0, c_in * sizeof(int64_t));
            for (int64_t frame = low; frame < high; frame++)
                for (int64_t y = 0; y < deep; y++) {
                    const int32_t *at = start + (frame * h + top + y) * w;
                    int64_t line = ((frame - low) * ph + y) * pw;
                    for (int64_t x = 0; x < w; x++)
                        for (int64_t i = at[x]; i < at[x + 1]; i++)
                            place[event[i] * room + count[event[i]]++] = (int32_t)(line + x);
                }
            for (int64_t co = 0; co < c_out; co += cb) {
                for (int64_t frame = low; frame < high; frame++)
                    for (int64_t r = 0; r < deep + 2 * p; r++) {
                        int64_t y = top + r - p, from = ((frame * h + y) * w) * c_out + co;
                        float *to = map + (((frame - low) * ph + r) * pw + p) * cb;
                        if (y < 0 || y >= h)
                            memset(to, 0, w * cb * sizeof(float));
                        else if (half)
                            put_in(grad, from, c_out, 1, to, w, cb);
                        else
                            put_in(grad, from, c_out, 0, to, w, cb);
                    }
                for (int64_t c = 0; c < c_in; c++) {
                    if (count[c] == 0) continue;
                    for (int64_t r = 0; r < k; r += most_rows(k)) {
                        float *to = own + (co * c_in + c * cb) * k * k + r * k * cb;
                        backward_rows *backward = backward_of(cb, k, least(most_rows(k), k - r));
                        backward(place + c * room, count[c], map + r * pw * cb, pw, to);
                    }
                }
            }
        }
        free(map);
        free(place);
        free(count);
    }
    for (int64_t co = 0; co < c_out && sums; co++)
        for (int64_t c = 0; c < c_in; c++)
            for (int64_t i = 0; i < k * k; i++) { /* the window's first pixel meets the kernel's last */
                const float *from = sums + (co / cb * cb * c_in + c * cb) * k * k + (k * k - 1 - i) * cb + co % cb;
                float sum = from[0];
                for (int64_t t = 1; t < threads; t++) sum += from[t * size];
                out[(co * c_in + c) * k * k + i] = sum;
            }
    free(sums);
    return failed ? -1 : 0;
}
