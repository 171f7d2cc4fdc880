/* Values of maps, float32 or, where `half` is 1, bfloat16, by the vector and one by one. */

#ifndef VECTORS_H
#define VECTORS_H

#include <stdint.h>
#include <string.h>

#ifdef __AVX2__ /* conversions and masks in one instruction, where the compiler would take several */
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline))
#ifndef LANES /* the processor's own vectors: compilers compare longer ones value by value. Results are the same. */
#ifdef __AVX512F__
#define LANES 16
#elif defined(__AVX2__)
#define LANES 8
#else
#define LANES 4
#endif
#endif

typedef float vec __attribute__((vector_size(4 * LANES)));
typedef uint32_t bits __attribute__((vector_size(4 * LANES)));
typedef uint16_t halves __attribute__((vector_size(2 * LANES)));

INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

INLINE void *at(const void *x, int64_t i, int half) {
    return half ? (void *)((uint16_t *)x + i) : (void *)((float *)x + i);
}

INLINE bits widened(halves narrow) {
#ifdef __AVX512F__
    return (bits)_mm512_cvtepu16_epi32((__m256i)narrow);
#else
    return __builtin_convertvector(narrow, bits);
#endif
}

INLINE halves narrowed(bits wide) {
#ifdef __AVX512F__
    return (halves)_mm512_cvtepi32_epi16((__m512i)wide);
#else
    return __builtin_convertvector(wide, halves);
#endif
}

INLINE vec load(const void *x, int64_t i, int half) {
    vec value;
    if (!half) {
        memcpy(&value, at(x, i, 0), sizeof value);
        return value;
    }
    halves narrow;
    memcpy(&narrow, at(x, i, 1), sizeof narrow);
    return (vec)(widened(narrow) << 16);
}

/* A float's bits, of which the upper 16 are the nearest bfloat16, or the even one of two; not for what is no number. */
INLINE bits nearest(vec value) {
    bits wide = (bits)value;
    return wide + 0x7fff + (wide >> 16 & 1);
}

INLINE void store(void *y, int64_t i, vec value, int half) {
    if (!half) {
        memcpy(at(y, i, 0), &value, sizeof value);
        return;
    }
    bits numbers = (bits)(value == value);
    halves narrow = narrowed((nearest(value) >> 16 & numbers) | (0x7fc0 & ~numbers));
    memcpy(at(y, i, 1), &narrow, sizeof narrow);
}

/* A vector of n <= LANES values, zeros behind them. */
INLINE vec load_some(const void *x, int64_t i, int64_t n, int half) {
    uint32_t room[LANES] = {0};
    memcpy(room, at(x, i, half), n * (half ? 2 : 4));
    return load(room, 0, half);
}

INLINE void store_some(void *y, int64_t i, vec value, int64_t n, int half) {
    uint32_t room[LANES];
    store(room, 0, value, half);
    memcpy(at(y, i, half), room, n * (half ? 2 : 4));
}

/* `some` values, LANES or fewer. */
INLINE vec get(const void *x, int64_t i, int64_t some, int half) {
    return some == LANES ? load(x, i, half) : load_some(x, i, some, half);
}

INLINE void put(void *y, int64_t i, vec value, int64_t some, int half) {
    if (some == LANES)
        store(y, i, value, half);
    else
        store_some(y, i, value, some, half);
}

/* The same for values that are bfloat16 already, if `half`: none is rounded, and what is no number keeps its bits. */
INLINE void put_as_is(void *y, int64_t i, vec value, int64_t some, int half) {
    if (!half) {
        memcpy(at(y, i, 0), &value, 4 * some);
        return;
    }
    halves narrow = narrowed((bits)value >> 16);
    memcpy(at(y, i, 1), &narrow, 2 * some);
}

/* What a comparison says of every lane: a bit each where the processor has registers for masks, else all ones or zeros. */
#if defined(__AVX512BW__) && defined(__AVX512VL__)
#define MASKS
typedef __mmask16 lanes;
#else
typedef bits lanes;
#endif

/* Where a >= b. */
INLINE lanes reaches(vec a, vec b) {
#ifdef MASKS
    return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_GE_OQ);
#else
    return (bits)(a >= b);
#endif
}

/* a + b there, and a elsewhere. */
INLINE vec plus(vec a, lanes where, vec b) {
#ifdef MASKS
    return (vec)_mm512_mask_add_ps((__m512)a, where, (__m512)a, (__m512)b);
#else
    return a + (vec)((bits)b & where);
#endif
}

/* a x 0 there, no number where a is not finite, and a elsewhere. */
INLINE vec times_zero(vec a, lanes where) {
#ifdef MASKS
    return (vec)_mm512_mask_mul_ps((__m512)a, where, (__m512)a, _mm512_setzero_ps());
#else
    return a * (vec)(~where & 0x3f800000);
#endif
}

/* 0 there, and a elsewhere. */
INLINE vec unless(vec a, lanes where) {
#ifdef MASKS
    return (vec)_mm512_maskz_mov_ps((__mmask16)~where, (__m512)a);
#else
    return (vec)((bits)a & ~where);
#endif
}

/* Puts 1 there, and 0 elsewhere. */
INLINE void put_spikes(void *y, int64_t i, lanes where, int64_t some, int half) {
    if (half) {
#ifdef MASKS
        halves narrow = (halves)_mm256_maskz_mov_epi16(where, _mm256_set1_epi16(0x3f80));
#else
        halves narrow = narrowed(where & 0x3f80);
#endif
        memcpy(at(y, i, 1), &narrow, 2 * some);
    } else {
#ifdef MASKS
        bits wide = (bits)_mm512_maskz_mov_epi32(where, _mm512_set1_epi32(0x3f800000));
#else
        bits wide = where & 0x3f800000;
#endif
        memcpy(at(y, i, 0), &wide, 4 * some);
    }
}

/* Whether a bit is set in any lane. */
INLINE int any(bits where) {
    uint32_t found = 0;
    for (int l = 0; l < LANES; l++) found |= where[l];
    return found != 0;
}

#endif
