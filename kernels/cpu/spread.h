/* The reference's _spread, and the _add after it: normalised weights spread over the patch around their pixel.
 *
 *     p(i, s) = w(i, s) normaliser_i, B_s(x) = sum_o a(o) p(x - o, s), j = x + s;
 *     totals of x += B_s(x) (value_j - value_x)
 *
 * Sums of p along x are kept up to date: one p comes, one goes; what rounding leaves behind is 6e-8 of a weight, for
 * all p of a pixel together are 1.  Where a value is so far from all others that this shows (`anew`), they are made anew.
 * Down the rows of the patches they add up to B only as they go to the totals: every row takes the part of B that this
 * step has, times its difference of values.  Where half of the shifts are enough, p of the candidates go to their
 * patches as well (`back`); both sides go at a time, since one difference of values serves both.  Per pair and side,
 * r = 3: 7 loads, 3 stores, 6.8 operations.
 *
 * The denominator is known where some pixels and all of the patches around them lie inside the plane and vote: a weight
 * counts with every pixel of its patch, so it is the sum of the weight sums around (aggregate.h).  Where there are
 * gaps, what meets no vote is taken off: `missing` is one more plane of values.
 */
#ifndef NLM_SPREAD_H
#define NLM_SPREAD_H

#include "weights.h"
#include "work.h"

/* p of one side of some shifts' pairs, spread into the totals of that side, times the values of the other less those of
 * this one. */
struct spread {
    index_t first, end;    /* shifts number first..end-1 of the run */
    index_t t;             /* vectors from here on */
    const vec *weights;    /* [shifts][STEP] */
    const vec *normaliser; /* of this side */
    const vec *missing;    /* of the other: vote - 1, so that p vote = p + p missing */
    const vec *value;      /* of the other, .. */
    vec *total;            /* .. and totals of this side, both from the first row and column of the patches on */
    index_t own;           /* from a total to the value of the same pixel, in bytes: one pointer less to move */
    vec *history;          /* [shifts][nx + 1][ROWS] the last nx columns of p, in turn, and their sums along x */
    index_t value_row, value_plane, row, plane; /* strides of the other side, missing included, and of this one */
    index_t moves, other_moves; /* vectors from shift to shift: the candidates' side 1, the pixels' 0 */
};

/* The sums that a part of B goes to: of V differences and, where there are gaps, the denominator. */
struct added {
    index_t V;
    int gaps;
};

INLINE void move_rows(struct spread *s, index_t rows)
{
    s->value += rows * s->value_row;
    s->total += rows * s->row;
}

INLINE void move_column(struct spread *s)
{
    s->normaliser++;
    s->missing++;
    s->value++;
    s->total++;
}

/* Shift number g of the run. */
INLINE struct spread of_shift(const struct spread *all, index_t g, index_t nx)
{
    struct spread s = *all;
    s.normaliser += g * s.moves;
    s.total += g * s.moves;
    s.missing += g * s.other_moves;
    s.value += g * s.other_moves;
    s.history += g * (nx + 1) * ROWS;
    return s;
}

/* --- along x ------------------------------------------------------------------------------------------------- */

/* The next column of p takes the place of the oldest one and, in box patches, its place in the sums along x. */
INLINE void next_p(const struct spread *s, const vec *weights, vec *oldest, vec *sums, int box, int gaps)
{
    const vec *normaliser = s->normaliser, *missing = s->missing;
    UNROLL for (int i = 0; i < ROWS; i++) {
        vec p = weights[i * COLUMNS] * *normaliser;
        normaliser += s->row;
        HOLD_ADDRESS(normaliser);
        if (gaps) {
            p += p * *missing;
            missing += s->value_row;
            HOLD_ADDRESS(missing);
        }
        if (box)
            sums[i] += p - oldest[i];
        oldest[i] = p;
    }
}

/* Sums along x from the history, whose oldest column is number `turn`. */
INLINE void tapped_sums_of_p(const struct work *w, const struct spread *s, index_t turn, vec *sums)
{
    const index_t nx = w->nx;
    UNROLL for (int i = 0; i < ROWS; i++)
        sums[i] = splat(0);
    for (index_t o = 0; o < nx; o++) {
        const vec tap = w->taps_x[o], *p = s->history + (turn + o < nx ? turn + o : turn + o - nx) * ROWS;
        UNROLL for (int i = 0; i < ROWS; i++)
            sums[i] += tap * p[i];
    }
}

/* --- along y ------------------------------------------------------------------------------------------------- */

/* B, or a part of it, times each difference of a row; then on to a row below (1) or above (-1). */
INLINE void add_part(struct spread *s, vec B, struct added to, int down)
{
    vec counted = B;
    if (to.gaps) {
        const vec without = B * s->value[to.V * s->value_plane];
        s->total[to.V * s->plane] += without;
        counted += without;
    }
    const vec *value = s->value;
    vec *total = s->total;
    for (index_t v = 0; v < to.V; v++) {
        if (v) {
            value += s->value_plane;
            total += s->plane;
            HOLD_ADDRESS(value);
            HOLD_ADDRESS(total);
        }
        *total += counted * (*value - *(const vec *)((const char *)total + s->own));
    }
    move_rows(s, down);
    HOLD_ADDRESS(s->value);
    HOLD_ADDRESS(s->total);
}

/* Sums along x of `sources` neighbouring rows: all of them reach the rows in the middle of their patches, ever fewer
 * those above and below.  Needs n >= sources - 1. */
INLINE void spread_box_y(struct spread s, const vec *sums, index_t n, int sources, struct added to)
{
    for (int first = 0; first < ROWS; first += sources) {
        struct spread row = s;
        vec B = sums[0];
        for (int i = 0; i < sources && i < n; i++) {
            if (i)
                B += sums[i];
            add_part(&row, B, to, 1);
        }
        for (index_t i = sources; i < n; i++)
            add_part(&row, B, to, 1);
        move_rows(&row, sources - 2); /* the last row that one of them reaches, and up from there */
        B = sums[sources - 1];
        for (int i = sources - 1; i > 0; i--) {
            if (i < sources - 1)
                B += sums[i];
            add_part(&row, B, to, -1);
        }
        sums += sources;
        move_rows(&s, sources);
    }
}

/* Row i takes the sums i - n + 1 .. i, as far as there are; taps[0 .. n / 2] are symmetric. */
INLINE void spread_tapped_y(struct spread s, const vec *sums, const vec *taps, index_t n, struct added to)
{
    UNROLL for (index_t i = 0; i < ROWS + n - 1; i++) {
        const index_t first = i < n ? 0 : i - n + 1;
        vec B = taps[least(i - first, n - 1 - i + first)] * sums[first];
        UNROLL for (index_t o = first + 1; o <= i && o < ROWS; o++)
            B += taps[least(i - o, n - 1 - i + o)] * sums[o];
        add_part(&s, B, to, 1);
    }
}

/* --- a loop for each patch size and number of planes --------------------------------------------------------- */

/* `sources`: rows whose sums go down together; 0: taps that differ. */
INLINE void spread_shifts(const struct work *w, const struct spread *all, index_t ny, int sources, struct added to)
{
    const index_t nx = w->nx, columns = least(COLUMNS, w->stripe.length + nx - 1 - all->t);
    for (index_t g = all->first; g < all->end; g++) {
        struct spread s = of_shift(all, g, nx);
        const vec *weights = all->weights + g * STEP;
        vec sums[ROWS], *kept = s.history + nx * ROWS;
        UNROLL for (int i = 0; i < ROWS; i++)
            sums[i] = kept[i];
        index_t turn = all->t % nx;
        for (index_t c = 0; c < columns; c++) {
            next_p(&s, weights + c, s.history + turn * ROWS, sums, sources > 0, to.gaps);
            turn = turn + 1 == nx ? 0 : turn + 1;
            if (sources) {
                spread_box_y(s, sums, ny, sources, to);
            } else {
                tapped_sums_of_p(w, &s, turn, sums);
                spread_tapped_y(s, sums, w->taps_y, ny, to);
            }
            move_column(&s);
        }
        UNROLL for (int i = 0; i < ROWS; i++)
            kept[i] = sums[i];
    }
}

#define SIZE(n, sources)                                                                                               \
    case n:                                                                                                            \
        spread_shifts(w, s, n, sources, to);                                                                           \
        break;
INLINE void spread_sizes(const struct work *w, const struct spread *s, struct added to)
{
    if (spread_by_taps(w))
        switch (w->ny) {
            SIZE(3, 0)
            SIZE(5, 0)
            SIZE(7, 0)
            SIZE(9, 0)
        default:
            spread_shifts(w, s, w->ny, 0, to);
        }
    else
        switch (w->ny) {
            SIZE(1, 1)
            SIZE(3, 4)
            SIZE(5, 4)
            SIZE(7, 8)
        default:
            spread_shifts(w, s, w->ny, 8, to);
        }
}
#undef SIZE

#define EACH_ADDED(X)                                                                                                  \
    X(spread_1, 1, 0)                                                                                                  \
    X(spread_1_with_gaps, 1, 1)                                                                                        \
    X(spread_3, 3, 0)                                                                                                  \
    X(spread_any, w->pair->V, 1) /* where all vote, missing is 0 */
#define SPREAD(name, V, gaps)                                                                                          \
    static void name(const struct work *w, const struct spread *s) { spread_sizes(w, s, (struct added){V, gaps}); }
EACH_ADDED(SPREAD)

static void spread_some(const struct work *w, const struct spread *s, int gaps)
{
    const index_t V = w->pair->V;
    if (V == 1 && gaps)
        spread_1_with_gaps(w, s);
    else if (V == 1)
        spread_1(w, s);
    else if (V == 3 && !gaps)
        spread_3(w, s);
    else
        spread_any(w, s);
}

/* --- both sides at a time ------------------------------------------------------------------------------------ */

/* A pixel i and its candidate j in their totals, which move together; values lie so many bytes from them. */
struct both {
    vec *i, *j;
    index_t value_i, value_j, row_i, row_j, plane_i, plane_j;
};

INLINE vec value_of(const vec *total, index_t bytes) { return *(const vec *)((const char *)total + bytes); }

INLINE void move_both(struct both *s, index_t rows)
{
    s->i += rows * s->row_i;
    s->j += rows * s->row_j;
    HOLD_ADDRESS(s->i);
    HOLD_ADDRESS(s->j);
}

/* add_part for two: a difference of values serves both sides, B of the pixels and C of the candidates. */
INLINE void add_to_both(struct both *s, vec B, vec C, index_t V, int down)
{
    vec *i = s->i, *j = s->j;
    for (index_t v = 0; v < V; v++) {
        if (v) {
            i += s->plane_i;
            j += s->plane_j;
            HOLD_ADDRESS(i);
            HOLD_ADDRESS(j);
        }
        const vec difference = value_of(j, s->value_j) - value_of(i, s->value_i);
        *i += B * difference;
        *j -= C * difference;
    }
    move_both(s, down);
}

/* spread_box_y for two. */
INLINE void spread_both_box_y(struct both s, const vec *b, const vec *c, index_t n, int sources, index_t V)
{
    for (int first = 0; first < ROWS; first += sources) {
        struct both row = s;
        vec B = b[0], C = c[0];
        for (int i = 0; i < sources && i < n; i++) {
            if (i) {
                B += b[i];
                C += c[i];
            }
            add_to_both(&row, B, C, V, 1);
        }
        for (index_t i = sources; i < n; i++)
            add_to_both(&row, B, C, V, 1);
        move_both(&row, sources - 2);
        B = b[sources - 1];
        C = c[sources - 1];
        for (int i = sources - 1; i > 0; i--) {
            if (i < sources - 1) {
                B += b[i];
                C += c[i];
            }
            add_to_both(&row, B, C, V, -1);
        }
        b += sources;
        c += sources;
        move_both(&s, sources);
    }
}

/* spread_shifts for box patches without gaps, from the pixels (own) and the candidates (back). */
INLINE void spread_both_shifts(const struct work *w, const struct spread *own, const struct spread *back, index_t ny,
                               int sources, index_t V)
{
    const index_t nx = w->nx, columns = least(COLUMNS, w->stripe.length + nx - 1 - own->t);
    for (index_t g = own->first; g < own->end; g++) {
        struct spread i = of_shift(own, g, nx), j = of_shift(back, g, nx);
        const vec *weights = own->weights + g * STEP;
        vec b[ROWS], c[ROWS], *kept_b = i.history + nx * ROWS, *kept_c = j.history + nx * ROWS;
        UNROLL for (int r = 0; r < ROWS; r++) {
            b[r] = kept_b[r];
            c[r] = kept_c[r];
        }
        index_t turn = own->t % nx;
        for (index_t column = 0; column < columns; column++) {
            next_p(&i, weights + column, i.history + turn * ROWS, b, 1, 0);
            next_p(&j, weights + column, j.history + turn * ROWS, c, 1, 0);
            turn = turn + 1 == nx ? 0 : turn + 1;
            const struct both s = {i.total, j.total, i.own, j.own, i.row, j.row, i.plane, j.plane};
            spread_both_box_y(s, b, c, ny, sources, V);
            move_column(&i);
            move_column(&j);
        }
        UNROLL for (int r = 0; r < ROWS; r++) {
            kept_b[r] = b[r];
            kept_c[r] = c[r];
        }
    }
}

#define SIZE(n, sources)                                                                                               \
    case n:                                                                                                            \
        spread_both_shifts(w, own, back, n, sources, V);                                                               \
        break;
INLINE void spread_both_sizes(const struct work *w, const struct spread *own, const struct spread *back, index_t V)
{
    switch (w->ny) {
        SIZE(1, 1)
        SIZE(3, 4)
        SIZE(5, 4)
        SIZE(7, 8)
    default:
        spread_both_shifts(w, own, back, w->ny, 8, V);
    }
}
#undef SIZE

static void spread_both(const struct work *w, const struct spread *own, const struct spread *back)
{
    if (w->pair->V == 1)
        spread_both_sizes(w, own, back, 1);
    else if (w->pair->V == 3)
        spread_both_sizes(w, own, back, 3);
    else
        spread_both_sizes(w, own, back, w->pair->V);
}

/* --- the sides of the pairs ---------------------------------------------------------------------------------- */

/* Does the other side of shift number g's pairs, with the patches around it, miss a vote or leave the plane? */
static int has_gaps(const struct work *w, const struct step *s, index_t g, int back)
{
    const struct pair *p = w->pair;
    const struct side other = back ? own_side(w, s, 0) : other_side(w, s, 0, g);
    const index_t top = w->band->first + other.row - p->ry;
    return top < 0 || top + ROWS + w->ny - 1 > p->H || !all_vote(w, other.t - p->rx, other.t + COLUMNS);
}

/* All shifts of a step in plane b, from the pixels' side or (back) from the candidates'. */
static struct spread spread_of_step(const struct work *w, const struct step *s, index_t b, int back)
{
    const index_t V = w->pair->V, ry = w->pair->ry, rx = w->pair->rx;
    const index_t past = s->t < w->stripe.length ? 0 : s->t; /* lanes have ended: weights are 0, and any normaliser
                                                              * and vote will do */
    const struct side pixels = own_side(w, s, b), candidates = other_side(w, s, b, 0);
    const struct side mine = back ? candidates : pixels, other = back ? pixels : candidates;
    const char *own = (const char *)at(mine.values, mine.first_value, mine.row, mine.t);
    return (struct spread){
        .t = s->t,
        .weights = w->weights + b * s->run.shifts * STEP,
        .normaliser = at(mine.values, mine.first_value + V + 1, mine.row, mine.t - past),
        .missing = at(other.values, other.first_value + V, other.row, other.t - past),
        .value = at(other.values, other.first_value, other.row - ry, other.t - rx),
        .total = at(mine.totals, mine.first_total, mine.row - ry, mine.t - rx),
        .own = own - (const char *)at(mine.totals, mine.first_total, mine.row, mine.t),
        .history = w->p + (b * (1 + w->both) + back) * s->run.shifts * w->p_columns * ROWS,
        .value_row = other.values->row,
        .value_plane = other.values->plane,
        .row = mine.totals->row,
        .plane = mine.totals->plane,
        .moves = back,
        .other_moves = !back,
    };
}

/* The sides of shift number g whose other side has gaps: bit 0 the pixels', bit 1 the candidates'. */
static int sides_with_gaps(const struct work *w, const struct step *s, index_t g)
{
    return has_gaps(w, s, g, 0) | (w->both && has_gaps(w, s, g, 1)) << 1;
}

/* The weights of a step in plane b: shifts without gaps to both sides at a time, others to one after the other. */
static void spread(const struct work *w, const struct step *s, index_t b)
{
    const index_t shifts = s->run.shifts;
    struct spread sides[2] = {spread_of_step(w, s, b, 0)};
    if (w->both)
        sides[1] = spread_of_step(w, s, b, 1);
    for (index_t g = 0, end; g < shifts; g = end) {
        const int gaps = sides_with_gaps(w, s, g);
        for (end = g + 1; end < shifts && sides_with_gaps(w, s, end) == gaps;)
            end++;
        for (int back = 0; back <= w->both; back++) {
            sides[back].first = g;
            sides[back].end = end;
        }
        if (w->both && !gaps && !spread_by_taps(w)) {
            spread_both(w, &sides[0], &sides[1]);
            continue;
        }
        for (int back = 0; back <= w->both; back++)
            spread_some(w, &sides[back], gaps >> back & 1);
    }
}

#endif
