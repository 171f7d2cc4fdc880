/* Event-driven convolution on the CPU, backward: the gradient of the kernel, in proportion to spikes. See forward.c.

   Spikes are kept until then in bits, as bits.c makes them. Gradient maps are padded by k / 2.

   Where the processor adds up two products of bfloat16 at a time and gradients are that, frames are taken in twos, of
   which the second is half of all frames later: of a batch at T time steps that is the same sample T / 2 later, where
   often the same neurons fire. A value of their map is 32 bits then, one of each, and one instruction adds one or both.
   Products with 1 are exact, and sums float32, in either case; what is not finite may spread. */

#include "conv.h"

#ifdef _OPENMP
#include <omp.h>
#define THREAD omp_get_thread_num()
#else
#define THREAD 0
#endif

typedef float f8 __attribute__((vector_size(32), aligned(4)));
typedef float f16 __attribute__((vector_size(64), aligned(4)));

/* Where a neuron fired: the pixel of the padded map that its window begins with, and in which of two frames, a 1 in
   bfloat16 for each, the first in the lower bits. */
typedef struct {
    int32_t pixel, frames;
} event;

/* For a size K of kernel, R of its rows at once, and blocks that are a vector V of channels, a pixel of a map being one:
   to [R][K][cb] += the sum of the windows of R x K pixels of a padded map that `count` events begin. */
#define BACKWARD(NAME, K, R, V, FOUND, ADD)                                                                       \
    static void NAME##_##K##_##R##_##V(const event *events, int64_t count, const float *map, int64_t wide,        \
                                       float *to) {                                                               \
        V sum[R][K];                                                                                              \
        const V *rows[R];                                                                                         \
        EACH(r, R) rows[r] = (const V *)map + r * wide;                                                           \
        EACH(r, R) EACH(j, K) sum[r][j] = ((V *)to)[r * K + j];                                                   \
        for (const event *end = events + count; events < end; events++) {                                         \
            const int64_t pixel = events->pixel;                                                                  \
            FOUND(V)                                                                                              \
            EACH(r, R) EACH(j, K) ADD(sum[r][j], rows[r][pixel + j]);                                             \
        }                                                                                                         \
        EACH(r, R) EACH(j, K)((V *)to)[r * K + j] = sum[r][j];                                                    \
    }

typedef void backward_rows(const event *, int64_t, const float *, int64_t, float *);
#define ENTRY(K, R, NAME, V) [K / 2][R] = NAME##_##K##_##R##_##V,
#define TABLE(KERNELS, NAME, V)  \
    EACH_SIZE(KERNELS, V)        \
    static backward_rows *const NAME##_##V[4][6] = {EACH_SIZE(ENTRY, NAME, V)};

#define NOTHING(V)
#define SUM(sum, slope) sum += slope
#define FLOATS(K, R, V) BACKWARD(floats, K, R, V, NOTHING, SUM)
TABLE(FLOATS, floats, f8)
#ifdef __AVX512F__
TABLE(FLOATS, floats, f16)
#endif

#if defined(__AVX512BF16__) && defined(__AVX512VL__)
#define IN_TWOS 1
typedef int32_t f8_ints __attribute__((vector_size(32)));
typedef int32_t f16_ints __attribute__((vector_size(64)));
#define ONES(V) V ones = (V)((V##_ints){0} + events->frames);
#define SUM_TWO(sum, slopes) asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(ones), "m"(slopes))
#define TWOS(K, R, V) BACKWARD(twos, K, R, V, ONES, SUM_TWO)
TABLE(TWOS, twos, f8)
TABLE(TWOS, twos, f16)
#else
#define IN_TWOS 0
#endif

static backward_rows *backward_of(int64_t cb, int64_t k, int64_t rows, int two) {
#if IN_TWOS
    if (two) return cb == 16 ? twos_f16[k / 2][rows] : twos_f8[k / 2][rows];
#endif
#ifdef __AVX512F__
    if (cb == 16) return floats_f16[k / 2][rows];
#endif
    return (void)cb, (void)two, floats_f8[k / 2][rows];
}

/* `count` blocks of cb values of a row, `apart` values from one another, into a padded map; with those of a second frame,
   from `later` on, or zeros if that is negative, if there are `two`. */
INLINE void put_in(const void *x, int64_t i, int64_t later, int64_t apart, int half, int two, float *map, int64_t count,
                   int64_t cb) {
    int64_t some = least(cb, LANES);
    for (int64_t px = 0; px < count; px++, i += apart, later += apart, map += cb)
        for (int64_t c = 0; c < cb; c += LANES) {
            bits value = (bits)get(x, i + c, some, half);
            if (two) value = value >> 16 | (later < 0 ? (bits){0} : (bits)get(x, later + c, some, 1));
            memcpy(map + c, &value, 4 * some);
        }
}

INLINE void put_row(const void *x, int64_t i, int64_t later, int64_t apart, int half, int two, float *map, int64_t count,
                    int64_t cb) {
    if (two)
        put_in(x, i, later, apart, 1, 1, map, count, cb);
    else if (half)
        put_in(x, i, later, apart, 1, 0, map, count, cb);
    else
        put_in(x, i, later, apart, 0, 0, map, count, cb);
}

/* Lists the events of a row of w pixels, from a bit on, and, if there are `two`, from that of a second frame, by channel in:
   `count` so far of [c_in][room] events. */
INLINE void list(const uint8_t *bits, int64_t bit, int64_t later, int64_t w, int64_t c_in, int two, int64_t pixel,
                 event *events, int64_t *count, int64_t room) {
    for (int64_t x = 0; x < w; x++, bit += c_in, later += c_in, pixel++)
        for (int64_t c = 0; c < c_in; c += AT_ONCE) {
            uint64_t first = bits_at(bits, bit + c, least(AT_ONCE, c_in - c));
            uint64_t second = two ? bits_at(bits, later + c, least(AT_ONCE, c_in - c)) : 0;
            for (uint64_t left = first | second; left; left &= left - 1) {
                int64_t place = __builtin_ctzll(left), channel = c + place;
                int32_t in = two ? (int32_t)((first >> place & 1) | (second >> place & 1) << 16) : 1;
                events[channel * room + count[channel]++] = (event){(int32_t)pixel, in * 0x3f80};
            }
        }
}

/* Gradient of the kernel, [c_out, c_in, k, k], for the gradient [n, h, w, c_out] of the output and spikes
   [n, h, w, c_in] in bits, which may be read 8 bytes beyond. Returns 0, or -1 without memory.

   A piece is a strip of a frame, or several whole frames, of which a block of the padded gradient stays in the nearest
   cache; in one, for each channel in the sums over all its spikes are held in registers. */
int conv_weight_gradient(const uint8_t *bits, const void *grad, float *out, int64_t n, int64_t h, int64_t w,
                         int64_t c_in, int64_t c_out, int k, int half, int threads) {
    int64_t p = k / 2, pw = w + 2 * p, size = k * k * c_in * c_out, cb = block_of(c_out), all = n, wide = w * c_in;
    int two = IN_TWOS && half && n > 1;
    if (two) n = (n + 1) / 2; /* the first of each two */
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
        event *events = malloc(places * c_in * sizeof(event)); /* the piece's, by channel */
        int64_t *count = malloc(c_in * sizeof(int64_t));
        int ready = own && map && events && count;
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
                    int64_t bit = (frame * h + top + y) * wide, pixel = ((frame - low) * ph + y) * pw;
                    if (two && frame + n < all)
                        list(bits, bit, bit + n * h * wide, w, c_in, 1, pixel, events, count, places);
                    else
                        list(bits, bit, 0, w, c_in, 0, pixel, events, count, places);
                }
            for (int64_t co = 0; co < c_out; co += cb) {
                for (int64_t frame = low; frame < high; frame++)
                    for (int64_t r = 0; r < deep + 2 * p; r++) {
                        int64_t y = top + r - p, from = ((frame * h + y) * w) * c_out + co;
                        int64_t later = frame + n < all ? from + n * h * w * c_out : -w * c_out;
                        float *to = map + (((frame - low) * ph + r) * pw + p) * cb;
                        if (y < 0 || y >= h)
                            memset(to, 0, w * cb * sizeof(float));
                        else if (cb == WIDEST)
                            put_row(grad, from, later, c_out, half, two, to, w, WIDEST);
                        else
                            put_row(grad, from, later, c_out, half, two, to, w, 8);
                    }
                for (int64_t c = 0; c < c_in; c++) {
                    if (count[c] == 0) continue;
                    for (int64_t r = 0; r < k; r += most_rows(k)) {
                        float *to = own + (co * c_in + c * cb) * k * k + r * k * cb;
                        backward_rows *backward = backward_of(cb, k, least(most_rows(k), k - r), two);
                        backward(events + c * places, count[c], map + r * pw * cb, pw, to);
                    }
                }
            }
        }
        free(map);
        free(events);
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
