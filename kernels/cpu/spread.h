/* The reference's _spread, and the _add after it: normalised weights spread over the patch around their pixel.
 *
 *     p(i, s) = w(i, s) normaliser_i, B_s(x) = sum_o a(o) p(x - o, s), j = x + s;
 *     totals of x += B_s(x) (value_j - value_x)
 *
 * Sums of p along x are kept up to date: one p comes, one goes; what rounding leaves behind is 6e-8 of a weight, for
 * all p of a pixel together are 1.  Where a value is so far from all others that this shows (`anew`), they are made anew.
 * Down the rows of the patches they add up to B only as they go to the totals: every row takes the part of B that this
 * step has, times its difference of values.  Where half of the shifts are enough, p of the candidates go to their
 * patches as well (`back`); both sides go at a time, since one difference of values serves both.
 *
 * Counted, r = 3, both sides, per column of ROWS pairs: next_p 48 loads, 16 stores, 48 operations; ROWS + 6 rows of
 * totals, each 4 loads, 2 stores, 3 operations, and 26 additions of B.  In all 104 loads, 44 stores, 116 operations: at
 * 2 loads a cycle no less than 52 cycles, and 70 as this processor mixes loads and stores.  Measured 95 apart where all
 * is in the first cache, 104 where it is not, and 115 in a call (1024^2, R = 10, AVX-512; AMD EPYC of family 26, model 2,
 * 2026-11-30).  A column with gaps takes 180 to 300.  Tried, and within 3 % in a call: p made again of weights of earlier
 * steps, 12 cycles less apart; values and totals of a pixel side by side, 15 less apart; one call for all shifts without
 * gaps; three values one after the other, 427 to 322 cycles apart.  Each shift spread as soon as it has its weights:
 * 11 to 24 % slower.
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

/* s[first] + .. + s[last] by pairs, which neighbouring windows share. */
INLINE vec by_pairs(const vec *s, index_t first, index_t last)
{
    vec sum = first < last ? s[first] + s[first + 1] : s[first];
    for (index_t i = first + 2; i < last; i += 2)
        sum += s[i] + s[i + 1];
    return (last - first) % 2 || first == last ? sum : sum + s[last];
}

/* Row i takes the sums along x i - n + 1 .. i, as far as there are. */
INLINE void spread_box_y(struct spread s, const vec *sums, index_t n, struct added to)
{
    if (n < ROWS - 1) {
        UNROLL for (index_t i = 0; i < ROWS + n - 1; i++)
            add_part(&s, by_pairs(sums, most(0, i - n + 1), least(i, ROWS - 1)), to, 1);
        return;
    }
    vec B = sums[0];
    for (int i = 0; i < ROWS && i < n; i++) {
        if (i)
            B += sums[i];
        add_part(&s, B, to, 1);
    }
    for (index_t i = ROWS; i < n; i++)
        add_part(&s, B, to, 1);
    move_rows(&s, ROWS - 2); /* the last row that one of them reaches, and up from there */
    B = sums[ROWS - 1];
    for (int i = ROWS - 1; i > 0; i--) {
        if (i < ROWS - 1)
            B += sums[i];
        add_part(&s, B, to, -1);
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

INLINE void spread_shifts(const struct work *w, const struct spread *all, index_t ny, int tapped, struct added to)
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
            next_p(&s, weights + c, s.history + turn * ROWS, sums, !tapped, to.gaps);
            turn = turn + 1 == nx ? 0 : turn + 1;
            if (!tapped) {
                spread_box_y(s, sums, ny, to);
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

#define SIZE(n)                                                                                                        \
    case n:                                                                                                            \
        spread_shifts(w, s, n, tapped, to);                                                                            \
        break;
INLINE void spread_sizes_of(const struct work *w, const struct spread *s, int tapped, struct added to)
{
    switch (w->ny) {
        SIZE(1)
        SIZE(3)
        SIZE(5)
        SIZE(7)
        SIZE(9)
    default:
        spread_shifts(w, s, w->ny, tapped, to);
    }
}
#undef SIZE

INLINE void spread_sizes(const struct work *w, const struct spread *s, struct added to)
{
    if (spread_by_taps(w))
        spread_sizes_of(w, s, 1, to);
    else
        spread_sizes_of(w, s, 0, to);
}

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

/* add_part for two: a difference of values serves both sides, B of the pixels and C of the candidates.  `gaps`: bit 0
 * where candidates may miss their vote, bit 1 where pixels may. */
INLINE void add_to_both(struct both *s, vec B, vec C, struct added to, int down)
{
    vec *i = s->i + to.V * s->plane_i, *j = s->j + to.V * s->plane_j;
    if (to.gaps & 1) {
        const vec without = B * value_of(j, s->value_j);
        *i += without;
        B += without;
    }
    if (to.gaps & 2) {
        const vec without = C * value_of(i, s->value_i);
        *j += without;
        C += without;
    }
    i = s->i;
    j = s->j;
    for (index_t v = 0; v < to.V; v++) {
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
INLINE void spread_both_box_y(struct both s, const vec *b, const vec *c, index_t n, struct added to)
{
    if (n < ROWS - 1) {
        UNROLL for (index_t i = 0; i < ROWS + n - 1; i++) {
            const index_t first = most(0, i - n + 1), last = least(i, ROWS - 1);
            add_to_both(&s, by_pairs(b, first, last), by_pairs(c, first, last), to, 1);
        }
        return;
    }
    vec B = b[0], C = c[0];
    for (int i = 0; i < ROWS && i < n; i++) {
        if (i) {
            B += b[i];
            C += c[i];
        }
        add_to_both(&s, B, C, to, 1);
    }
    for (index_t i = ROWS; i < n; i++)
        add_to_both(&s, B, C, to, 1);
    move_both(&s, ROWS - 2);
    B = b[ROWS - 1];
    C = c[ROWS - 1];
    for (int i = ROWS - 1; i > 0; i--) {
        if (i < ROWS - 1) {
            B += b[i];
            C += c[i];
        }
        add_to_both(&s, B, C, to, -1);
    }
}

/* Some columns of a step of a shift, from the first one on; `turn`: that of its p in the history. */
struct columns_of_both {
    struct spread own, back;
    const vec *weights;
    index_t turn, count;
};

/* spread_shifts for box patches, from the pixels (own) and the candidates (back). */
INLINE void both_columns(const struct work *w, const struct columns_of_both *some, index_t ny, struct added to)
{
    const index_t nx = w->nx;
    struct spread i = some->own, j = some->back;
    index_t turn = some->turn;
    vec b[ROWS], c[ROWS], *kept_b = i.history + nx * ROWS, *kept_c = j.history + nx * ROWS;
    UNROLL for (int r = 0; r < ROWS; r++) {
        b[r] = kept_b[r];
        c[r] = kept_c[r];
    }
    for (index_t column = 0; column < some->count; column++) {
        next_p(&i, some->weights + column, i.history + turn * ROWS, b, 1, to.gaps == 3);
        next_p(&j, some->weights + column, j.history + turn * ROWS, c, 1, to.gaps == 3);
        turn = turn + 1 == nx ? 0 : turn + 1;
        const struct both s = {i.total, j.total, i.own, j.own, i.row, j.row, i.plane, j.plane};
        spread_both_box_y(s, b, c, ny, to);
        move_column(&i);
        move_column(&j);
    }
    UNROLL for (int r = 0; r < ROWS; r++) {
        kept_b[r] = b[r];
        kept_c[r] = c[r];
    }
}

#define SIZE(n)                                                                                                        \
    case n:                                                                                                            \
        both_columns(w, some, n, to);                                                                                  \
        break;
INLINE void both_sizes(const struct work *w, const struct columns_of_both *some, struct added to)
{
    switch (w->ny) {
        SIZE(1)
        SIZE(3)
        SIZE(5)
        SIZE(7)
        SIZE(9)
        SIZE(11)
    default:
        both_columns(w, some, w->ny, to);
    }
}
#undef SIZE

#define EACH_BOTH(X)                                                                                                   \
    X(both_1, 1, 0)                                                                                                    \
    X(both_1_gaps_1, 1, 1)                                                                                             \
    X(both_1_gaps_2, 1, 2)                                                                                             \
    X(both_1_gaps_3, 1, 3)                                                                                             \
    X(both_3, 3, 0)                                                                                                    \
    X(both_3_gaps_1, 3, 1)                                                                                             \
    X(both_3_gaps_2, 3, 2)                                                                                             \
    X(both_any, w->pair->V, 3) /* where all vote, missing is 0 */
#define BOTH(name, V, gaps)                                                                                            \
    static void name(const struct work *w, const struct columns_of_both *some)                                         \
    {                                                                                                                  \
        both_sizes(w, some, (struct added){V, gaps});                                                                  \
    }
EACH_BOTH(BOTH)

static void spread_both(const struct work *w, const struct columns_of_both *some, int gaps)
{
    typedef void both(const struct work *, const struct columns_of_both *);
    static both *const one[4] = {both_1, both_1_gaps_1, both_1_gaps_2, both_1_gaps_3};
    static both *const three[4] = {both_3, both_3_gaps_1, both_3_gaps_2, both_any};
    const index_t V = w->pair->V;
    (V == 1 ? one[gaps] : V == 3 ? three[gaps] : both_any)(w, some);
}

static void skip(struct columns_of_both *some, index_t n, index_t nx)
{
    struct spread *sides[] = {&some->own, &some->back};
    for (int i = 0; i < 2; i++) {
        sides[i]->normaliser += n;
        sides[i]->missing += n;
        sides[i]->value += n;
        sides[i]->total += n;
    }
    some->weights += n;
    some->turn = (some->turn + n) % nx;
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

/* Box patches go to both sides at a time.  Where only the border makes gaps, the weights of pairs across it are cleared
 * first, and just those columns go the slower way where a pixel or its candidate is outside, but not both: 2 |dx| of a
 * stripe at most. */

/* Pairs of shift number g across the left or right border weigh nothing.  All rows are inside. */
static void clear_across(const struct work *w, const struct step *s, index_t b, index_t g, vec *weights)
{
    const struct side own = own_side(w, s, b), other = other_side(w, s, b, g);
    const vec *i = at(own.values, own.first_value + w->pair->V, own.row + s->run.from, own.t);
    const vec *j = at(other.values, other.first_value + w->pair->V, other.row + s->run.from, other.t);
    for (index_t c = 0; c < COLUMNS; c++) {
        if (lanes_outside(w, own.t + c) == lanes_outside(w, other.t + c))
            continue;
        const vec votes = (i[c] + splat(1)) * (j[c] + splat(1)); /* vote - 1 + 1 */
        for (index_t r = s->run.from; r < s->run.to; r++)
            weights[r * COLUMNS + c] *= votes;
    }
}

/* Do patches of the rows from `row` on meet no vote somewhere in every column? */
static int rows_with_gaps(const struct work *w, index_t row)
{
    const index_t top = w->band->first + row - w->pair->ry;
    return w->holes || top < 0 || top + ROWS + w->ny - 1 > w->pair->H;
}

/* As add_to_both has it, for pixels in vector t and their candidates dx further.  Sums outside the plane are thrown away,
 * so that only lanes count where one of the two lies outside. */
static int gaps_of_column(const struct work *w, index_t t, index_t dx)
{
    const int i = lanes_outside(w, t), j = lanes_outside(w, t + dx);
    return i == j ? 0 : (j ? 1 : 0) + (i ? 2 : 0);
}

/* Columns that all shifts of a step take before the next ones: half of them where values and totals of both sides are
 * more than a first cache of 48 KB holds beside a shift's weights and history, 4 and 9 KB (V = 3, r = 3: 86 KB;
 * aggregate 290 to 256 ms). */
static index_t columns_at_a_time(const struct work *w)
{
    const size_t size = sizeof(vec) * (size_t)(4 * w->pair->V * (ROWS + w->ny - 1) * COLUMNS);
    return size > 34 * 1024 ? COLUMNS / 2 : COLUMNS;
}

/* Shift number g of a step in plane b, some columns from the first one on, as many at a time as have the same gaps. */
static void spread_pairs(const struct work *w, const struct step *s, index_t b, index_t g, index_t first,
                         const struct spread sides[2])
{
    const index_t nx = w->nx, columns = least(first + columns_at_a_time(w), w->stripe.length + nx - 1 - s->t);
    const index_t t = s->t - w->pair->rx, dx = s->run.dx + g, number = b * s->run.shifts + g;
    const int everywhere = rows_with_gaps(w, s->run.top) || rows_with_gaps(w, s->run.top + s->run.dy);
    struct columns_of_both some = {of_shift(&sides[0], g, nx), of_shift(&sides[1], g, nx), w->weights + number * STEP,
                                   s->t % nx, columns - first};
    if (first >= columns)
        return;
    skip(&some, first, nx);
    if (everywhere) {
        spread_both(w, &some, 3);
        return;
    }
    if (s->t < w->stripe.length && first == 0)
        clear_across(w, s, b, g, w->weights + number * STEP);
    for (index_t c = first; c < columns; c += some.count) {
        const int gaps = gaps_of_column(w, t + c, dx);
        for (some.count = 1; c + some.count < columns; some.count++)
            if (gaps_of_column(w, t + c + some.count, dx) != gaps)
                break;
        spread_both(w, &some, gaps);
        skip(&some, some.count, nx);
    }
}

/* The weights of a step in plane b. */
static void spread(const struct work *w, const struct step *s, index_t b)
{
    const index_t shifts = s->run.shifts;
    struct spread sides[2] = {spread_of_step(w, s, b, 0)};
    if (w->both)
        sides[1] = spread_of_step(w, s, b, 1);
    if (w->both && !spread_by_taps(w)) {
        for (index_t first = 0; first < COLUMNS; first += columns_at_a_time(w))
            for (index_t g = 0; g < shifts; g++)
                spread_pairs(w, s, b, g, first, sides);
        return;
    }
    for (int back = 0; back <= w->both; back++)
        for (index_t g = 0, end; g < shifts; g = end) {
            const int gaps = has_gaps(w, s, g, back);
            for (end = g + 1; end < shifts && has_gaps(w, s, end, back) == gaps;)
                end++;
            sides[back].first = g;
            sides[back].end = end;
            spread_some(w, &sides[back], gaps);
        }
}

#endif
