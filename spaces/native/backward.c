/* Event-driven convolution on the CPU, backward: the gradient of the kernel, in proportion to spikes. See forward.c.

   Spikes are kept until then in bits, as bits.c makes them. Gradient maps are padded by k / 2. */

#include "conv.h"

#ifdef _OPENMP
#include <omp.h>
#define THREAD omp_get_thread_num()
#else
#define THREAD 0
#endif

typedef float f8 __attribute__((vector_size(32), aligned(4)));
typedef float f16 __attribute__((vector_size(64), aligned(4)));

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
TABLE(f8)
#ifdef __AVX512F__
TABLE(f16)
#endif

static backward_rows *backward_of(int64_t cb, int64_t k, int64_t rows) {
#ifdef __AVX512F__
    if (cb == 16) return backward_f16[k / 2][rows];
#endif
    return (void)cb, backward_f8[k / 2][rows];
}

/* `count` blocks of cb values of a row, `apart` values from one another, into a padded map. */
INLINE void put_in(const void *x, int64_t i, int64_t apart, int half, float *map, int64_t count, int64_t cb) {
    int64_t some = least(cb, LANES);
    for (int64_t px = 0; px < count; px++, i += apart, map += cb)
        for (int64_t c = 0; c < cb; c += LANES) {
            vec value = get(x, i + c, some, half);
            memcpy(map + c, &value, 4 * some);
        }
}

INLINE void put_row(const void *x, int64_t i, int64_t apart, int half, float *map, int64_t count, int64_t cb) {
    if (half)
        put_in(x, i, apart, 1, map, count, cb);
    else
        put_in(x, i, apart, 0, map, count, cb);
}

/* Gradient of the kernel, [c_out, c_in, k, k], for the gradient [n, h, w, c_out] of the output and spikes
   [n, h, w, c_in] in bits, which may be read 8 bytes beyond. Returns 0, or -1 without memory.

   A piece is a strip of a frame, or several whole frames, of which a block of the padded gradient stays in the nearest
   cache; in one, for each channel in the sums over all its spikes are held in registers. */
int conv_weight_gradient(const uint8_t *bits, const void *grad, float *out, int64_t n, int64_t h, int64_t w,
                         int64_t c_in, int64_t c_out, int k, int half, int threads) {
    int64_t p = k / 2, pw = w + 2 * p, size = k * k * c_in * c_out, cb = block_of(c_out);
    int64_t lines = NEAR / (pw * cb * (int64_t)sizeof(float)), frames = lines / (h + 2 * p), strip = h;
    if (frames > n) frames = n;
    if (frames < 1) {
        frames = 1;
        strip = lines > 2 * p ? least(lines - 2 * p, h) : 1;
    }
    int64_t ph = strip + 2 * p, places = frames * strip * w, strips = (h + strip - 1) / strip;
    int64_t pieces = (n + frames - 1) / frames * strips;
    float *sums = zeros(threads * size); /* [c_out / cb][c_in][k][k][cb] a thread, added up in order: runs repeat to the bit */
    int failed = !sums;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        float *own = sums ? sums + THREAD * size : NULL;
        float *map = zeros(frames * ph * pw * cb);
        int32_t *place = malloc(places * c_in * sizeof(int32_t)); /* the piece's spikes by channel */
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
                    int64_t bit = (frame * h + top + y) * w * c_in, line = ((frame - low) * ph + y) * pw;
                    for (int64_t x = 0; x < w; x++, bit += c_in)
                        for (int64_t c = 0; c < c_in; c += AT_ONCE) {
                            uint64_t left = bits_at(bits, bit + c, least(AT_ONCE, c_in - c));
                            for (; left; left &= left - 1) {
                                int64_t channel = c + __builtin_ctzll(left);
                                place[channel * places + count[channel]++] = (int32_t)(line + x);
                            }
                        }
                }
            for (int64_t co = 0; co < c_out; co += cb) {
                for (int64_t frame = low; frame < high; frame++)
                    for (int64_t r = 0; r < deep + 2 * p; r++) {
                        int64_t y = top + r - p, from = ((frame * h + y) * w) * c_out + co;
                        float *to = map + (((frame - low) * ph + r) * pw + p) * cb;
                        if (y < 0 || y >= h)
                            memset(to, 0, w * cb * sizeof(float));
                        else if (cb == WIDEST)
                            put_row(grad, from, c_out, half, to, w, WIDEST);
                        else
                            put_row(grad, from, c_out, half, to, w, 8);
                    }
                for (int64_t c = 0; c < c_in; c++) {
                    if (count[c] == 0) continue;
                    for (int64_t r = 0; r < k; r += most_rows(k)) {
                        float *to = own + (co * c_in + c * cb) * k * k + r * k * cb;
                        backward_rows *backward = backward_of(cb, k, least(most_rows(k), k - r));
                        backward(place + c * places, count[c], map + r * pw * cb, pw, to);
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
