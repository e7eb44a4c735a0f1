/* Weights -> sums: shift g of the step is d0 + g, its weights w[g * STEP + t]. */

/* Two sums of one end of the pairs, and what goes into them. */
struct end {
    vec *a, *b;
    const vec *x, *y;
    index_t sums_row, values_row; /* strides */
};

/* How weights are joined to the sums a and b: what is multiplied by x and y (else by 1). */
enum join { VALUE_AND_COUNT, TWO_VALUES, ONE_VALUE, PEAK, PEAK_OF_VOTES, SQUARES };

enum ends { BOTH, OWN, THEIRS };

INLINE vec join(enum join how, vec sum, vec weight, vec value)
{
    return how == PEAK            ? most_of(sum, weight)
           : how == PEAK_OF_VOTES ? most_of(sum, weight * value)
           : how == SQUARES       ? sum + weight * (weight * value)
                                  : sum + weight * value;
}

/* own[t] += sum_g w_g[t] theirs[t + g] and, with `half`, theirs[t + g] += w_g[t] own[t]; the sums of the ends
 * t + g wait in registers until their last weight has come. */
INLINE void join_step(enum join how, const vec *w, int shifts, enum ends ends, struct end own, struct end theirs)
{
    const int to_own = ends != THEIRS, half = ends != OWN;
    vec a[SHIFTS], b[SHIFTS];
    const int two = how == VALUE_AND_COUNT || how == TWO_VALUES;
    for (int g = 0; g < shifts; g++)
        a[g] = b[g] = splat(0);
    for (int t = 0; t < COLUMNS; t++) {
        vec own_a = to_own ? own.a[t] : splat(0), own_b = to_own && two ? own.b[t] : splat(0);
        for (int g = 0; g < shifts; g++) {
            vec weight = w[g * STEP + t];
            HOLD(weight);
            if (to_own)
                own_a = join(how, own_a, weight, how == PEAK ? weight : theirs.x[t + g]);
            if (to_own && two)
                own_b = how == TWO_VALUES ? own_b + weight * theirs.y[t + g] : own_b + weight;
            if (half) {
                a[g] = join(how, a[g], weight, how == PEAK ? weight : own.x[t]);
                if (two)
                    b[g] = how == TWO_VALUES ? b[g] + weight * own.y[t] : b[g] + weight;
            }
        }
        if (to_own)
            own.a[t] = own_a;
        if (to_own && two)
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

INLINE void join_rows(enum join how, const vec *w, int shifts, enum ends ends, index_t rows, struct end own,
                      struct end theirs)
{
    for (; rows > 0; rows--, w += COLUMNS) {
        join_step(how, w, shifts, ends, own, theirs);
        own = next_row(own), theirs = next_row(theirs);
    }
}

#define JOIN(how)                                                                                           \
    static void join_##how(const vec *w, int shifts, enum ends ends, index_t rows, struct end own,          \
                           struct end theirs)                                                               \
    {                                                                                                       \
        switch (shifts + SHIFTS * ends) {                                                                   \
            CASE(how, 1) CASE(how, 2) CASE(how, 3) CASE(how, 4) CASE(how, 5) CASE(how, 6) CASE(how, 7) CASE(how, 8) \
        }                                                                                                   \
    }
#define CASE(how, n)                                           \
    case n + SHIFTS * BOTH:                                    \
        join_rows(how, w, n, BOTH, rows, own, theirs);         \
        break;                                                 \
    case n + SHIFTS * OWN:                                     \
        join_rows(how, w, n, OWN, rows, own, theirs);          \
        break;                                                 \
    case n + SHIFTS * THEIRS:                                  \
        join_rows(how, w, n, THEIRS, rows, own, theirs);       \
        break;
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

/* Are all lanes' pixels and candidates of this step, and `reach` around, inside the plane, and all votes 1? */
static int all_vote(const struct work *w, index_t t, index_t d, int shifts)
{
    index_t left = w->block.x0 + t + (d < 0 ? d : 0);
    index_t right = w->block.x0 + (LANES - 1) * w->block.k + t + COLUMNS - 1 + most(0, d + shifts - 1);
    return !w->holes && left >= 0 && right < w->p->W;
}

#define ENDS(a, b, x, y) own_end(w, s, a, b, x, y), their_end(w, s, a, b, x, y)

/* The weights of some rows go to every sum of the ends. */
static void distribute(const struct work *w, const vec *x, int shifts, enum ends ends, index_t rows, struct spot s)
{
    const index_t V = w->p->V, peak = V + 1, squares = V + 1 + (w->p->peak != NULL);
    const int voted = !all_vote(w, s.t, s.d, shifts);
    (voted ? join_TWO_VALUES : join_VALUE_AND_COUNT)(x, shifts, ends, rows, ENDS(0, V, 0, V));
    for (index_t v = 1; v + 1 < V; v += 2)
        join_TWO_VALUES(x, shifts, ends, rows, ENDS(v, v + 1, v, v + 1));
    if (V % 2 == 0)
        join_ONE_VALUE(x, shifts, ends, rows, ENDS(V - 1, V - 1, V - 1, V - 1));
    if (w->p->peak)
        (voted ? join_PEAK_OF_VOTES : join_PEAK)(x, shifts, ends, rows, ENDS(peak, peak, V, V));
    if (w->p->squares)
        join_SQUARES(x, shifts, ends, rows, ENDS(squares, squares, V, V));
}

/* The same with shares spread over patches: more rows than one step has, and some may lie outside the plane. */
static void distribute_spread(const struct work *w, const vec *x, int shifts, int back, struct spot s)
{
    const index_t H = w->p->H, top = w->first + s.row;
    index_t from = most(0, most(-top, -top - s.dy)), to = least(ROWS + w->ny - 1, least(H - top, H - top - s.dy));
    for (index_t rows; from < to; from += rows) {
        rows = least(ROWS - from % ROWS, to - from);
        distribute(w, row_of((vec *)x, from), shifts, back ? THEIRS : OWN, rows,
                   (struct spot){s.row + from, s.dy, s.t, s.d});
    }
}
