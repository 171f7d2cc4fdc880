/* Spikes put away eight a byte, value i in bit i % 8, and back: of float32 or, where `half` is 1, bfloat16. */

#ifndef __AVX512F__
#define LANES 8 /* a byte */
#endif
#include "vectors.h"

#ifndef MASKS
/* Bit l of lane l. */
static const bits LANE = {1, 2, 4, 8, 16, 32, 64, 128,
#ifdef __AVX512F__
                          256, 512, 1024, 2048, 4096, 8192, 16384, 32768
#endif
};
#endif

/* One bit a lane that is not 0, of lanes that are all ones or all zeros. */
INLINE uint16_t bits_of(bits where) {
#ifdef __AVX512F__
    return _mm512_test_epi32_mask((__m512i)where, (__m512i)where);
#elif defined(__AVX2__)
    return (uint16_t)_mm256_movemask_ps((__m256)where);
#else
    uint32_t found = 0;
    where &= LANE;
    for (int l = 0; l < LANES; l++) found |= where[l];
    return (uint16_t)found;
#endif
}

INLINE int64_t pack(const void *x, int64_t n, int half, uint8_t *out) {
    bits odd = {0}, zero = {0}, one = (bits)((vec){0} + 1);
    int64_t spikes = 0;
    for (int64_t i = 0; i < n; i += LANES) {
        int64_t some = n - i < LANES ? n - i : LANES;
        bits value = (bits)get(x, i, some, half);
        odd |= (bits)((value != zero) & (value != one));
        uint16_t found = bits_of((bits)(value != zero));
        spikes += __builtin_popcount(found);
        memcpy(out + i / 8, &found, some > 8 ? 2 : 1);
    }
    return any(odd) ? -1 : spikes;
}

INLINE void unpack(const uint8_t *bytes, int64_t n, int half, void *out) {
    for (int64_t i = 0; i < n; i += LANES) {
        int64_t some = n - i < LANES ? n - i : LANES;
        uint16_t found = 0;
        memcpy(&found, bytes + i / 8, some > 8 ? 2 : 1);
#ifdef MASKS
        lanes where = found;
#else
        lanes where = (bits)((((bits){0} + found) & LANE) != (bits){0});
#endif
        if (some == LANES) /* which the compiler then knows */
            put_spikes(out, i, where, LANES, half);
        else
            put_spikes(out, i, where, some, half);
    }
}

/* out [(n + 7) / 8]: a bit for each of x [n]. Returns how many are set, or -1 where one is neither 0 nor 1 (a zero with a
   sign, say). */
int64_t pack_bits(const void *x, int64_t n, int half, uint8_t *out) {
    return half ? pack(x, n, 1, out) : pack(x, n, 0, out);
}

/* out [n]: 1 where a bit is set, 0 elsewhere. */
void unpack_bits(const uint8_t *bytes, int64_t n, int half, void *out) {
    if (half)
        unpack(bytes, n, 1, out);
    else
        unpack(bytes, n, 0, out);
}
