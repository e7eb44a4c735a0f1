/* accumulate_slab and aggregate_slab, for one instruction set: the planes of a volume, a band of rows of all of them.
 *
 * Formula   those of accumulate.h and aggregate.h with shifts (dz, dy, dx) and patches deep in z:
 *           S = sum_oz a(oz) S_oz, where S_oz compares plane z + oz with plane z + dz + oz; weights are spread in
 *           their plane
 * Work      LANES planes far apart are a vector (volume.h), so rows and columns are those of the kernels for two
 *           planes, and no column is margin.  Some neighbouring planes are worked on at a time: their squared
 *           differences are added along z as patch_sum.h does along y.  S(i, j) = S(j, i): the pair of planes
 *           (z, z + dz), dz > 0, serves both, over all (dy, dx); dz = 0 over half of them
 * Memory    per thread: the band with its margin, in lanes; and some planes of a stripe of it as for two planes
 * Counts    vector operations of a pair of shifts s and -s, r = 1: squared difference, sums along z and y 4.2 + 2.5 + 2,
 *           along x 2.3, clamp 1, weight 8, sums of both pixels 7; two planes 3 + 1.8 in place of the first 8.7
 * Numbers   96^3, R = 3, r = 1, AVX-512, CPU time of accumulate_slab with peak: 70 ms, 4.3 G pairs/s, where the
 *           picture kernel does 7.5 at 361 shifts; r_z = 0 53 ms, r_z = 2 78 ms (stacked channels: 89 ms); the volumes
 *           themselves 5 ms.  Since two shifts share what is loaded of the pixels r_z = 1 and 2 take 3 % less: `denoise`
 *           by pixels 66.6, 85.7 and 90.6 ms for r_z = 0, 1, 2; six planes at a time instead of four are no faster
 *           (AMD EPYC of family 26, model 2, 2 processors, shared, 2026-11-30)
 * Test      tests/kernels/test_slab_kernel.py, against nlmeans/backends/reference.py
 */
#ifndef NLM_SLAB_H
#define NLM_SLAB_H

#include "accumulate.h"
#include "aggregate.h"
#include "volume.h"

enum { MOST_COLUMNS = 32 }; /* of a stripe: measured flat from 24 to 48; more do not fit the second cache */

/* One plane of the slab against another, as the kernels for two planes see it. */
struct slab_work {
    struct work w;
    struct pair pair;
    struct block block;
    const struct normalised *normalised; /* NULL in accumulate_slab */
    int half;                            /* of the slab as a whole */
    index_t steps;                       /* planes of a lane */
};

static struct pair plane_of(const struct slab *s)
{
    return (struct pair){
        .C = s->C, .V = s->V, .H = s->H, .W = s->W, .Ry = s->Ry, .Rx = s->Rx, .ry = s->ry,
        .rx = s->rx, .query = s->feature, .key = s->feature, .value = s->value, .own_value = s->value,
        .vote = s->vote, .taps_y = s->taps_y, .taps_x = s->taps_x, .bias = s->bias, .scale = s->scale, .own = 1,
    };
}

static void slab_stripes(struct work *w)
{
    const index_t W = w->pair->W, stripes = (W + MOST_COLUMNS - 1) / MOST_COLUMNS;
    w->stripe.length = (W + stripes - 1) / stripes;
    w->stripe.apart = 0;
}

/* Is some vote in reach of the band not 1? */
static int slab_has_holes(const struct slab_work *b)
{
    struct work w = b->w;
    struct pair plane = b->pair;
    int holes = 0;
    w.pair = &plane;
    for (index_t z = 0; z < b->block.slab->Z; z++) {
        plane.vote = b->pair.vote + z * plane.H * plane.W;
        holes |= has_holes(&w);
    }
    return holes;
}

/* Where the pairs of the slab's planes begin: where half are enough, above the first. */
static index_t first_plane(const struct slab_work *b)
{
    const struct slab *s = b->block.slab;
    return b->half ? most(0, s->first - s->Rz) : s->first;
}

static index_t first_depth(const struct slab_work *b) { return b->half ? 0 : -b->block.slab->Rz; }

/* `w` points into itself: it must not be moved. */
static void slab_work_on(struct slab_work *b, const struct slab *s, const struct normalised *normalised,
                         const struct sums *sums, const struct band *band)
{
    memset(b, 0, sizeof *b);
    b->pair = plane_of(s);
    b->normalised = normalised;
    b->w = normalised ? work_on_patches(&b->pair, sums, band) : work_on(&b->pair, sums, band);
    b->w.block = &b->block;
    b->w.anew = normalised && normalised->anew;
    b->half = b->w.half;
    b->w.nz = 2 * s->rz + 1;
    b->w.tapped_z = !equal(s->taps_z, b->w.nz);
    b->w.gain *= b->w.tapped_z ? 1 : sqrtf(s->taps_z[0]);
    slab_stripes(&b->w);
    b->block.slab = s;
    b->steps = (s->last - first_plane(b) + LANES - 1) / LANES;
}

/* So many planes at a time: where patches are deep these share sums along z. */
static void set_deep(struct slab_work *b, index_t left)
{
    b->w.deep = b->w.nz == 1 ? 1 : group(left, MOST_DEEP);
    b->pair.C = b->w.channels * (b->w.deep + b->w.nz - 1);
}

/* Begin with the shifts of dz: half of them within a plane. */
static void begin_depth(struct slab_work *b, index_t dz)
{
    b->block.dz = dz;
    b->pair.own = dz == 0;
    b->pair.key = dz == 0 ? b->pair.query : NULL;
    b->w.half = b->half && dz == 0;
    b->w.both = b->half;
    begin_shifts(&b->w);
}

/* --- the band with z innermost ------------------------------------------------------------------------------- */

/* Rows of the band with `reach` more on either side, and those that fill up its last step, or their mirror images. */
static void set_rows(const struct slab_work *b, struct volume *v, index_t reach)
{
    const struct band *band = b->w.band;
    const index_t rows = band->last - band->first, more = reach + rounded_up(rows) - rows;
    v->row0 = most(0, band->first - more);
    v->rows = least(b->pair.H, band->last + more) - v->row0;
    v->width = b->pair.W;
}

/* All steps with `before` and `after` more. */
static void set_steps(const struct slab_work *b, struct volume *v, index_t before, index_t after)
{
    v->lanes = (struct deep_lanes){first_plane(b), b->steps};
    v->step0 = -before;
    v->steps = before + b->steps + after;
}

static void carve_volume(struct arena *a, struct volume *v, index_t planes)
{
    v->first = carve_vectors(a, planes * vectors_of(v));
}

static void carve_volumes(struct slab_work *b, struct arena *a)
{
    const struct slab *s = b->block.slab;
    const struct band *band = b->w.band;
    struct block *block = &b->block;
    const index_t reach = s->Ry + s->ry, before = -first_depth(b);
    set_rows(b, &block->features, reach);
    set_steps(b, &block->features, before + s->rz, s->Rz + s->rz);
    carve_volume(a, &block->features, s->C);
    set_rows(b, &block->values, reach);
    set_steps(b, &block->values, before, s->Rz);
    carve_volume(a, &block->values, b->w.value_planes);
    block->sums = block->values;
    block->sums.row0 = band->first - band->above;
    block->sums.rows = band->above + band->last - band->first + band->below;
    carve_volume(a, &block->sums, b->w.sum_planes);
    set_rows(b, &block->bias, 0);
    set_steps(b, &block->bias, 0, 0);
    if (b->w.bias_by_planes)
        carve_volume(a, &block->bias, 2);
}

/* A volume, or a number everywhere. */
static void fill_per_query(const struct slab_work *b, index_t plane, struct per_query from, float number)
{
    const struct volume *v = &b->block.bias;
    const struct slab *s = b->block.slab;
    if (from.is_plane) {
        fill(v, plane, (struct some_planes){from.data, 0, s->Z, s->H}, REFLECTED, 1);
        return;
    }
    vec *to = v->first + plane * vectors_of(v);
    for (index_t i = 0; i < vectors_of(v); i++)
        to[i] = splat(number);
}

static void fill_volumes(const struct slab_work *b)
{
    const struct slab *s = b->block.slab;
    const struct block *block = &b->block;
    const index_t size = s->Z * s->H * s->W;
    struct some_planes all = {NULL, 0, s->Z, s->H};
    for (index_t c = 0; c < s->C; c++) {
        all.data = s->feature + c * size;
        fill(&block->features, c, all, REFLECTED, b->w.gain);
    }
    for (index_t v = 0; v <= s->V; v++) {
        all.data = v < s->V ? s->value + v * size : s->vote;
        fill(&block->values, v, all, LEFT_OUT, 1);
    }
    if (b->normalised) { /* with the taps' weight where they are equal */
        const struct some_planes some = {b->normalised->normaliser, s->first, s->last, s->H};
        fill(&block->values, s->V + 1, some, LEFT_OUT, spread_by_taps(&b->w) ? 1 : s->taps_y[0] * s->taps_x[0]);
    }
    if (b->w.bias_by_planes) {
        fill_per_query(b, 0, s->bias, s->bias.data[0]);
        fill_per_query(b, 1, s->scale, 1); /* a number is in the gain */
    }
    memset(block->sums.first, 0, sizeof(vec) * (size_t)(b->w.sum_planes * vectors_of(&block->sums)));
}

/* --- some steps against those dz further --------------------------------------------------------------------- */

/* Features of the steps from `step` on that patches of some planes need: to[rows][count][planes][channels], from row
 * `row` of the band and column x on. */
static void load_slab_features(const struct slab_work *b, index_t step, index_t row, index_t rows, index_t x,
                               index_t count, vec *to)
{
    const index_t C = b->pair.C, channels = b->w.channels;
    for (index_t r = 0; r < rows; r++) {
        const index_t y = reflected(b->w.band->first + row + r, b->pair.H);
        for (index_t c = 0; c < C; c++) {
            const struct part part = {y, x, count, step - b->block.slab->rz + c / channels, REFLECTED};
            load_lanes(&b->block.features, c % channels, part, to + r * count * C + c, C);
        }
    }
}

static void load_slab_values(const struct slab_work *b, index_t step, const struct planes *to)
{
    const index_t planes = b->w.value_planes;
    for (index_t v = 0; v < b->w.deep * planes; v++)
        for (index_t r = to->row0; r < to->row0 + rows_of(to); r++) {
            const index_t y = b->w.band->first + r;
            const struct part part = {y, b->w.stripe.x0 + to->t0, to->row, step + v / planes, LEFT_OUT};
            vec *out = at(to, v, r, to->t0);
            if (y >= 0 && y < b->pair.H)
                load_lanes(&b->block.values, v % planes, part, out, 1);
            else
                memset(out, 0, sizeof(vec) * (size_t)to->row);
            for (index_t t = 0; b->normalised && v % planes == b->pair.V && t < to->row; t++)
                out[t] -= splat(1); /* vote - 1: what spread.h calls missing */
        }
}

static void store_lanes(const struct slab_work *b, index_t step, const struct planes *totals)
{
    const struct band *band = b->w.band;
    const index_t planes = b->w.sum_planes;
    const index_t end = least(totals->row0 + rows_of(totals), band->last - band->first + band->below);
    for (index_t p = 0; p < b->w.deep * planes; p++)
        for (index_t r = most(totals->row0, -band->above); r < end; r++) {
            const index_t x0 = b->w.stripe.x0 + totals->t0;
            const struct part part = {band->first + r, x0, totals->row, step + p / planes, LEFT_OUT};
            join_lanes(&b->block.sums, p % planes, part, at(totals, p, r, totals->t0), p % planes > b->pair.V);
        }
}

static void slab_stripe(struct slab_work *b)
{
    struct work *w = &b->w;
    const index_t x0 = w->stripe.x0, step = b->block.step, other = step + b->block.dz;
    const index_t band = rounded_up(w->band->last - w->band->first), margin = w->nx - 1;
    load_slab_features(b, other, w->dy0 - b->pair.ry, band + w->dy1 - w->dy0 + w->ny - 1, x0 + w->dx0 - b->pair.rx,
                       w->wide + margin, w->features);
    if (!w->shared)
        load_slab_features(b, step, -b->pair.ry, band + w->ny - 1, x0 - b->pair.rx,
                           rounded_up(w->stripe.length) + margin, w->own_features);
    load_slab_values(b, other, &w->values);
    if (w->own_values.first != w->values.first)
        load_slab_values(b, step, &w->own_values);
    clear_totals(w);
    if (b->normalised)
        count_outside(w);
    for_each_run(w, b->normalised ? aggregate_run : accumulate_run);
    store_lanes(b, step, &w->own_totals);
    if (w->totals.first != w->own_totals.first)
        store_lanes(b, other, &w->totals);
}

/* --- all of them --------------------------------------------------------------------------------------------- */

static const float NO_CANDIDATE = 1e30f; /* an exponent whose weight is 0 */

/* What patch sums begin with: where a candidate is outside the volume, more than any weight survives. */
static void set_starts(struct slab_work *b)
{
    const struct slab *s = b->block.slab;
    for (index_t i = 0; i < b->w.deep && !b->w.bias_by_planes; i++) {
        vec start = splat(-s->bias.data[0]);
        UNROLL for (int l = 0; l < LANES; l++) {
            const index_t z = first_plane(b) + l * b->steps + b->block.step + i + b->block.dz;
            if (z < 0 || z >= s->Z)
                SET_LANE(start, l, NO_CANDIDATE);
        }
        b->w.start[i] = start;
    }
}

/* Do all lanes have no candidate? */
static int is_past(const struct slab_work *b)
{
    return first_plane(b) + b->block.step + b->block.dz >= b->block.slab->Z;
}

static void all_blocks(struct slab_work *b, char *scratch)
{
    for (b->block.step = 0; b->block.step < b->steps; b->block.step += b->w.deep) {
        set_deep(b, b->steps - b->block.step);
        for (index_t dz = first_depth(b); dz <= b->block.slab->Rz; dz++) {
            begin_depth(b, dz);
            if (is_past(b))
                continue;
            set_starts(b);
            while (next_rectangle(&b->w)) {
                hand_out(&b->w, scratch);
                load_taps(&b->w);
                for (index_t o = 0; o < b->w.nz; o++)
                    b->w.taps_z[o] = splat(b->block.slab->taps_z[o]);
                while (next_stripe(&b->w))
                    slab_stripe(b);
            }
        }
    }
}

/* Sums of the slab's planes to where they belong: rows of the band, and its spill. */
static void hand_back(const struct slab_work *b)
{
    const struct slab *s = b->block.slab;
    const struct band *band = b->w.band;
    const struct sums *sums = b->w.sums;
    const index_t n = s->last - s->first, outside = band->above + band->below;
    for (index_t p = 0; p < b->w.sum_planes; p++) {
        float *plane = p < s->V ? sums->numerator + p * n * s->H * s->W : p == s->V ? sums->denominator : sums->peak;
        for (index_t y = band->first - band->above; y < band->last + band->below; y++)
            for (index_t z = 0; z < n; z++) {
                const index_t r = band->above + (y < band->first ? y - band->first : y - band->last);
                const int inside = y >= band->first && y < band->last;
                float *row = inside ? plane + (z * s->H + y) * s->W : band->spill + ((p * outside + r) * n + z) * s->W;
                gather_row(&b->block.sums, p, y, s->first + z, p > s->V, row);
            }
    }
}

/* add_known for every plane. */
static void add_known_of_slab(const struct slab_work *b, char *scratch)
{
    const struct slab *s = b->block.slab;
    const index_t size = s->H * s->W;
    for (index_t z = s->first; z < s->last; z++) {
        const index_t at_plane = (z - s->first) * size;
        const struct normalised *all = b->normalised;
        const struct normalised n = {all->normaliser + at_plane, all->center + at_plane, all->weight_sum + at_plane,
                                     all->anew};
        const struct sums sums = {.denominator = b->w.sums->denominator + at_plane};
        struct pair pair = b->pair;
        struct work w = b->w;
        pair.vote = s->vote + z * size;
        pair.own = 1;
        w.pair = &pair;
        w.sums = &sums;
        add_known(&w, &n, scratch);
    }
}

/* --- the entries --------------------------------------------------------------------------------------------- */

static size_t slab_scratch(const struct slab *s, const struct normalised *normalised, const struct sums *sums,
                           const struct band *band)
{
    struct arena counting = {NULL, 0};
    struct slab_work b;
    size_t size = 0;
    slab_work_on(&b, s, normalised, sums, band);
    carve_volumes(&b, &counting);
    for (index_t left = 1; left <= MOST_DEEP; left++)
        for (index_t dz = 0; dz <= 1; dz++) {
            set_deep(&b, left);
            begin_depth(&b, dz);
            const size_t needed = scratch_size(b.w);
            size = needed > size ? needed : size;
        }
    return counting.used + 128 + size;
}

static void work_on_slab(const struct slab *s, const struct normalised *normalised, const struct sums *sums,
                         const struct band *band, char *scratch)
{
    struct arena a = {scratch + (64 - (size_t)scratch % 64) % 64, 0};
    struct slab_work b;
    slab_work_on(&b, s, normalised, sums, band);
    carve_volumes(&b, &a);
    b.w.holes = b.w.bias_by_planes || slab_has_holes(&b); /* outside the volume there is no vote */
    fill_volumes(&b);
    all_blocks(&b, a.memory + a.used);
    hand_back(&b);
    if (normalised)
        add_known_of_slab(&b, a.memory);
}

static const struct normalised SOME_NORMALISED = {NULL, NULL, NULL, 0};

size_t ISA(accumulate_slab_scratch)(const struct slab *s, const struct sums *sums, const struct band *band)
{
    return slab_scratch(s, NULL, sums, band);
}

size_t ISA(aggregate_slab_scratch)(const struct slab *s, const struct sums *sums, const struct band *band)
{
    return slab_scratch(s, &SOME_NORMALISED, sums, band);
}

void ISA(accumulate_slab)(const struct slab *s, const struct sums *sums, const struct band *band, char *scratch)
{
    work_on_slab(s, NULL, sums, band, scratch);
}

void ISA(aggregate_slab)(const struct slab *s, const struct normalised *normalised, const struct sums *sums,
                         const struct band *band, char *scratch)
{
    work_on_slab(s, normalised, sums, band, scratch);
}

#endif
