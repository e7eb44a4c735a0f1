/* accumulate, for one instruction set (included by the files that choose one).
 *
 * Formula   S(i, s) = sum_c sum_o a(o) (query_c(i + o) - key_c(j + o))^2, j = i + s;
 *           w = 2^-max(scale_i S - bias_i, 0) vote_j; sums of w value_j and w, on request max w and w^2.
 * Shapes    as in nlm.h; a band of rows in blocks of columns, LANES columns that lie far apart in a vector.
 * Work      a thread has a band; within one plane a weight serves i and j (S(i, j) = S(j, i)).
 * Memory    per thread: the block's features, values and totals, grown by patch and window.
 * Numbers   r = 3, R = 10, 1 channel, AVX2: 4.9 Mpixel per CPU second, with bias and peak 4.3
 *           (AMD EPYC, two busy processors, 2026-11-23; benchmarks/results/cpu.json).
 * Test      tests/test_cpu_kernel.py, against accumulate of nlmeans/backends/reference.py
 */
#include "nlm.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lanes.h"
#include "patch.h"
#include "tile.h"

/* Planes in lanes: element (plane, row of the band, t) of the block at hand. */
struct view {
    vec *first;
    index_t plane, row;  /* strides */
    index_t row0, t0;    /* what `first` points to */
};

INLINE vec *at(const struct view *v, index_t plane, index_t row, index_t t)
{
    return v->first + plane * v->plane + (row - v->row0) * v->row + (t - v->t0);
}

/* A band against one rectangle of shifts, in one block of columns. */
struct work {
    const struct pair *p;
    index_t first, last;        /* rows of the band */
    struct block block;
    index_t dy0, dy1, dx0, dx1; /* shifts, the last included */
    index_t ny, nx;             /* patch sizes */
    index_t channels;
    index_t deep_query, deep_key; /* rows of features for ROWS patches, and for those at every dy */
    index_t line;               /* columns kept for one row of sums along y */
    index_t wide;               /* vectors of candidates along x */
    index_t sums;               /* V numerators, denominator, [peak], [squares] */
    int half;                   /* a pair of pixels is weighed once and serves both */
    int central;                /* the rectangle has the shift (0, 0): own pixels lie among the candidates */
    int tapped_y, tapped_x;     /* taps that are not all equal; equal ones are in the gain */
    int holes;                  /* some vote is not 1 */
    float gain;                 /* of the features */
    vec *features;              /* [rows][wide + 2 rx][C] of the candidates */
    vec *query, *key;           /* [vectors][rows_deep][C] for ROWS rows */
    vec *taps_y, *taps_x;
    vec *bias, *scale;          /* [ROWS][k], when they are planes */
    vec *columns;               /* [SHIFTS][ROWS][COLUMNS + 2 rx] sums along y */
    vec *weights;               /* [SHIFTS][ROWS][COLUMNS] */
    struct view values, own_values; /* [V + 1]: value * vote, vote */
    struct view totals, own_totals; /* [sums] */
    int *map;
};

/* --- one step of the sweep: COLUMNS vectors, up to ROWS rows, up to SHIFTS shifts ------------------------- */

INLINE void columns_of(const struct work *w, const vec *a, const vec *b, index_t channels, index_t count, index_t rows,
                       int outputs, int tapped, vec *sums)
{
    const index_t stride = w->line;
    for (index_t t = 0; t < count; t++, a += w->deep_query * channels, b += w->deep_key * channels)
        for (index_t i = 0; i < rows; i += outputs) {
            const vec *u = a + i * channels, *v = b + i * channels;
            if (tapped)
                tap_column(u, v, channels, w->taps_y, w->ny, outputs, sums + i * stride + t, stride);
            else
                box_column(u, v, channels, w->ny, outputs, sums + i * stride + t, stride);
        }
}

/* Sums along y of `count` columns: a, b at the top of the first. */
static void sum_columns(const struct work *w, const vec *a, const vec *b, index_t count, index_t rows, vec *sums)
{
#define COLUMNS_OF(channels, outputs)                                            \
    (w->tapped_y ? columns_of(w, a, b, channels, count, rows, outputs, 1, sums) \
                 : columns_of(w, a, b, channels, count, rows, outputs, 0, sums))
    if (w->ny >= 7 && w->channels == 1)
        COLUMNS_OF(1, 8);
    else if (w->ny >= 7 && w->channels == 3)
        COLUMNS_OF(3, 8);
    else if (w->ny >= 7)
        COLUMNS_OF(w->channels, 8);
    else if (w->ny >= 3 && w->channels == 1)
        COLUMNS_OF(1, 4);
    else if (w->ny >= 3 && w->channels == 3)
        COLUMNS_OF(3, 4);
    else if (w->ny >= 3)
        COLUMNS_OF(w->channels, 4);
    else
        columns_of(w, a, b, w->channels, count, rows, 2, 0, sums);
}

/* Sums along y, of `stride` columns for each row -> sums along x of COLUMNS columns. */
INLINE void lines_of(const vec *before, const vec *now, index_t stride, vec *sums, index_t rows, index_t n, int outputs,
                     const vec *taps, vec start)
{
    for (index_t row = 0; row < rows; row++, before += stride, now += stride, sums += COLUMNS)
        for (int c = 0; c < COLUMNS; c += outputs)
            if (taps)
                tap_line(before, now, n - 1, c, taps, n, outputs, start, sums + c);
            else
                box_line(before, now, n - 1, c, n, outputs, start, sums + c);
}

static void sum_lines(const struct work *w, const vec *before, const vec *now, vec *sums, index_t rows)
{
    const vec start = splat(w->bias ? 0 : -w->p->bias[0]);
    const index_t stride = w->line;
#define LINES_OF(n, outputs, taps) lines_of(before, now, stride, sums, rows, n, outputs, taps, start)
    if (w->tapped_x)
        w->nx >= 7 ? LINES_OF(w->nx, 8, w->taps_x) : LINES_OF(w->nx, 4, w->taps_x);
    else if (w->nx == 1)
        LINES_OF(1, 2, NULL);
    else if (w->nx == 3)
        LINES_OF(3, 4, NULL);
    else if (w->nx == 5)
        LINES_OF(5, 4, NULL);
    else if (w->nx == 7)
        LINES_OF(7, 8, NULL);
    else if (w->nx == 9)
        LINES_OF(9, 8, NULL);
    else
        LINES_OF(w->nx, 8, NULL);
}

/* Weights in place. */
static void weigh(vec *sums, index_t count, int biased)
{
    const struct exponential e = exponential();
    if (biased)
        for (index_t t = 0; t < count; t++)
            sums[t] = exp2_of_minus(&e, most_of(sums[t], splat(0)));
    else
        for (index_t t = 0; t < count; t++)
            sums[t] = exp2_of_minus(&e, sums[t]);
}

static void weigh_by_planes(vec *sums, const vec *bias, const vec *scale, index_t stride, index_t rows)
{
    const struct exponential e = exponential();
    for (index_t row = 0; row < rows; row++, sums += COLUMNS, bias += stride, scale += stride)
        for (int t = 0; t < COLUMNS; t++)
            sums[t] = exp2_of_minus(&e, most_of(scale[t] * sums[t] - bias[t], splat(0)));
}

/* --- weights to sums: shift g of the step is d0 + g, its weights w[g * ROWS * COLUMNS + t] --------------- */

enum { STEP = ROWS * COLUMNS };

/* Two sums of one end of the pairs, and what goes into them. */
struct end {
    vec *a, *b;
    const vec *x, *y;
    index_t sums_row, values_row; /* strides */
};

/* How weights are joined to the sums a and b: what is multiplied by x and y (else by 1). */
enum join { VALUE_AND_COUNT, TWO_VALUES, ONE_VALUE, PEAK, PEAK_OF_VOTES, SQUARES };

INLINE vec join(enum join how, vec sum, vec weight, vec value)
{
    return how == PEAK            ? most_of(sum, weight)
           : how == PEAK_OF_VOTES ? most_of(sum, weight * value)
           : how == SQUARES       ? sum + weight * (weight * value)
                                  : sum + weight * value;
}

/* own[t] += sum_g w_g[t] theirs[t + g] and, with `half`, theirs[t + g] += w_g[t] own[t]; the sums of the ends
 * t + g wait in registers until their last weight has come. */
INLINE void join_step(enum join how, const vec *w, int shifts, int half, struct end own, struct end theirs)
{
    vec a[SHIFTS], b[SHIFTS];
    const int two = how == VALUE_AND_COUNT || how == TWO_VALUES;
    for (int g = 0; g < shifts; g++)
        a[g] = b[g] = splat(0);
    for (int t = 0; t < COLUMNS; t++) {
        vec own_a = own.a[t], own_b = two ? own.b[t] : splat(0);
        for (int g = 0; g < shifts; g++) {
            vec weight = w[g * STEP + t];
            HOLD(weight);
            own_a = join(how, own_a, weight, how == PEAK ? weight : theirs.x[t + g]);
            if (two)
                own_b = how == TWO_VALUES ? own_b + weight * theirs.y[t + g] : own_b + weight;
            if (half) {
                a[g] = join(how, a[g], weight, how == PEAK ? weight : own.x[t]);
                if (two)
                    b[g] = how == TWO_VALUES ? b[g] + weight * own.y[t] : b[g] + weight;
            }
        }
        own.a[t] = own_a;
        if (two)
            own.b[t] = own_b;
        if (half) {
            theirs.a[t] = how == PEAK || how == PEAK_OF_VOTES ? most_of(theirs.a[t], a[0]) : theirs.a[t] + a[0];
            if (two)
                theirs.b[t] += b[0];
            for (int g = 0; g + 1 < shifts; g++)
                a[g] = a[g + 1], b[g] = b[g + 1];
            a[shifts - 1] = b[shifts - 1] = splat(0);
        }
    }
    for (int t = COLUMNS, g = 0; half && g + 1 < shifts; g++, t++) {
        theirs.a[t] = how == PEAK || how == PEAK_OF_VOTES ? most_of(theirs.a[t], a[g]) : theirs.a[t] + a[g];
        if (two)
            theirs.b[t] += b[g];
    }
}

INLINE struct end next_row(struct end e)
{
    return (struct end){e.a + e.sums_row,   e.b + e.sums_row, e.x + e.values_row,
                        e.y + e.values_row, e.sums_row,       e.values_row};
}

INLINE void join_rows(enum join how, const vec *w, int shifts, int half, index_t rows, struct end own, struct end theirs)
{
    for (; rows > 0; rows--, w += COLUMNS) {
        join_step(how, w, shifts, half, own, theirs);
        own = next_row(own), theirs = next_row(theirs);
    }
}

#define JOIN(how)                                                                                             \
    static void join_##how(const vec *w, int shifts, int half, index_t rows, struct end own, struct end theirs) \
    {                                                                                                         \
        switch (shifts + SHIFTS * !half) {                                                                       \
            JOIN_CASES(how)                                                                                   \
        }                                                                                                     \
    }
#define JOIN_CASE(how, n)                                     \
    case n:                                                   \
        join_rows(how, w, n, 1, rows, own, theirs);           \
        break;                                                \
    case n + SHIFTS:                                             \
        join_rows(how, w, n, 0, rows, own, theirs);           \
        break;
#define JOIN_CASES(how)                                                                       \
    JOIN_CASE(how, 1) JOIN_CASE(how, 2) JOIN_CASE(how, 3) JOIN_CASE(how, 4) JOIN_CASE(how, 5) \
    JOIN_CASE(how, 6) JOIN_CASE(how, 7) JOIN_CASE(how, 8)
JOIN(VALUE_AND_COUNT)
JOIN(TWO_VALUES)
JOIN(ONE_VALUE)
JOIN(PEAK)
JOIN(PEAK_OF_VOTES)
JOIN(SQUARES)

/* Where the pairs of one step begin and end: rows of the band, vector t, shift (dy, d). */
struct spot {
    index_t row, dy, t, d;
};

static struct end own_end(const struct work *w, struct spot s, index_t a, index_t b, index_t x, index_t y)
{
    return (struct end){at(&w->own_totals, a, s.row, s.t), at(&w->own_totals, b, s.row, s.t),
                        at(&w->own_values, x, s.row, s.t), at(&w->own_values, y, s.row, s.t),
                        w->own_totals.row,                 w->own_values.row};
}

static struct end their_end(const struct work *w, struct spot s, index_t a, index_t b, index_t x, index_t y)
{
    index_t row = s.row + s.dy, t = s.t + s.d;
    return (struct end){at(&w->totals, a, row, t), at(&w->totals, b, row, t), at(&w->values, x, row, t),
                        at(&w->values, y, row, t), w->totals.row,             w->values.row};
}

/* Are all lanes' pixels and candidates of this step inside the plane, and all votes 1? */
static int all_vote(const struct work *w, index_t t, index_t d, int shifts)
{
    index_t left = w->block.x0 + t + (d < 0 ? d : 0);
    index_t right = w->block.x0 + (LANES - 1) * w->block.k + t + COLUMNS - 1 + most(0, d + shifts - 1);
    return !w->holes && left >= 0 && right < w->p->W;
}

/* The weights of some rows go to every sum of both ends. */
static void distribute(const struct work *w, const vec *x, int shifts, index_t rows, int voted, struct spot s)
{
    const index_t V = w->p->V, count = V, peak = V + 1, squares = V + 1 + (w->p->peak != NULL);
#define ENDS(a, b, x, y) own_end(w, s, a, b, x, y), their_end(w, s, a, b, x, y)
    (voted ? join_TWO_VALUES : join_VALUE_AND_COUNT)(x, shifts, w->half, rows, ENDS(0, count, 0, V));
    for (index_t v = 1; v + 1 < V; v += 2)
        join_TWO_VALUES(x, shifts, w->half, rows, ENDS(v, v + 1, v, v + 1));
    if (V % 2 == 0)
        join_ONE_VALUE(x, shifts, w->half, rows, ENDS(V - 1, V - 1, V - 1, V - 1));
    if (w->p->peak)
        (voted ? join_PEAK_OF_VOTES : join_PEAK)(x, shifts, w->half, rows, ENDS(peak, peak, V, V));
    if (w->p->squares)
        join_SQUARES(x, shifts, w->half, rows, ENDS(squares, squares, V, V));
}

/* --- the sweep along x, ROWS rows and up to SHIFTS shifts (dy, d), (dy, d + 1), .. together ----------------- */

static void sweep(const struct work *w, index_t top, index_t from, index_t to, index_t dy, index_t d, int shifts)
{
    const index_t k = w->block.k, long_k = rounded_up(k), margin = w->nx - 1, line = w->line;
    const index_t deep_query = w->deep_query * w->channels, deep_key = w->deep_key * w->channels;
    const vec *query = w->query, *key = w->key + (d - w->dx0) * deep_key + (dy - w->dy0) * w->channels;
    const int turns = margin <= COLUMNS; /* else the margin is copied to the front at every step */
    vec *before = w->columns + (turns ? COLUMNS - margin : 0), *now = before + margin;
    for (int g = 0; g < shifts; g++)
        sum_columns(w, query, key + g * deep_key, margin, to, before + g * ROWS * line);
    query += margin * deep_query, key += margin * deep_key;
    for (index_t t = 0; t < k; t += COLUMNS, query += COLUMNS * deep_query, key += COLUMNS * deep_key) {
        for (int g = 0; g < shifts; g++) {
            const index_t at = g * ROWS * line;
            vec *weights = w->weights + g * STEP + from * COLUMNS;
            sum_columns(w, query, key + g * deep_key, COLUMNS, to, now + at);
            sum_lines(w, before + at + from * line, now + at + from * line, weights, to - from);
            if (w->bias)
                weigh_by_planes(weights, w->bias + from * long_k + t, w->scale + from * long_k + t, long_k, to - from);
            else
                weigh(weights, (to - from) * COLUMNS, w->p->bias[0] > 0);
            for (index_t i = 0; i < (to - from) * COLUMNS && t + COLUMNS > k; i++)
                if (t + i % COLUMNS >= k)
                    weights[i] = splat(0);
            for (index_t row = 0; row < to && !turns; row++)
                memmove(before + at + row * line, now + at + row * line + COLUMNS - margin, (size_t)margin * sizeof(vec));
        }
        if (turns) {
            before = now + COLUMNS - margin;
            now = now == w->columns ? now + COLUMNS : w->columns;
        }
        const int voted = !all_vote(w, t, d, shifts);
        distribute(w, w->weights + from * COLUMNS, shifts, to - from, voted, (struct spot){top + from, dy, t, d});
    }
}

/* --- loading and storing ---------------------------------------------------------------------------------- */

/* Features of ROWS patches side by side, vector by vector, so that one step reads one piece of memory. */
static void pick_query(const struct work *w, index_t top)
{
    const struct pair *p = w->p;
    index_t count = rounded_up(w->block.k) + w->nx - 1;
    map_columns(w->block, p->W, -p->rx, count, 1, w->map);
    for (index_t c = 0; c < p->C; c++)
        for (index_t r = 0; r < w->deep_query; r++) {
            index_t y = reflect(w->first + top + r - p->ry, p->H);
            load_row(p->query + (c * p->H + y) * p->W, w->map, count, w->gain, w->query + r * p->C + c,
                     w->deep_query * p->C);
        }
}

static void pick_key(const struct work *w, index_t top)
{
    index_t count = w->wide + w->nx - 1, size = w->deep_key * w->channels;
    for (index_t r = 0; r < w->deep_key; r++) {
        const vec *from = w->features + (top + r) * count * w->channels;
        vec *to = w->key + r * w->channels;
        for (index_t t = 0; t < count; t++, to += size)
            for (index_t c = 0; c < w->channels; c++)
                to[c] = *from++;
    }
}

static void load_candidates(const struct work *w, index_t feature_rows, index_t rows)
{
    const struct pair *p = w->p;
    index_t count = w->wide + w->nx - 1;
    map_columns(w->block, p->W, w->dx0 - p->rx, count, 1, w->map);
    for (index_t r = 0; r < feature_rows; r++)
        for (index_t c = 0; c < p->C; c++) {
            index_t y = reflect(w->first + w->dy0 - p->ry + r, p->H);
            load_row(p->key + (c * p->H + y) * p->W, w->map, count, w->gain,
                     w->features + r * count * p->C + c, p->C);
        }
    (void)rows;
}

/* value * vote and vote of some rows; 0 outside the plane */
static void load_values(const struct work *w, const struct view *view, index_t rows, index_t count)
{
    const struct pair *p = w->p;
    map_columns(w->block, p->W, view->t0, count, 0, w->map);
    for (index_t r = 0; r < rows; r++) {
        index_t y = w->first + view->row0 + r;
        vec *vote = at(view, p->V, view->row0 + r, view->t0);
        if (y < 0 || y >= p->H)
            continue; /* never read */
        load_row(p->vote + y * p->W, w->map, count, 1, vote, 1);
        for (index_t v = 0; v < p->V; v++) {
            vec *value = at(view, v, view->row0 + r, view->t0);
            load_row(p->value + (v * p->H + y) * p->W, w->map, count, 1, value, 1);
            for (index_t t = 0; w->holes && t < count; t++)
                value[t] *= vote[t];
        }
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

/* Where sum number s of row y goes: the plane, or below the band the spill. */
static float *target(const struct work *w, index_t s, index_t y)
{
    const struct pair *p = w->p;
    if (y >= w->last)
        return p->spill + (s * least(p->Ry, p->H - w->last) + y - w->last) * p->W;
    float *plane = s < p->V ? p->numerator + s * p->H * p->W : s == p->V ? p->denominator
                   : p->peak && s == p->V + 1                            ? p->peak
                                                                         : p->squares;
    return plane + y * p->W;
}

static void store(const struct work *w, const struct view *view, index_t rows, index_t count)
{
    const struct pair *p = w->p;
    for (index_t s = 0; s < w->sums; s++)
        for (index_t r = view->row0; r < view->row0 + rows; r++)
            if (w->first + r >= 0 && w->first + r < p->H)
                store_row(at(view, s, r, view->t0), w->block, p->W, view->t0, count, p->peak && s == p->V + 1,
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

static int has_holes(const struct pair *p)
{
    for (index_t i = 0; i < p->H * p->W; i++)
        if (p->vote[i] != 1)
            return 1;
    return 0;
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
    index_t band = w->last - w->first, k = rounded_up(w->block.k), rows = band + w->dy1 - w->dy0;
    index_t slack = ROWS; /* the last step of a band may have fewer rows */
    w->features = carve(a, (rows + w->ny - 1 + slack) * (w->wide + w->nx - 1) * p->C);
    w->query = carve(a, (k + w->nx - 1) * w->deep_query * p->C);
    w->key = carve(a, (w->wide + w->nx - 1) * w->deep_key * p->C);
    w->taps_y = carve(a, w->ny), w->taps_x = carve(a, w->nx);
    int planes = p->bias_is_plane || p->scale_is_plane;
    w->bias = planes ? carve(a, ROWS * k) : NULL;
    w->scale = planes ? carve(a, ROWS * k) : NULL;
    w->columns = carve(a, SHIFTS * ROWS * w->line);
    w->weights = carve(a, SHIFTS * STEP);
    w->map = (int *)carve(a, w->wide + w->nx - 1);
    struct view theirs = {NULL, rows * w->wide, w->wide, w->dy0, w->dx0}, mine = {NULL, band * k, k, 0, 0};
    w->values = w->totals = theirs;
    w->own_values = w->own_totals = mine;
    w->values.first = carve(a, (p->V + 1) * theirs.plane);
    if (w->half) {
        w->totals.first = carve(a, w->sums * theirs.plane);
        if (w->central)
            w->own_values = w->values, w->own_totals = w->totals;
        else
            w->own_values.first = carve(a, (p->V + 1) * mine.plane);
    }
    if (!w->half || !w->central)
        w->own_totals.first = carve(a, w->sums * mine.plane);
}

static void run_rectangle(const struct work *w)
{
    const struct pair *p = w->p;
    index_t band = w->last - w->first, rows = band + w->dy1 - w->dy0;
    for (index_t o = 0; o < w->ny; o++)
        w->taps_y[o] = splat(p->taps_y[o]);
    for (index_t o = 0; o < w->nx; o++)
        w->taps_x[o] = splat(p->taps_x[o]);
    load_candidates(w, rows + w->ny - 1 + ROWS, rows);
    load_values(w, &w->values, rows, w->wide);
    if (w->half && !w->central)
        load_values(w, &w->own_values, band, rounded_up(w->block.k));
    if (w->half)
        memset(w->totals.first, 0, sizeof(vec) * (size_t)(w->sums * w->totals.plane));
    if (!w->half || !w->central)
        memset(w->own_totals.first, 0, sizeof(vec) * (size_t)(w->sums * w->own_totals.plane));
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
                continue;
            for (index_t steps = (left + SHIFTS - 1) / SHIFTS, d = dx0; steps; steps--) {
                index_t shifts = (left + steps - 1) / steps, zero = !w->half && p->own && dy == 0 ? 0 : w->dx1 + 1;
                if (d <= zero && zero < d + shifts) /* the pixel itself is the caller's */
                    zero == d ? (void)0 : sweep(w, top, from, to, dy, d, (int)(zero - d)),
                        zero == d + shifts - 1 ? (void)0
                                               : sweep(w, top, from, to, dy, zero + 1, (int)(d + shifts - 1 - zero));
                else
                    sweep(w, top, from, to, dy, d, (int)shifts);
                d += shifts, left -= shifts;
            }
        }
    }
    if (w->half)
        store(w, &w->totals, rows, w->block.k + w->dx1 - w->dx0);
    if (!w->half || !w->central)
        store(w, &w->own_totals, band, w->block.k);
}

static void clear_band(const struct work *w)
{
    for (index_t s = 0; s < w->sums; s++)
        memset(target(w, s, w->first), 0, sizeof(float) * (size_t)((w->last - w->first) * w->p->W));
}

enum { MOST_VECTORS = 128, MOST_SHIFTS = 65 };

int NLM_BAND(const struct pair *pair, index_t first, index_t last)
{
    struct pair p = *pair;
    p.Ry = least(p.Ry, p.H - 1), p.Rx = least(p.Rx, p.W - 1);
    struct work w = {.p = &p, .first = first, .last = last, .channels = p.C};
    index_t blocks = (p.W + LANES * MOST_VECTORS - 1) / (LANES * MOST_VECTORS);
    w.block.k = (p.W + LANES * blocks - 1) / (LANES * blocks);
    w.ny = 2 * p.ry + 1, w.nx = 2 * p.rx + 1;
    w.line = most(2 * COLUMNS, COLUMNS + w.nx - 1);
    w.sums = p.V + 1 + (p.peak != NULL) + (p.squares != NULL);
    w.half = p.own && !p.bias_is_plane && !p.scale_is_plane;
    w.holes = has_holes(&p);
    w.tapped_y = !equal_taps(p.taps_y, w.ny), w.tapped_x = !equal_taps(p.taps_x, w.nx);
    w.gain = sqrtf((p.scale_is_plane ? 1 : p.scale[0]) * (w.tapped_y ? 1 : p.taps_y[0]) *
                   (w.tapped_x ? 1 : p.taps_x[0]));
    clear_band(&w);
    for (index_t dy0 = w.half ? 0 : -p.Ry; dy0 <= p.Ry; dy0 = w.dy1 + 1) {
        w.dy0 = dy0, w.dy1 = least(p.Ry, dy0 + MOST_SHIFTS - 1);
        for (index_t dx0 = -p.Rx; dx0 <= p.Rx; dx0 = w.dx1 + 1) {
            w.dx0 = dx0, w.dx1 = least(p.Rx, dx0 + MOST_SHIFTS - 1);
            w.wide = rounded_up(w.block.k) + w.dx1 - w.dx0;
            w.central = w.dy0 == 0 && w.dx0 <= 0 && w.dx1 >= 0;
            w.deep_query = ROWS - 1 + w.ny, w.deep_key = w.deep_query + w.dy1 - w.dy0;
            struct arena a = {NULL, 0};
            carve_all(&w, &a);
            char *memory = malloc(a.used + 64);
            if (!memory)
                return -1;
            a.memory = memory + (64 - (size_t)memory % 64) % 64, a.used = 0;
            carve_all(&w, &a);
            for (index_t b = 0; b < blocks && !*p.stop; b++) {
                w.block.x0 = b * LANES * w.block.k;
                run_rectangle(&w);
            }
            free(memory);
        }
    }
    return 0;
}
