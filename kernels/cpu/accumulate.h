/* accumulate, for one instruction set.
 *
 * Formula   S(i, s) = sum_c sum_o a(o) (query_c(i + o) - key_c(j + o))^2, j = i + s;
 *           w = 2^-max(scale_i S - bias_i, 0) vote_j; sums of w (value_j - own_value_i) and w, on
 *           request the largest w
 * Shapes    contract.h; in lanes, LANES columns that lie far apart in a vector (rows.h)
 * Work      a thread has a band of rows; within one plane a weight serves i and j (S(i, j) = S(j, i))
 * Memory    per thread: a stripe's features, values and totals, grown by patch and window
 * Numbers   r = 3, R = 10, 1024^2 pixels, AVX-512, CPU time of the whole pixel call: 64 ms, with bias and peak
 *           68 ms, 3 channels 129 ms (AMD EPYC of family 26, model 2, 2 processors, 2026-11-30)
 * Test      tests/kernels/test_cpu_kernel.py, against nlmeans/backends/reference.py
 */
#ifndef NLM_ACCUMULATE_H
#define NLM_ACCUMULATE_H

#include "add.h"
#include "band.h"
#include "isa.h"

static void accumulate_run(const struct work *w, const struct run *run)
{
    struct step s = first_step(w, run);
    for (; s.t < w->stripe.length; next_step(w, &s)) {
        weights(w, &s);
        for (index_t b = 0; b < w->deep; b++)
            for (index_t g = 0, count; g < run->shifts; g += count) {
                count = group(run->shifts - g, SHIFTS);
                add(w, &s, b, g, (int)count);
            }
    }
}

static void accumulate_stripe(const struct work *w)
{
    load_taps(w);
    load_features(w);
    load_values(w, w->pair->value, &w->values);
    if (w->own_values.first != w->values.first)
        load_values(w, w->pair->own_value, &w->own_values);
    clear_totals(w);
    for_each_run(w, accumulate_run);
    store_totals(w);
}

size_t ISA(accumulate_scratch)(const struct pair *p, const struct sums *sums, const struct band *band)
{
    return scratch_size(work_on(p, sums, band));
}

void ISA(accumulate)(const struct pair *p, const struct sums *sums, const struct band *band, char *scratch)
{
    struct work w = work_on(p, sums, band);
    w.holes = has_holes(&w);
    clear_sums(&w);
    while (next_rectangle(&w)) {
        hand_out(&w, scratch);
        while (next_stripe(&w))
            accumulate_stripe(&w);
    }
}

#endif
