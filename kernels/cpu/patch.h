/* Patch sums without running differences: nothing is ever subtracted, so no digit is lost after an edge.
 *
 * `outputs` neighbouring windows of n terms share their terms: the windows 0..outputs-1 all hold the terms
 * outputs-1 .. n-1; each adds a suffix of the terms before these and a prefix of the terms after, and suffixes
 * and prefixes are built one from the other.  That is 3 (outputs - 1) + n additions, for 8 windows of 7 terms
 * 2.25 each (needs n >= outputs - 1).  Along y (columns) the terms are squared differences, along x (lines)
 * the sums along y. */

/* sum + the squared difference of one pixel over the channels */
INLINE vec add_square(vec sum, const vec *a, const vec *b, index_t channels)
{
    for (index_t c = 0; c < channels; c++) {
        vec d = a[c] - b[c];
        sum += d * d;
    }
    return sum;
}

/* a, b: [outputs - 1 + n][channels], downwards -> sums[row * stride], row < outputs */
INLINE void box_column(const vec *a, const vec *b, index_t channels, index_t n, int outputs, vec *sums, index_t stride)
{
    vec suffix[8], prefix = splat(0), common = splat(0);
    for (index_t o = outputs - 1; o < n; o++)
        common = add_square(common, a + o * channels, b + o * channels, channels);
    suffix[outputs - 1] = common;
    for (int o = outputs - 2; o >= 0; o--)
        suffix[o] = add_square(suffix[o + 1], a + o * channels, b + o * channels, channels);
    sums[0] = suffix[0];
    a += (n - 1) * channels, b += (n - 1) * channels;
    for (int o = 1; o < outputs; o++) {
        prefix = add_square(prefix, a + o * channels, b + o * channels, channels);
        sums[o * stride] = suffix[o] + prefix;
    }
}

/* The same with taps[n]. */
INLINE void tap_column(const vec *a, const vec *b, index_t channels, const vec *taps, index_t n, int outputs, vec *sums,
                       index_t stride)
{
    vec sum[8];
    for (int i = 0; i < outputs; i++)
        sum[i] = splat(0);
    for (int o = 0; o < outputs - 1; o++) {
        vec term = add_square(splat(0), a + o * channels, b + o * channels, channels);
        for (int i = 0; i <= o; i++)
            sum[i] += taps[o - i] * term;
    }
    for (index_t o = outputs - 1; o < n; o++) {
        vec term = add_square(splat(0), a + o * channels, b + o * channels, channels);
        for (int i = 0; i < outputs; i++)
            sum[i] += taps[o - i] * term;
    }
    a += n * channels, b += n * channels, taps += n - 1;
    for (int o = 0; o < outputs - 1; o++) {
        vec term = add_square(splat(0), a + o * channels, b + o * channels, channels);
        for (int i = o + 1; i < outputs; i++)
            sum[i] += taps[o + 1 - i] * term;
    }
    for (int i = 0; i < outputs; i++)
        sums[i * stride] = sum[i];
}

/* Along x the first `margin` terms lie in one place and the rest in another: the columns of the step before. */
INLINE vec term(const vec *before, const vec *now, index_t margin, index_t o)
{
    return o < margin ? before[o] : now[o - margin];
}

/* terms[first .. first + outputs - 1 + n) -> sums[outputs], each begun with `start` */
INLINE void box_line(const vec *before, const vec *now, index_t margin, index_t first, index_t n, int outputs, vec start,
                     vec *sums)
{
    vec suffix[8], prefix, common = start;
    for (index_t o = outputs - 1; o < n; o++)
        common += term(before, now, margin, first + o);
    suffix[outputs - 1] = common;
    for (int o = outputs - 2; o >= 0; o--)
        suffix[o] = suffix[o + 1] + term(before, now, margin, first + o);
    sums[0] = suffix[0];
    first += n - 1;
    prefix = term(before, now, margin, first + 1);
    for (int o = 1; o < outputs; o++) {
        sums[o] = suffix[o] + prefix;
        if (o < outputs - 1)
            prefix += term(before, now, margin, first + o + 1);
    }
}

INLINE void tap_line(const vec *before, const vec *now, index_t margin, index_t first, const vec *taps, index_t n,
                     int outputs, vec start, vec *sums)
{
    vec sum[8];
    for (int i = 0; i < outputs; i++)
        sum[i] = start;
    for (int o = 0; o < outputs - 1; o++)
        for (int i = 0; i <= o; i++)
            sum[i] += taps[o - i] * term(before, now, margin, first + o);
    for (index_t o = outputs - 1; o < n; o++)
        for (int i = 0; i < outputs; i++)
            sum[i] += taps[o - i] * term(before, now, margin, first + o);
    first += n, taps += n - 1;
    for (int o = 0; o < outputs - 1; o++)
        for (int i = o + 1; i < outputs; i++)
            sum[i] += taps[o + 1 - i] * term(before, now, margin, first + o);
    for (int i = 0; i < outputs; i++)
        sums[i] = sum[i];
}
