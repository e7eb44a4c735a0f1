/* Patch sums without running differences: nothing is ever subtracted, so no digit is lost after an edge.
 *
 * `outputs` neighbouring windows of n terms share their terms: the windows 0..outputs-1 all hold the terms
 * outputs-1 .. n-1; each adds a suffix of the terms before these and a prefix of the terms after, and suffixes
 * and prefixes are built one from the other.  That is 3 (outputs - 1) + n additions, for 8 windows of 7 terms
 * 2.25 each (needs n >= outputs - 1).  Along y (columns) the terms are squared differences, along x (lines)
 * the sums along y. */

/* sum + the squared difference of one pixel over the channels, which is made apart: sums of 3 channels one by one
 * would be chains three times as long, and the time is that of the chains */
INLINE vec add_square(vec sum, const vec *a, const vec *b, index_t channels)
{
    vec square = channels == 1 ? sum : splat(0);
    for (index_t c = 0; c < channels; c++) {
        const vec d = a[c] - b[c];
        square += d * d;
    }
    return channels == 1 ? square : sum + square;
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

/* The same with taps[0 .. n / 2], which are symmetric; terms[outputs - 1 + n] is scratch memory. */
INLINE void tap_column(const vec *a, const vec *b, index_t channels, const vec *taps, index_t n, int outputs, vec *terms,
                       vec *sums, index_t stride)
{
    for (index_t o = 0; o < outputs - 1 + n; o++)
        terms[o] = add_square(splat(0), a + o * channels, b + o * channels, channels);
    for (int i = 0; i < outputs; i++) {
        vec sum = taps[n / 2] * terms[i + n / 2];
        for (index_t o = 0; o < n / 2; o++)
            sum += taps[o] * (terms[i + o] + terms[i + n - 1 - o]);
        sums[i * stride] = sum;
    }
}

/* Along x the terms come from two places: the last ones of the step before, and those of this step. */
INLINE vec term(const vec *before, const vec *now, index_t margin, index_t o)
{
    return o < margin ? before[o] : now[o - margin];
}

/* Windows first .. first + outputs - 1 -> sums[outputs], each begun with `start` and bounded: here that costs nothing,
 * as the time is that of the sums; apart it costs 4 to 7 % */
INLINE void box_line(const vec *before, const vec *now, index_t first, index_t n, int outputs, vec start, vec limit,
                     vec *sums)
{
    const index_t margin = n - 1, last = first + n - 1;
    vec suffix[8], prefix, common = start;
    for (index_t o = outputs - 1; o < n; o++)
        common += term(before, now, margin, first + o);
    suffix[outputs - 1] = common;
    for (int o = outputs - 2; o >= 0; o--)
        suffix[o] = suffix[o + 1] + term(before, now, margin, first + o);
    sums[0] = bounded(suffix[0], limit);
    prefix = term(before, now, margin, last + 1);
    for (int o = 1; o < outputs; o++) {
        sums[o] = bounded(suffix[o] + prefix, limit);
        if (o < outputs - 1)
            prefix += term(before, now, margin, last + o + 1);
    }
}

INLINE void tap_line(const vec *before, const vec *now, const vec *taps, index_t first, index_t n, int outputs,
                     vec start, vec limit, vec *sums)
{
    for (index_t i = first; i < first + outputs; i++) {
        vec sum = start + taps[n / 2] * term(before, now, n - 1, i + n / 2);
        for (index_t o = 0; o < n / 2; o++)
            sum += taps[o] * (term(before, now, n - 1, i + o) + term(before, now, n - 1, i + n - 1 - o));
        *sums++ = bounded(sum, limit);
    }
}

/* The last `kept` terms become those of the step before. */
INLINE void keep(vec *before, const vec *now, index_t kept)
{
    if (kept <= COLUMNS)
        for (index_t i = 0; i < kept; i++)
            before[i] = now[COLUMNS - kept + i];
    else {
        for (index_t i = 0; i < kept - COLUMNS; i++)
            before[i] = before[i + COLUMNS];
        for (index_t i = 0; i < COLUMNS; i++)
            before[kept - COLUMNS + i] = now[i];
    }
}
