/* aggregate along x: as in sweep.h, but weights are normalised and go to the whole patch around a pixel.
 *
 * A normalised weight p is a weight times the normaliser of the pixel that it belongs to.  Sums of p along x are kept
 * up to date: one comes, one goes; no digits are lost to that, for all p of a pixel together are 1.  Down the rows of
 * the patches a sum goes on at once to the totals.  Per pair and end, r = 3: 6.5 loads, 2.75 stores, 6.3 operations.
 */

/* One end of some shifts' pairs: the sums of its p over the patch go to the totals of that end, times the values of
 * the other. */
struct spread {
    const vec *normaliser;
    const vec *missing, *value; /* of the other end; value and total: from the first row and column of the patches on.
                                 * missing is vote - 1, a number <= 0: p + p missing is the part of p that counts */
    vec *total;
    vec *history; /* [shifts][nx + 1][ROWS] the last nx columns of p, in turn, and their sums along x */
    index_t normaliser_row, value_row, value_plane, total_row, total_plane; /* strides; missing has value's */
    index_t mine, other; /* the end that moves from shift to shift by one vector: 1, the end that does not: 0 */
    index_t planes;
};

/* A sum over the patch goes to each plane of a row; `down` rows on is the next. */
INLINE void give(struct spread *s, vec sum, index_t planes, int down)
{
    for (index_t v = 0; v < planes; v++)
        s->total[v * s->total_plane] += sum * s->value[v * s->value_plane];
    s->value += down * s->value_row, s->total += down * s->total_row;
    HOLD_ADDRESS(s->value);
    HOLD_ADDRESS(s->total);
}

/* The rows of the patches of `sources` neighbouring terms have all of them in the middle, and ever fewer above and
 * below.  Needs n >= sources - 1. */
INLINE void box_give(struct spread s, const vec *terms, index_t n, int sources, index_t planes)
{
    for (int first = 0; first < ROWS; first += sources, terms += sources) {
        struct spread row = s;
        vec sum = terms[0];
        for (int i = 0; i < sources && i < n; i++) {
            if (i)
                sum += terms[i];
            give(&row, sum, planes, 1);
        }
        for (index_t i = sources; i < n; i++)
            give(&row, sum, planes, 1);
        row.value += (sources - 2) * s.value_row, row.total += (sources - 2) * s.total_row;
        sum = terms[sources - 1];
        for (int i = sources - 1; i > 0; i--) {
            if (i < sources - 1)
                sum += terms[i];
            give(&row, sum, planes, -1);
        }
        s.value += sources * s.value_row, s.total += sources * s.total_row;
    }
}

INLINE void tap_give(struct spread s, const vec *terms, const vec *taps, index_t n, index_t planes)
{
    UNROLL for (index_t i = 0; i < ROWS + n - 1; i++) {
        const index_t first = i < n ? 0 : i - n + 1;
        vec sum = taps[least(i - first, n - 1 - i + first)] * terms[first];
        UNROLL for (index_t o = first + 1; o <= i && o < ROWS; o++)
            sum += taps[least(i - o, n - 1 - i + o)] * terms[o];
        give(&s, sum, planes, 1);
    }
}

/* Shifts g .. end - 1 of a step.  `sources` 0: taps that differ. */
INLINE void spread_of(const struct work *w, const struct spread *of, index_t g, index_t end, index_t t, index_t ny,
                      int sources, index_t planes, int gaps)
{
    const index_t nx = w->nx, columns = least(COLUMNS, w->block.k + nx - 1 - t);
    for (; g < end; g++) {
        struct spread s = *of;
        s.normaliser += g * s.mine, s.total += g * s.mine, s.missing += g * s.other, s.value += g * s.other;
        s.history += g * (nx + 1) * ROWS;
        const vec *weights = w->weights + g * STEP;
        vec sums[ROWS], *kept = s.history + nx * ROWS;
        UNROLL for (int i = 0; i < ROWS; i++)
            sums[i] = kept[i];
        index_t turn = t % nx;
        for (index_t c = 0; c < columns; c++, weights++, s.normaliser++, s.missing++, s.value++, s.total++) {
            const vec *normaliser = s.normaliser, *missing = s.missing;
            vec *last = s.history + turn * ROWS;
            turn = turn + 1 == nx ? 0 : turn + 1;
            UNROLL for (int i = 0; i < ROWS; i++) {
                vec p = weights[i * COLUMNS] * *normaliser;
                normaliser += s.normaliser_row;
                HOLD_ADDRESS(normaliser);
                if (gaps) {
                    p += p * *missing;
                    missing += s.value_row;
                    HOLD_ADDRESS(missing);
                }
                if (sources)
                    sums[i] += p - last[i];
                last[i] = p;
            }
            if (sources) {
                box_give(s, sums, ny, sources, planes);
                continue;
            }
            UNROLL for (int i = 0; i < ROWS; i++)
                sums[i] = splat(0);
            for (index_t o = 0; o < nx; o++) {
                const vec tap = w->taps_x[o], *term = s.history + (turn + o < nx ? turn + o : turn + o - nx) * ROWS;
                UNROLL for (int i = 0; i < ROWS; i++)
                    sums[i] += tap * term[i];
            }
            tap_give(s, sums, w->taps_y, ny, planes);
        }
        UNROLL for (int i = 0; i < ROWS; i++)
            kept[i] = sums[i];
    }
}

#define SPREAD(name, planes, gaps)                                                                     \
    static void name(const struct work *w, const struct spread *of, index_t g, index_t end, index_t t) \
    {                                                                                                  \
        const index_t n = w->ny;                                                                       \
        if (tapped(w))                                                                                 \
            n == 3   ? spread_of(w, of, g, end, t, 3, 0, planes, gaps)                                 \
            : n == 5 ? spread_of(w, of, g, end, t, 5, 0, planes, gaps)                                 \
            : n == 7 ? spread_of(w, of, g, end, t, 7, 0, planes, gaps)                                 \
            : n == 9 ? spread_of(w, of, g, end, t, 9, 0, planes, gaps)                                 \
                     : spread_of(w, of, g, end, t, n, 0, planes, gaps);                                \
        else                                                                                           \
            n == 1   ? spread_of(w, of, g, end, t, 1, 1, planes, gaps)                                 \
            : n == 3 ? spread_of(w, of, g, end, t, 3, 4, planes, gaps)                                 \
            : n == 5 ? spread_of(w, of, g, end, t, 5, 4, planes, gaps)                                 \
            : n == 7 ? spread_of(w, of, g, end, t, 7, 8, planes, gaps)                                 \
                     : spread_of(w, of, g, end, t, n, 8, planes, gaps);                                \
    }
SPREAD(spread_1, 1, 0)
SPREAD(spread_1_with_gaps, 2, 1)
SPREAD(spread_3, 3, 0)
SPREAD(spread_any, of->planes, 1) /* where all vote, missing is 0 */

/* Where some pixels and all of the patches around them lie inside the plane and vote, the denominator is known: a
 * weight counts with every pixel of its patch, so it is the sum of the weight sums around.  Where there are gaps, what
 * meets no vote is taken off: `missing` is one more plane of values. */
static int has_gaps(const struct work *w, struct side s)
{
    const index_t top = w->first + s.row - w->p->ry;
    return top < 0 || top + ROWS + w->ny - 1 > w->p->H || !all_vote(w, s.t - w->p->rx, s.t + COLUMNS);
}

/* The weights of a step become normalised weights of its pixels, or (back) of their candidates. */
static void spread(const struct work *w, const struct place *s, index_t t, index_t shifts, int back)
{
    const index_t V = w->p->V, ry = w->p->ry, rx = w->p->rx;
    const index_t past = t < w->block.k ? 0 : t; /* lanes have ended, weights are 0: any normaliser and vote will do */
    const struct side own = own_side(w, s->top, t), theirs = their_side(w, s, s->top, t, 0);
    const struct side mine = back ? theirs : own, other = back ? own : theirs;
    struct spread of = {
        .normaliser = at(mine.values, V + 1, mine.row, mine.t - past),
        .missing = at(other.values, V, other.row, other.t - past),
        .value = at(other.values, 0, other.row - ry, other.t - rx),
        .total = at(mine.totals, 0, mine.row - ry, mine.t - rx),
        .history = w->spread_history + back * shifts * (w->nx + 1) * ROWS,
        .normaliser_row = mine.values->row,
        .value_row = other.values->row,
        .value_plane = other.values->plane,
        .total_row = mine.totals->row,
        .total_plane = mine.totals->plane,
        .mine = back,
        .other = !back,
    };
    for (index_t g = 0, end; g < shifts; g = end) {
        const int gaps = has_gaps(w, back ? own : their_side(w, s, s->top, t, g));
        for (end = g + 1; end < shifts && gaps == has_gaps(w, back ? own : their_side(w, s, s->top, t, end));)
            end++;
        of.planes = V + gaps;
        (V == 1            ? gaps ? spread_1_with_gaps : spread_1
         : V == 3 && !gaps ? spread_3
                           : spread_any)(w, &of, g, end, t);
    }
}

/* aggregate: as sweep, but the weights of a pixel go to the whole patch around it, rx vectors later. */
static void sweep_patches(const struct work *w, index_t top, index_t from, index_t to, index_t dy, index_t d,
                          index_t shifts)
{
    const index_t k = w->block.k, n = w->nx;
    struct place s = first_step(w, top, from, to, dy, d, shifts);
    memset(w->spread_history, 0, sizeof(vec) * (size_t)((1 + w->half) * shifts * (n + 1) * ROWS));
    memset(w->weights, 0, sizeof(vec) * (size_t)(shifts * STEP)); /* rows without candidates stay so */
    for (index_t t = 0; t < k + n - 1; t += COLUMNS, next_step(w, &s)) {
        if (t < k)
            weigh_step(w, &s, t, shifts);
        else
            memset(w->weights, 0, sizeof(vec) * (size_t)(shifts * STEP));
        for (int back = 0; back <= w->half; back++)
            spread(w, &s, t, shifts, back);
    }
}
