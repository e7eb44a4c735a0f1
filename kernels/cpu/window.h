/* accumulate and aggregate, for one instruction set (included by the files that choose one).
 *
 * Formula   S(i, s) = sum_c sum_o a(o) (query_c(i + o) - key_c(j + o))^2, j = i + s;
 *           w = 2^-max(scale_i S - bias_i, 0) vote_j; accumulate sums w value_j and w, on request max w;
 *           aggregate first spreads w normaliser_i over the patch: B_s(x) = sum_o a(o) p(x - o, s); its
 *           denominator is the weight sums of the patch, sum_s p(i, s), less B_s(x) (1 - vote_{x + s}).
 * Shapes    as in nlm.h; a band of rows in blocks of columns, LANES columns that lie far apart in a vector.
 * Work      a thread has a band; within one plane a weight serves i and j (S(i, j) = S(j, i)).
 * Memory    per thread: the block's features, values and totals, grown by patch and window.
 * Numbers   r = 3, R = 10, per 1024^2 pixels of CPU time, fastest of 6, AVX2 / AVX-512: accumulate 90 / 90 ms, with
 *           bias and peak 102 / 90 ms, weights and peak alone 88 / 81 ms, 3 channels 171 / 163 ms; aggregate 167 ms
 *           (AMD EPYC of family 25, model 17, 2 processors, 2026-11-27).
 * Test      tests/test_cpu_kernel.py, against nlmeans/backends/reference.py
 */
#include "nlm.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "lanes.h"
#include "tile.h"
#include "patch.h"
#include "work.h"
#include "join.h"
#include "sweep.h"
#include "spread.h"

/* --- loading and storing ---------------------------------------------------------------------------------- */

/* Features of patches side by side, vector by vector, so that one step reads one piece of memory: `deep` rows
 * from row `row` of the candidates' features, `count` vectors from vector `t`. */
static void pick(const struct work *w, index_t row, index_t t, index_t deep, index_t count, vec *to)
{
    const index_t C = w->channels, wide = w->wide + w->nx - 1, size = deep * C;
    for (index_t r = 0; r < deep; r++, to += C) {
        const vec *from = w->features + ((row + r) * wide + t) * C;
        for (index_t i = 0; i < count; i++)
            for (index_t c = 0; c < C; c++)
                to[i * size + c] = *from++;
    }
}

static void pick_key(const struct work *w, index_t top)
{
    pick(w, top, 0, w->deep_key, w->wide + w->nx - 1, w->key);
}

static void pick_query(const struct work *w, index_t top)
{
    const struct pair *p = w->p;
    const index_t count = rounded_up(w->block.k) + w->nx - 1;
    if (w->shared) {
        pick(w, top - w->dy0, -w->dx0, w->deep_query, count, w->query);
        return;
    }
    map_columns(w->block, p->W, -p->rx, count, 1, w->map);
    for (index_t c = 0; c < p->C; c++)
        for (index_t r = 0; r < w->deep_query; r++) {
            index_t y = reflect(w->first + top + r - p->ry, p->H);
            load_row(p->query + (c * p->H + y) * p->W, w->map, count, w->gain, w->query + r * p->C + c,
                     w->deep_query * p->C);
        }
}

static void load_candidates(const struct work *w, index_t rows)
{
    const struct pair *p = w->p;
    index_t count = w->wide + w->nx - 1;
    map_columns(w->block, p->W, w->dx0 - p->rx, count, 1, w->map);
    for (index_t r = 0; r < rows; r++)
        for (index_t c = 0; c < p->C; c++) {
            index_t y = reflect(w->first + w->dy0 - p->ry + r, p->H);
            load_row(p->key + (c * p->H + y) * p->W, w->map, count, w->gain,
                     w->features + r * count * p->C + c, p->C);
        }
}

/* Row y of a plane in lanes, times gain; 0 outside the plane. */
static void load_or_clear(const struct work *w, const float *plane, index_t y, index_t count, float gain, vec *out)
{
    if (y >= 0 && y < w->p->H)
        load_row(plane + y * w->p->W, w->map, count, gain, out, 1);
    else
        memset(out, 0, sizeof(vec) * (size_t)count);
}

/* value * vote, vote and normaliser of some rows.  aggregate has vote - 1 for the vote. */
static void load_values(const struct work *w, const struct view *view, index_t count)
{
    const struct pair *p = w->p;
    const float taps = tapped(w) ? 1 : p->taps_y[0] * p->taps_x[0];
    map_columns(w->block, p->W, view->t0, count, 0, w->map);
    for (index_t r = view->row0; r < view->row0 + view->plane / view->row; r++) {
        const index_t y = w->first + r;
        vec *vote = at(view, p->V, r, view->t0);
        load_or_clear(w, p->vote, y, count, 1, vote);
        if (p->normaliser)
            load_or_clear(w, p->normaliser, y, count, taps, at(view, p->V + 1, r, view->t0));
        for (index_t v = 0; v < p->V; v++) {
            vec *value = at(view, v, r, view->t0);
            load_or_clear(w, p->value + v * p->H * p->W, y, count, 1, value);
            for (index_t t = 0; w->holes && t < count; t++)
                value[t] *= vote[t];
        }
        for (index_t t = 0; p->normaliser && t < count; t++)
            vote[t] -= splat(1);
    }
}

static void load_planes(const struct work *w, index_t top)
{
    const struct pair *p = w->p;
    const index_t k = rounded_up(w->block.k);
    map_columns(w->block, p->W, 0, k, 1, w->map);
    for (index_t r = 0; r < ROWS; r++) {
        index_t y = least(w->first + top + r, p->H - 1) * p->W, at = r * k;
        for (index_t t = 0; t < k; t++)
            w->bias[at + t] = splat(p->bias[0]), w->scale[at + t] = splat(1); /* a number is in the gain */
        if (p->bias_is_plane)
            load_row(p->bias + y, w->map, k, 1, w->bias + at, 1);
        if (p->scale_is_plane)
            load_row(p->scale + y, w->map, k, 1, w->scale + at, 1);
    }
}

/* Where sum number s of row y goes: the plane, or above and below the band the spill. */
static float *target(const struct work *w, index_t s, index_t y)
{
    const struct pair *p = w->p;
    if (y < w->first || y >= w->last) {
        index_t row = y < w->first ? y - w->first + p->above : y - w->last + p->above;
        return p->spill + (s * (p->above + p->below) + row) * p->W;
    }
    float *plane = s < p->V ? p->numerator + s * p->H * p->W : s == p->V ? p->denominator : p->peak;
    return plane + y * p->W;
}

static void store(const struct work *w, const struct view *view)
{
    const struct pair *p = w->p;
    for (index_t s = 0; s < w->sums; s++)
        for (index_t r = view->row0; r < view->row0 + view->plane / view->row; r++)
            if (r >= -p->above && r < w->last - w->first + p->below)
                store_row(at(view, s, r, view->t0), w->block, p->W, view->t0, view->row, s == p->V + 1,
                          target(w, s, w->first + r));
}

/* --- a band ------------------------------------------------------------------------------------------------ */

static int equal_taps(const float *taps, index_t n)
{
    for (index_t o = 1; o < n; o++)
        if (taps[o] != taps[0])
            return 0;
    return 1;
}

/* Is some vote in reach of the band not 1? */
static int has_holes(const struct work *w)
{
    const struct pair *p = w->p;
    const index_t reach = p->Ry + w->reach_y, end = least(p->H, w->last + reach) * p->W;
    int holes = 0;
    for (index_t i = most(0, w->first - reach) * p->W; i < end; i++)
        holes |= p->vote[i] != 1;
    return holes;
}

struct arena { char *memory; size_t used; };

static vec *carve(struct arena *a, index_t vectors)
{
    vec *piece = a->memory ? (vec *)(a->memory + a->used) : NULL;
    a->used += ((size_t)vectors * sizeof(vec) + 63) / 64 * 64 + 64; /* not a power of two apart */
    return piece;
}

/* Hands out the scratch memory; called once to count it and once more with it. */
static void carve_all(struct work *w, struct arena *a)
{
    const struct pair *p = w->p;
    const index_t band = rounded_up(w->last - w->first), k = rounded_up(w->block.k), rows = band + w->dy1 - w->dy0;
    const index_t shifts = w->dx1 - w->dx0 + 1, margin = w->nx - 1;
    w->features = carve(a, (rows + w->ny - 1) * (w->wide + w->nx - 1) * p->C);
    w->query = carve(a, (k + w->nx - 1) * w->deep_query * p->C);
    w->key = carve(a, (w->wide + w->nx - 1) * w->deep_key * p->C);
    w->taps_y = carve(a, w->ny), w->taps_x = carve(a, w->nx);
    int planes = p->bias_is_plane || p->scale_is_plane;
    w->bias = planes ? carve(a, ROWS * k) : NULL;
    w->scale = planes ? carve(a, ROWS * k) : NULL;
    w->terms = carve(a, ROWS + w->ny - 1);
    w->columns.n = margin;
    w->columns.steps = carve(a, shifts * 2 * STEP);
    w->columns.kept = margin <= COLUMNS ? NULL : carve(a, shifts * ROWS * margin);
    w->weights = carve(a, shifts * STEP);
    w->map = (int *)carve(a, w->wide + w->nx);
    w->spread_history = p->normaliser ? carve(a, (1 + w->half) * shifts * (w->nx + 1) * ROWS) : NULL;
    const index_t ry = w->reach_y, rx = w->reach_x;
    const index_t wide = (w->wide + 2 * rx) | 1, narrow = (k + 2 * rx) | 1; /* odd: rows share no lines of a cache */
    const struct view theirs = {NULL, (rows + 2 * ry) * wide, wide, w->dy0 - ry, w->dx0 - rx};
    const struct view mine = {NULL, (band + 2 * ry) * narrow, narrow, -ry, -rx};
    w->values = w->totals = theirs;
    w->values.first = carve(a, w->value_planes * theirs.plane);
    if (w->half)
        w->totals.first = carve(a, w->sums * theirs.plane);
    if (w->half && w->central) {
        w->own_values = w->values, w->own_totals = w->totals;
        return;
    }
    w->own_values = w->own_totals = mine;
    w->own_values.first = carve(a, w->value_planes * mine.plane);
    w->own_totals.first = carve(a, w->sums * mine.plane);
    if (!w->half)
        w->totals = w->own_totals;
}

static void run_rectangle(const struct work *w)
{
    const struct pair *p = w->p;
    const index_t band = w->last - w->first;
    for (index_t o = 0; o < w->ny; o++)
        w->taps_y[o] = splat(p->taps_y[o]);
    for (index_t o = 0; o < w->nx; o++)
        w->taps_x[o] = splat(p->taps_x[o]);
    load_candidates(w, rounded_up(band) + w->dy1 - w->dy0 + w->ny - 1);
    load_values(w, &w->values, w->values.row);
    if (w->own_values.first != w->values.first)
        load_values(w, &w->own_values, w->own_values.row);
    memset(w->totals.first, 0, sizeof(vec) * (size_t)(w->sums * w->totals.plane));
    if (w->own_totals.first != w->totals.first)
        memset(w->own_totals.first, 0, sizeof(vec) * (size_t)(w->sums * w->own_totals.plane));
    void (*run)(const struct work *, index_t, index_t, index_t, index_t, index_t, index_t) =
        p->normaliser ? sweep_patches : sweep;
    for (index_t top = 0; top < band; top += ROWS) {
        pick_query(w, top);
        pick_key(w, top);
        if (w->bias)
            load_planes(w, top);
        for (index_t dy = w->dy0; dy <= w->dy1 && !*p->stop; dy++) {
            index_t y = w->first + top + dy;
            index_t from = most(0, -y), to = least(least(ROWS, band - top), p->H - y);
            index_t dx0 = w->half && dy == 0 ? most(w->dx0, 1) : w->dx0, left = w->dx1 - dx0 + 1;
            if (from >= to || left <= 0)
                continue; /* no pair of rows inside the plane */
            if (!w->half && p->own && dy == 0 && w->dx0 <= 0 && w->dx1 >= 0) { /* the pixel itself is the caller's */
                if (w->dx0 < 0)
                    run(w, top, from, to, dy, w->dx0, -w->dx0);
                if (w->dx1 > 0)
                    run(w, top, from, to, dy, 1, w->dx1);
            } else
                run(w, top, from, to, dy, dx0, left);
        }
    }
    store(w, &w->own_totals);
    if (w->totals.first != w->own_totals.first)
        store(w, &w->totals);
}

/* A plane, or two multiplied, summed over the patches around the pixels of a row; line[W + 2 rx] is scratch memory. */
static void sum_around(const struct pair *p, const float *plane, const float *times, index_t y, float *line, float *sums)
{
    memset(line, 0, sizeof(float) * (size_t)(p->W + 2 * p->rx));
    memset(sums, 0, sizeof(float) * (size_t)p->W);
    for (index_t i = most(0, y - p->ry); i <= least(p->H - 1, y + p->ry); i++) {
        const float tap = p->taps_y[i - y + p->ry], *from = plane + i * p->W, *factor = times + i * p->W;
        if (times)
            for (index_t x = 0; x < p->W; x++)
                line[p->rx + x] += tap * from[x] * factor[x];
        else
            for (index_t x = 0; x < p->W; x++)
                line[p->rx + x] += tap * from[x];
    }
    for (index_t o = 0; o <= 2 * p->rx; o++)
        for (index_t x = 0; x < p->W; x++)
            sums[x] += p->taps_x[o] * line[x + o];
}

/* aggregate: the weight sums around a pixel, and the pixel itself as a candidate, whose weight goes to the whole
 * patch around it.  lines[2 W + 2 rx] is scratch memory. */
static void add_known(const struct work *w, float *lines)
{
    const struct pair *p = w->p;
    float *sums = lines, *line = lines + p->W;
    for (index_t y = w->first; y < w->last; y++) {
        const float *vote = p->vote + y * p->W;
        float *denominator = p->denominator + y * p->W;
        sum_around(p, p->weight_sum, NULL, y, line, sums);
        for (index_t x = 0; x < p->W; x++)
            denominator[x] += sums[x];
        if (!p->own)
            continue;
        sum_around(p, p->centre, p->normaliser, y, line, sums);
        for (index_t x = 0; x < p->W; x++)
            denominator[x] += sums[x] * (vote[x] - 1), sums[x] *= vote[x];
        for (index_t v = 0; v < p->V; v++)
            for (index_t x = 0; x < p->W; x++)
                p->numerator[(v * p->H + y) * p->W + x] += sums[x] * p->value[(v * p->H + y) * p->W + x];
    }
}

static void clear_band(const struct work *w)
{
    for (index_t s = 0; s < w->sums; s++)
        memset(target(w, s, w->first), 0, sizeof(float) * (size_t)((w->last - w->first) * w->p->W));
}

/* Vectors of a block: the more, the less is margin; twice as many gain 1 % and take twice the scratch memory. */
enum { MOST_VECTORS = 128, MOST_SHIFTS = 65 };

/* The band in blocks of columns, and the first rectangle of shifts. */
static struct work begin(const struct pair *p, index_t first, index_t last)
{
    const index_t blocks = (p->W + LANES * MOST_VECTORS - 1) / (LANES * MOST_VECTORS);
    struct work w = {.p = p, .first = first, .last = last, .channels = p->C};
    w.block.k = (p->W + LANES * blocks - 1) / (LANES * blocks);
    w.ny = 2 * p->ry + 1, w.nx = 2 * p->rx + 1;
    w.sums = p->V + 1 + (p->peak != NULL);
    w.reach_y = p->normaliser ? p->ry : 0, w.reach_x = p->normaliser ? p->rx : 0;
    w.value_planes = p->V + 1 + (p->normaliser != NULL);
    w.half = p->own && !p->bias_is_plane && !p->scale_is_plane;
    w.tapped_y = !equal_taps(p->taps_y, w.ny), w.tapped_x = !equal_taps(p->taps_x, w.nx);
    w.gain = sqrtf((p->scale_is_plane ? 1 : p->scale[0]) * (w.tapped_y ? 1 : p->taps_y[0]) *
                   (w.tapped_x ? 1 : p->taps_x[0]));
    w.dy1 = w.half ? -1 : -p->Ry - 1, w.dx1 = p->Rx;
    return w;
}

/* The next rectangle of shifts; 0 after the last. */
static int next_rectangle(struct work *w)
{
    const struct pair *p = w->p;
    if (w->dx1 < p->Rx)
        w->dx0 = w->dx1 + 1;
    else if (w->dy1 < p->Ry)
        w->dx0 = -p->Rx, w->dy0 = w->dy1 + 1, w->dy1 = least(p->Ry, w->dy0 + MOST_SHIFTS - 1);
    else
        return 0;
    w->dx1 = least(p->Rx, w->dx0 + MOST_SHIFTS - 1);
    w->wide = rounded_up(w->block.k) + w->dx1 - w->dx0;
    w->central = w->dy0 <= 0 && w->dy1 >= 0 && w->dx0 <= 0 && w->dx1 >= 0;
    w->shared = w->central && p->query == p->key;
    w->deep_query = ROWS - 1 + w->ny, w->deep_key = w->deep_query + w->dy1 - w->dy0;
    return 1;
}

size_t NLM(nlm_scratch)(const struct pair *p, index_t first, index_t last)
{
    size_t most_used = sizeof(float) * (size_t)(2 * p->W + 2 * p->rx);
    for (struct work w = begin(p, first, last); next_rectangle(&w);) {
        struct arena a = {NULL, 0};
        carve_all(&w, &a);
        most_used = a.used > most_used ? a.used : most_used;
    }
    return most_used + 64;
}

void NLM(nlm_band)(const struct pair *p, index_t first, index_t last, char *scratch)
{
    struct work w = begin(p, first, last);
    w.holes = has_holes(&w);
    clear_band(&w);
    if (p->normaliser)
        add_known(&w, (float *)scratch);
    while (next_rectangle(&w)) {
        struct arena a = {scratch + (64 - (size_t)scratch % 64) % 64, 0};
        carve_all(&w, &a);
        for (index_t x = 0; x < p->W && !*p->stop; x += LANES * w.block.k) {
            w.block.x0 = x;
            run_rectangle(&w);
        }
    }
}
