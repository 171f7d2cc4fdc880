/* Event-driven convolution on the CPU, forward: work in proportion to spikes, not to neurons.

   Maps are channels last, [n, h, w, c], float32 or, where `half` is 1, bfloat16. Spikes are exactly 0 or 1. Kernels are
   of size k, 3, 5 or 7, with padding k / 2 and stride 1; channels out come in multiples of 8 and are worked on in blocks
   of `cb`, a vector, see `block_of`.

   A pixel has a bit for each of its channels, or, in pairs, for every two, set where there is a spike. The map that sums
   are made in is padded by k / 2, so that what a pixel reaches is a window of k x k pixels; as many rows of the window
   as registers hold are summed at once. Sums are float32. In pairs they are whole numbers: where the processor adds up
   two products of 16 bits at a time (VNNI) and maps are bfloat16, in which two channels are 32 bits, one instruction
   adds the weights of one or both. Weights are rounded to steps then, of which the largest of a channel out has 32 767,
   a hundred times as fine as bfloat16 has it; nothing else is, so the order of sums does not matter. */

#include "conv.h"

typedef float f8 __attribute__((vector_size(32)));
typedef float f16 __attribute__((vector_size(64)));

#if defined(__AVX512VNNI__) && defined(__AVX512VL__)
#define ADD_PRODUCTS(sum, pair, weights) asm("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(pair), "m"(weights))
#elif defined(__AVXVNNI__) && !defined(__AVX512F__)
#define ADD_PRODUCTS(sum, pair, weights) asm("%{vex%} vpdpwssd %2, %1, %0" : "+x"(sum) : "x"(pair), "m"(weights))
#endif

/* Whether this processor multiplies matrices of bfloat16 by the tile: dense convolutions in it are then faster. */
int has_tiles(void) {
#ifdef __AMX_BF16__
    return 1;
#else
    return 0;
#endif
}

/* For a size K of kernel, R of its rows and P pixels at once, and blocks that are a vector V of channels, a pixel of a
   map being one: adds what the spikes of a row of `steps` times P pixels reach to R rows of the padded map, `wide` pixels
   apart, of which `map` is the first that the row reaches; weight is [group][R][K + P - 1][cb][unit]. The window moves
   along with the pixels: each one of the map is read as it comes into it, and written as it leaves. `fired` has a step's
   bits; steps lie `apart` in x. */
#define FORWARD(NAME, K, R, P, V, FOUND, ADD)                                                                         \
    static void NAME##_##K##_##R##_##P##_##V(const uint32_t *x, int64_t apart, const uint64_t *fired,                 \
                                             const void *weight, void *map, int64_t wide, int64_t steps) {            \
        V sum[R][K + P - 1], *to = map;                                                                               \
        EACH(r, R) EACH(j, K - 1) sum[r][j + P] = to[r * wide + j];                                                   \
        for (const uint64_t *end = fired + steps; fired < end; fired++, x += apart, to += P) {                        \
            EACH(r, R) {                                                                                              \
                EACH(j, K - 1) sum[r][j] = sum[r][j + P];                                                             \
                EACH(j, P) sum[r][K - 1 + j] = to[r * wide + K - 1 + j];                                              \
            }                                                                                                         \
            for (uint64_t left = *fired; left; left &= left - 1) {                                                    \
                int64_t place = __builtin_ctzll(left);                                                                \
                const V *reached = (const V *)weight + place * (R * (K + P - 1));                                     \
                FOUND(V)                                                                                              \
                EACH(r, R) EACH(j, K + P - 1) ADD(sum[r][j], reached[r * (K + P - 1) + j]);                           \
            }                                                                                                         \
            EACH(r, R) EACH(j, P) to[r * wide + j] = sum[r][j];                                                       \
        }                                                                                                             \
        EACH(r, R) EACH(j, K - 1) to[r * wide + j] = sum[r][j + P];                                                   \
    }
typedef void forward_rows(const uint32_t *, int64_t, const uint64_t *, const void *, void *, int64_t, int64_t);

/* Two pixels at once are worth a quarter of the sums for nothing where channels are few: most of the time there goes by
   until the processor, which guesses how many spikes a step has, has found that it guessed wrong. */
#define FEW 16
#define TWICE(DO, ...) DO(3, 3, 2, __VA_ARGS__)
#define ONCE(K, R, DO, ...) DO(K, R, 1, __VA_ARGS__)
#define ENTRY(K, R, P, NAME, V) [P - 1][K / 2][R] = NAME##_##K##_##R##_##P##_##V,
#define TABLE(KERNELS, NAME, V)                            \
    EACH_SIZE(ONCE, KERNELS, V) TWICE(KERNELS, V)          \
    static forward_rows *const NAME##_##V[2][4][6] = {EACH_SIZE(ONCE, ENTRY, NAME, V) TWICE(ENTRY, NAME, V)};

#define NOTHING(V)
#define SUM(sum, weight) sum += weight
#define FLOATS(K, R, P, V) FORWARD(floats, K, R, P, V, NOTHING, SUM)
TABLE(FLOATS, floats, f8)
#ifdef __AVX512F__
TABLE(FLOATS, floats, f16)
#endif

#ifdef ADD_PRODUCTS
typedef int32_t i8 __attribute__((vector_size(32)));
typedef uint16_t i8_halves __attribute__((vector_size(32)));
typedef int32_t i16 __attribute__((vector_size(64)));
typedef uint16_t i16_halves __attribute__((vector_size(64)));
#define ONE 0x3f80 /* in bfloat16; moved by 13 bits the number 1 */
#define PAIR(V) V pair = (V)((V##_halves)((V){0} + (int32_t)x[place]) >> 13);
#define SUM_PAIR(sum, weights) ADD_PRODUCTS(sum, pair, weights)
#define PAIRS(K, R, P, V) FORWARD(pairs, K, R, P, V, PAIR, SUM_PAIR)
TABLE(PAIRS, pairs, i8)
#ifdef __AVX512F__
TABLE(PAIRS, pairs, i16)
#endif

/* Writes a bit for each of `count` pairs, 0 where the pair is. Returns whether all values are 0 or 1. */
static int pack_pairs(const uint32_t *x, int64_t count, uint8_t *bits) {
#ifdef MASKS
    __mmask32 odd = 0;
    __m512i one = _mm512_set1_epi16(ONE);
    for (int64_t i = 0; i < count; i += 16) {
        __m512i value = _mm512_maskz_loadu_epi32(count - i < 16 ? (1 << (count - i)) - 1 : 0xffff, x + i);
        uint16_t found = _mm512_test_epi32_mask(value, value);
        odd |= _mm512_mask_cmpneq_epi16_mask(_mm512_test_epi16_mask(value, value), value, one);
        memcpy(bits + i / 8, &found, sizeof found);
    }
    return !odd;
#else
    uint32_t good = -1;
    __m256i zero = _mm256_setzero_si256(), one = _mm256_set1_epi16(ONE);
    for (int64_t i = 0; i < count; i += 8) {
        uint32_t some[8] = {0};
        memcpy(some, x + i, 4 * least(8, count - i));
        __m256i value = _mm256_loadu_si256((const __m256i *)some);
        bits[i / 8] = (uint8_t)~_mm256_movemask_ps((__m256)_mm256_cmpeq_epi32(value, zero));
        good &= _mm256_movemask_epi8(_mm256_or_si256(_mm256_cmpeq_epi16(value, zero), _mm256_cmpeq_epi16(value, one)));
    }
    return !~good;
#endif
}

/* What a step is worth of the `size` weights of a channel out, of which the largest has 32 767. Negative where weights
   are not finite, or all next to nothing but not nothing. */
static float step_of(const float *kernel, int64_t size) {
    float largest = 0, rest = 0;
    for (int64_t i = 0; i < size; i++) {
        float value = __builtin_fabsf(kernel[i]);
        largest = value > largest ? value : largest;
        rest += value * 0; /* no number from the first on that is not finite */
    }
    return rest != 0 || (largest != 0 && largest < 1e-30f) ? -1 : largest / 32767;
}
#endif

/* Whether it runs in pairs: sets the steps. */
static int in_pairs(convolution *of, const float *kernel) {
#ifdef ADD_PRODUCTS
    int64_t size = of->c_in * of->k * of->k;
    if (!of->from_half || !of->half || of->c_in % 2 || !of->steps) return 0;
    for (int64_t co = 0; co < of->c_out; co++)
        if ((of->steps[co] = step_of(kernel + co * size, size)) < 0) return 0;
    return 1;
#else
    return 0;
#endif
}

int convolution_begin(convolution *of, const float *kernel) {
    int64_t k = of->k, cb = block_of(of->c_out), c_in = of->c_in, c_out = of->c_out;
    of->steps = zeros(c_out + LANES);
    of->weight = zeros(2 * k * (k + 1) * c_in * c_out); /* enough for two pixels */
    if (!of->steps || !of->weight) return -1;
    int pairs = in_pairs(of, kernel);
    int64_t unit = of->unit = pairs ? 2 : 1, own = c_in / unit;
    int64_t pixels = of->pixels = k == 3 && c_in <= FEW && of->w % 2 == 0 ? 2 : 1;
    int64_t units = of->units = pixels * own, columns = k + pixels - 1;
    int64_t group = of->group = least(units, units % 8 ? AT_ONCE : 64);
    int64_t fit = NEAR / (columns * group * cb * 4), rows = of->rows = least(most_rows(k), fit < 1 ? 1 : fit);
    int64_t strip = NEAR / ((of->w + k - 1) * cb * 4) - k + 1;
    of->cb = cb, of->strip = rows == k ? of->h : strip < 1 ? 1 : strip;
    for (int64_t co = 0; co < c_out; co++) {
        float per = of->steps[co] == 0 ? 0 : 1 / of->steps[co];
        for (int64_t place = 0; place < pixels * c_in; place++)
            for (int64_t r = 0; r < k; r++) { /* of the output, to which the kernel is turned round */
                int64_t c = place % c_in, u = place / unit, g = u / group * group, wide = least(group, units - g);
                int64_t first = r / rows * rows, together = least(rows, k - first);
                int64_t to = co / cb * units * k + g * k + first * wide + (u - g) * together + r - first;
                const float *from = kernel + ((co * c_in + c) * k + k - 1 - r) * k + k - 1;
                for (int64_t j = 0; j < k; j++) {
                    int64_t i = ((to * columns + place / c_in + j) * cb + co % cb) * unit + c % unit;
                    if (pairs)
                        ((int16_t *)of->weight)[i] = (int16_t)__builtin_rintf(from[-j] * per);
                    else
                        ((float *)of->weight)[i] = from[-j];
                }
            }
    }
    if (!pairs) free(of->steps), of->steps = NULL;
    return 0;
}

void convolution_end(convolution *of) {
    free(of->weight);
    free(of->steps);
}

int room_begin(room *in, const convolution *of) {
    int64_t h = of->h, w = of->w, k = of->k;
    in->map = zeros(((h + k - 1) * (w + k - 1) + 1) * of->cb); /* a pixel more is read than used */
    in->bits = zeros(h * w * of->c_in / of->unit / 32 + 4);
    in->fired = zeros(2 * h * w * ((of->units + of->group - 1) / of->group));
    return in->map && in->bits && in->fired ? 0 : -1;
}

void room_end(room *in) {
    free(in->map);
    free(in->bits);
    free(in->fired);
}

static forward_rows *forward_of(const convolution *of, int64_t rows) {
#ifdef ADD_PRODUCTS
#ifdef __AVX512F__
    if (of->steps && of->cb == 16) return pairs_i16[of->pixels - 1][of->k / 2][rows];
#endif
    if (of->steps) return pairs_i8[of->pixels - 1][of->k / 2][rows];
#endif
#ifdef __AVX512F__
    if (of->cb == 16) return floats_f16[of->pixels - 1][of->k / 2][rows];
#endif
    return floats_f8[of->pixels - 1][of->k / 2][rows];
}

/* The bits of a frame. Returns whether all its values are 0 or 1. */
static int find(const convolution *of, const room *in, const void *x) {
    int64_t all = of->h * of->w / of->pixels, units = of->units, group = of->group;
#ifdef ADD_PRODUCTS
    if (of->steps && !pack_pairs(x, all * units, in->bits)) return 0;
#endif
    if (!of->steps && pack_bits(x, all * units, of->from_half, in->bits) < 0) return 0;
    for (int64_t g = 0; g < units; g += group)
        for (int64_t i = 0; i < all; i++)
            in->fired[g / group * all + i] = bits_at(in->bits, i * units + g, least(group, units - g));
    return 1;
}

typedef int32_t signs __attribute__((vector_size(4 * LANES)));

/* `count` blocks of cb sums out of a padded map into a row, `apart` values from one another. */
INLINE void take_out(const float *map, int64_t count, int64_t cb, const float *steps, void *y, int64_t i, int64_t apart,
                     int half) {
    for (int64_t px = 0; px < count; px++, i += apart, map += cb)
        for (int64_t c = 0; c < cb; c += LANES) {
            vec value = load(map, c, 0); /* of half a vector too: the map goes on, and so do the steps */
            if (steps) value = __builtin_convertvector((signs)value, vec) * load(steps, c, 0);
            put(y, i + c, value, least(cb, LANES), half);
        }
}

int convolve_frame(const convolution *of, const room *in, const void *x, void *out) {
    int64_t h = of->h, w = of->w, k = of->k, p = k / 2, pw = w + 2 * p, cb = of->cb, units = of->units;
    int64_t steps = w / of->pixels, columns = k + of->pixels - 1;
    if (!find(of, in, x)) return ODD;
    for (int64_t co = 0; co < of->c_out; co += cb) {
        memset(in->map, 0, (h + 2 * p) * pw * cb * 4);
        for (int64_t top = 0; top < h; top += of->strip)
            for (int64_t g = 0; g < units; g += of->group)
                for (int64_t r = 0; r < k; r += of->rows) {
                    forward_rows *forward = forward_of(of, least(of->rows, k - r));
                    int64_t from = co / cb * units * k + g * k + r * least(of->group, units - g);
                    for (int64_t y = top; y < least(top + of->strip, h); y++)
                        forward((const uint32_t *)x + y * steps * units + g, units,
                                in->fired + (g / of->group * h + y) * steps, (const float *)of->weight + from * columns * cb,
                                (float *)in->map + (y + r) * pw * cb, pw, steps);
                }
        for (int64_t y = 0; y < h; y++) {
            const float *sums = (const float *)in->map + ((y + p) * pw + p) * cb;
            int64_t to = y * w * of->c_out + co;
#define TAKE_OUT(CB, STEPS, HALF) take_out(sums, w, CB, STEPS, out, to, of->c_out, HALF)
#define TAKE_OUT_OF(CB)                          \
    if (of->steps)                               \
        TAKE_OUT(CB, of->steps + co, 1);         \
    else if (of->half)                           \
        TAKE_OUT(CB, NULL, 1);                   \
    else                                         \
        TAKE_OUT(CB, NULL, 0)
            if (cb == WIDEST) {
                TAKE_OUT_OF(WIDEST);
            } else {
                TAKE_OUT_OF(8);
            }
        }
    }
    return 0;
}

/* out [n, h, w, c_out] of spikes x [n, h, w, c_in], bfloat16 if `from_half`, and kernel [c_out, c_in, k, k]. Returns 0,
   -1 without memory, or ODD.

   Rows of the kernel are taken together whose weights stay in the nearest cache; so do those of the map, for a strip of
   the frame at a time. */
int conv_forward(const void *x, const float *kernel, void *out, int64_t n, int64_t h, int64_t w, int64_t c_in,
                 int64_t c_out, int k, int from_half, int half, int threads) {
    convolution of = {.h = h, .w = w, .c_in = c_in, .c_out = c_out, .k = k, .from_half = from_half, .half = half};
    int ready = !convolution_begin(&of, kernel), failed = 0, odd = 0;
#pragma omp parallel num_threads(threads) if (threads > 1) reduction(| : failed, odd)
    {
        room in = {0};
        failed = !ready || room_begin(&in, &of);
#pragma omp for schedule(static)
        for (int64_t frame = 0; frame < n; frame++)
            if (!failed && !odd)
                odd = convolve_frame(&of, &in, at(x, frame * h * w * c_in, from_half),
                                     at(out, frame * h * w * c_out, half));
        room_end(&in);
    }
    convolution_end(&of);
    return failed ? -1 : odd;
}
