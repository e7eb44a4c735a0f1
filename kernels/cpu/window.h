/* accumulate, for one instruction set (included by the files that choose one).
 * HEADER TODO */
#include "nlm.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lanes.h"
#include "patch.h"
#include "tile.h"

/* Planes in lanes: element (plane, row of the band, t) of the block at hand. */
struct view {
    vec *at;
    index_t plane, row;  /* strides */
    index_t row0, t0;    /* what `at` points to */
};

INLINE vec *spot(const struct view *v, index_t plane, index_t row, index_t t)
{
    return v->at + plane * v->plane + (row - v->row0) * v->row + (t - v->t0);
}

/* A band against one rectangle of shifts, in one block of columns. */
struct work {
    const struct pair *p;
    index_t first, last;        /* rows of the band */
    struct block block;
    index_t dy0, dy1, dx0, dx1; /* shifts, the last included */
    index_t ny, nx;             /* patch sizes */
    index_t channels, rows_deep;/* rows_deep: rows of features for ROWS patches */
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
    const index_t stride = COLUMNS + w->nx - 1, deep = w->rows_deep * channels;
    for (index_t t = 0; t < count; t++, a += deep, b += deep)
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

INLINE void line_of(const struct work *w, const vec *terms, int outputs, int tapped, vec start, vec *sums)
{
    for (int i = 0; i < COLUMNS; i += outputs)
        if (tapped)
            tap_line(terms + i, w->taps_x, w->nx, outputs, start, sums + i);
        else
            box_line(terms + i, w->nx, outputs, start, sums + i);
}

static void sum_line(const struct work *w, const vec *terms, vec start, vec *sums)
{
    if (w->nx >= 7)
        w->tapped_x ? line_of(w, terms, 8, 1, start, sums) : line_of(w, terms, 8, 0, start, sums);
    else if (w->nx >= 3)
        w->tapped_x ? line_of(w, terms, 4, 1, start, sums) : line_of(w, terms, 4, 0, start, sums);
    else
        line_of(w, terms, 2, 0, start, sums);
}

static void weigh(vec *sums, int biased)
{
    if (biased)
        for (int t = 0; t < COLUMNS; t++)
            sums[t] = exp2_of_minus(most_of(sums[t], splat(0)));
    else
        for (int t = 0; t < COLUMNS; t++)
            sums[t] = exp2_of_minus(sums[t]);
}

static void weigh_by_planes(vec *sums, const vec *bias, const vec *scale, index_t count)
{
    for (index_t t = 0; t < count; t++)
        sums[t] = exp2_of_minus(most_of(scale[t] * sums[t] - bias[t], splat(0)));
}

/* --- weights to sums: shift g of the step is d0 + g, its weights w[g * ROWS * COLUMNS + t] --------------- */

enum { STEP = ROWS * COLUMNS };

/* own[t] += sum_g w_g[t] theirs[t + g], and the same with 1 or the votes */
INLINE void forward(const vec *w, int shifts, int count, const vec *value, const vec *vote, vec *numerator,
                    vec *denominator)
{
    for (int t = 0; t < count; t++) {
        vec n = numerator[t], d = denominator[t];
        for (int g = 0; g < shifts; g++) {
            vec x = w[g * STEP + t];
            n += x * value[t + g];
            d += vote ? x * vote[t + g] : x;
        }
        numerator[t] = n, denominator[t] = d;
    }
}

/* theirs[t + g] += w_g[t] own[t], and the same with 1 or the votes */
INLINE void backward(const vec *w, int shifts, int count, const vec *value, const vec *vote, vec *numerator,
                     vec *denominator)
{
    vec n[SHIFTS], d[SHIFTS];
    for (int g = 0; g < shifts; g++)
        n[g] = d[g] = splat(0);
    for (int t = 0; t < count; t++) {
        for (int g = 0; g < shifts; g++) {
            vec x = w[g * STEP + t];
            n[g] += x * value[t];
            d[g] += vote ? x * vote[t] : x;
        }
        numerator[t] += n[0], denominator[t] += d[0];
        for (int g = 0; g + 1 < shifts; g++)
            n[g] = n[g + 1], d[g] = d[g + 1];
        n[shifts - 1] = d[shifts - 1] = splat(0);
    }
    for (int g = 0; g + 1 < shifts; g++)
        numerator[count + g] += n[g], denominator[count + g] += d[g];
}

INLINE void both(const struct work *w, const vec *x, int shifts, int count, int voted, index_t row, index_t dy, index_t t,
                 index_t d)
{
    const struct pair *p = w->p;
    const vec *vote = voted ? spot(&w->values, p->V, row + dy, t + d) : NULL;
    forward(x, shifts, count, spot(&w->values, 0, row + dy, t + d), vote, spot(&w->own_totals, 0, row, t),
            spot(&w->own_totals, p->V, row, t));
    if (!w->half)
        return;
    vote = voted ? spot(&w->own_values, p->V, row, t) : NULL;
    backward(x, shifts, count, spot(&w->own_values, 0, row, t), vote, spot(&w->totals, 0, row + dy, t + d),
             spot(&w->totals, p->V, row + dy, t + d));
}

/* The rest: further values, the peak and the squares, without hurry. */
static void others(const struct work *w, const vec *x, int shifts, int count, index_t row, index_t dy, index_t t,
                   index_t d)
{
    const struct pair *p = w->p;
    for (int g = 0; g < shifts; g++, x += STEP, d++)
        for (index_t v = 1; v < w->sums; v++) {
            index_t from = v < p->V ? v : p->V; /* peak and squares want the votes */
            int peak = p->peak && v == p->V + 1, square = v > p->V && !peak;
            for (int back = 0; back <= w->half && v != p->V; back++) {
                vec *sum = back ? spot(&w->totals, v, row + dy, t + d) : spot(&w->own_totals, v, row, t);
                const vec *value = back ? spot(&w->own_values, from, row, t) : spot(&w->values, from, row + dy, t + d);
                for (int i = 0; i < count; i++) {
                    vec m = x[i] * value[i];
                    sum[i] = peak ? most_of(sum[i], m) : sum[i] + (square ? m * m : m);
                }
            }
        }
}

/* Are all lanes' pixels and candidates of this step inside the plane, and all votes 1? */
static int all_vote(const struct work *w, index_t t, index_t count, index_t d, int shifts)
{
    index_t left = w->block.x0 + t + (d < 0 ? d : 0);
    index_t right = w->block.x0 + (LANES - 1) * w->block.k + t + count - 1 + most(0, d + shifts - 1);
    return !w->holes && left >= 0 && right < w->p->W;
}

static void distribute(const struct work *w, const vec *x, int shifts, int count, int voted, index_t row, index_t dy,
                       index_t t, index_t d)
{
#define BOTH(shifts)                                                  \
    (count < COLUMNS ? both(w, x, shifts, count, 1, row, dy, t, d)     \
     : voted         ? both(w, x, shifts, COLUMNS, 1, row, dy, t, d)   \
                     : both(w, x, shifts, COLUMNS, 0, row, dy, t, d))
    if (shifts == 4)
        BOTH(4);
    else if (shifts == 3)
        BOTH(3);
    else if (shifts == 2)
        BOTH(2);
    else
        BOTH(1);
    if (w->sums > 2)
        others(w, x, shifts, count, row, dy, t, d);
}

/* --- the sweep along x, ROWS rows and up to SHIFTS shifts (dy, d), (dy, d + 1), .. together ----------------- */

static void sweep(const struct work *w, index_t top, index_t from, index_t to, index_t dy, index_t d, int shifts)
{
    const index_t k = w->block.k, deep = w->rows_deep * w->channels, margin = w->nx - 1, line = COLUMNS + margin;
    const vec *query = w->query, *key = w->key + (d - w->dx0) * deep;
    const int planes = w->bias || w->scale;
    const vec start = splat(planes ? 0 : -w->p->bias[0]);
    for (int g = 0; g < shifts; g++)
        sum_columns(w, query, key + g * deep, margin, to, w->columns + g * ROWS * line);
    query += margin * deep, key += margin * deep;
    for (index_t t = 0; t < k; t += COLUMNS, query += COLUMNS * deep, key += COLUMNS * deep) {
        const int count = (int)least(COLUMNS, k - t);
        for (int g = 0; g < shifts; g++) {
            vec *columns = w->columns + g * ROWS * line, *weights = w->weights + g * STEP;
            sum_columns(w, query, key + g * deep, count, to, columns + margin);
            for (index_t row = from; row < to; row++) {
                vec *terms = columns + row * line, *x = weights + row * COLUMNS;
                sum_line(w, terms, start, x);
                memmove(terms, terms + COLUMNS, (size_t)margin * sizeof(vec));
                if (planes)
                    weigh_by_planes(x, w->bias + row * k + t, w->scale + row * k + t, count);
                else
                    weigh(x, w->p->bias[0] > 0);
            }
        }
        int voted = !all_vote(w, t, count, d, shifts);
        for (index_t row = from; row < to; row++)
            distribute(w, w->weights + row * COLUMNS, shifts, count, voted, top + row, dy, t, d);
    }
}

/* --- loading and storing ---------------------------------------------------------------------------------- */

/* Features of ROWS patches side by side, vector by vector, so that one step reads one piece of memory. */
static void pick_query(const struct work *w, index_t top)
{
    const struct pair *p = w->p;
    index_t count = w->block.k + w->nx - 1, deep = w->rows_deep * w->channels;
    map_columns(w->block, p->W, -p->rx, count, 1, w->map);
    for (index_t c = 0; c < p->C; c++)
        for (index_t r = 0; r < w->rows_deep; r++) {
            index_t y = reflect(w->first + top + r - p->ry, p->H);
            load_row(p->query + (c * p->H + y) * p->W, w->map, count, w->gain, w->query + r * w->channels + c, deep);
        }
}

static void pick_key(const struct work *w, index_t top, index_t dy)
{
    index_t count = w->wide + w->nx - 1, deep = w->rows_deep * w->channels;
    for (index_t r = 0; r < w->rows_deep; r++) {
        const vec *from = w->features + (top + dy - w->dy0 + r) * count * w->channels;
        for (index_t t = 0; t < count; t++)
            for (index_t c = 0; c < w->channels; c++)
                w->key[t * deep + r * w->channels + c] = from[t * w->channels + c];
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
        vec *vote = spot(view, p->V, view->row0 + r, view->t0);
        if (y < 0 || y >= p->H)
            continue; /* never read */
        load_row(p->vote + y * p->W, w->map, count, 1, vote, 1);
        for (index_t v = 0; v < p->V; v++) {
            vec *value = spot(view, v, view->row0 + r, view->t0);
            load_row(p->value + (v * p->H + y) * p->W, w->map, count, 1, value, 1);
            for (index_t t = 0; w->holes && t < count; t++)
                value[t] *= vote[t];
        }
    }
}

static void load_planes(const struct work *w, index_t top)
{
    const struct pair *p = w->p;
    map_columns(w->block, p->W, 0, w->block.k, 1, w->map);
    for (index_t r = 0; r < ROWS; r++) {
        index_t y = least(w->first + top + r, p->H - 1) * p->W, at = r * w->block.k;
        for (index_t t = 0; t < w->block.k; t++)
            w->bias[at + t] = splat(p->bias[0]), w->scale[at + t] = splat(1); /* a number is in the gain */
        if (p->bias_is_plane)
            load_row(p->bias + y, w->map, w->block.k, 1, w->bias + at, 1);
        if (p->scale_is_plane)
            load_row(p->scale + y, w->map, w->block.k, 1, w->scale + at, 1);
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
                store_row(spot(view, s, r, view->t0), w->block, p->W, view->t0, count, p->peak && s == p->V + 1,
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
    index_t band = w->last - w->first, k = w->block.k, rows = band + w->dy1 - w->dy0, deep = w->rows_deep * p->C;
    index_t slack = ROWS; /* the last step of a band may have fewer rows */
    w->features = carve(a, (rows + w->ny - 1 + slack) * (w->wide + w->nx - 1) * p->C);
    w->query = carve(a, (k + w->nx - 1) * deep);
    w->key = carve(a, (w->wide + w->nx - 1) * deep);
    w->taps_y = carve(a, w->ny), w->taps_x = carve(a, w->nx);
    int planes = p->bias_is_plane || p->scale_is_plane;
    w->bias = planes ? carve(a, ROWS * k) : NULL;
    w->scale = planes ? carve(a, ROWS * k) : NULL;
    w->columns = carve(a, SHIFTS * ROWS * (COLUMNS + w->nx - 1));
    w->weights = carve(a, SHIFTS * STEP);
    w->map = (int *)carve(a, w->wide + w->nx - 1);
    struct view theirs = {NULL, rows * w->wide, w->wide, w->dy0, w->dx0}, mine = {NULL, band * k, k, 0, 0};
    w->values = w->totals = theirs;
    w->own_values = w->own_totals = mine;
    w->values.at = carve(a, (p->V + 1) * theirs.plane);
    if (w->half) {
        w->totals.at = carve(a, w->sums * theirs.plane);
        if (w->central)
            w->own_values = w->values, w->own_totals = w->totals;
        else
            w->own_values.at = carve(a, (p->V + 1) * mine.plane);
    }
    if (!w->half || !w->central)
        w->own_totals.at = carve(a, w->sums * mine.plane);
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
        load_values(w, &w->own_values, band, w->block.k);
    if (w->half)
        memset(w->totals.at, 0, sizeof(vec) * (size_t)(w->sums * w->totals.plane));
    if (!w->half || !w->central)
        memset(w->own_totals.at, 0, sizeof(vec) * (size_t)(w->sums * w->own_totals.plane));
    for (index_t top = 0; top < band; top += ROWS) {
        pick_query(w, top);
        if (w->bias)
            load_planes(w, top);
        for (index_t dy = w->dy0; dy <= w->dy1 && !*p->stop; dy++) {
            index_t y = w->first + top + dy;
            index_t from = most(0, -y), to = least(least(ROWS, band - top), p->H - y);
            index_t dx0 = w->half && dy == 0 ? most(w->dx0, 1) : w->dx0, left = w->dx1 - dx0 + 1;
            if (from >= to || left <= 0)
                continue;
            pick_key(w, top, dy);
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
        store(w, &w->totals, rows, w->wide);
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
    w.ny = 2 * p.ry + 1, w.nx = 2 * p.rx + 1, w.rows_deep = ROWS - 1 + w.ny;
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
            w.wide = w.block.k + w.dx1 - w.dx0;
            w.central = w.dy0 == 0 && w.dx0 <= 0 && w.dx1 >= 0;
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
