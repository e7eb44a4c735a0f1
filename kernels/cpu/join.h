/* Weights -> sums: shift g of the step is d0 + g, its weights w[g * STEP + t]. */

/* Two sums of one end of the pairs, and what goes into them. */
struct end {
    vec *a, *b;
    const vec *x, *y;
    index_t sums_row, values_row; /* strides */
};

/* How a weight w joins a sum: as w, w x, max w, max w x, w^2 x. */
enum kind { NONE, WEIGHT, VALUE, LARGEST, LARGEST_VOTE, SQUARE };
enum ends { BOTH, OWN, THEIRS };

INLINE vec joined(enum kind kind, vec sum, vec weight, const vec *x)
{
    switch (kind) {
    case WEIGHT:
        return sum + weight;
    case VALUE:
        return sum + weight * *x;
    case LARGEST:
        return at_least(sum, weight);
    case LARGEST_VOTE:
        return at_least(sum, weight * *x);
    case SQUARE:
        return sum + weight * (weight * *x);
    default:
        return sum;
    }
}

INLINE void put(enum kind kind, vec *sum, vec part)
{
    if (kind != NONE)
        *sum = kind == LARGEST || kind == LARGEST_VOTE ? at_least(*sum, part) : *sum + part;
}

/* own[t] += sum_g w_g[t] theirs[t + g] and, for both ends, theirs[t + g] += w_g[t] own[t]; the sums of the ends
 * t + g wait in registers until their last weight has come. */
INLINE void join_step(enum kind kind_a, enum kind kind_b, const vec *w, int shifts, enum ends ends, struct end own,
                      struct end theirs)
{
    vec a[SHIFTS], b[SHIFTS];
    for (int g = 0; g < shifts; g++)
        a[g] = b[g] = splat(0);
    for (int t = 0; t < COLUMNS; t++) {
        vec own_a = ends != THEIRS ? own.a[t] : splat(0);
        vec own_b = ends != THEIRS && kind_b != NONE ? own.b[t] : splat(0);
        for (int g = 0; g < shifts; g++) {
            vec weight = w[g * STEP + t];
            HOLD(weight);
            if (ends != THEIRS) {
                own_a = joined(kind_a, own_a, weight, theirs.x + t + g);
                own_b = joined(kind_b, own_b, weight, theirs.y + t + g);
            }
            if (ends != OWN) {
                a[g] = joined(kind_a, a[g], weight, own.x + t);
                b[g] = joined(kind_b, b[g], weight, own.y + t);
            }
        }
        if (ends != THEIRS) {
            own.a[t] = own_a;
            if (kind_b != NONE)
                own.b[t] = own_b;
        }
        if (ends != OWN) {
            put(kind_a, theirs.a + t, a[0]), put(kind_b, theirs.b + t, b[0]);
            for (int g = 0; g + 1 < shifts; g++)
                a[g] = a[g + 1], b[g] = b[g + 1];
            a[shifts - 1] = b[shifts - 1] = splat(0);
        }
    }
    for (int t = COLUMNS, g = 0; ends != OWN && g + 1 < shifts; g++, t++)
        put(kind_a, theirs.a + t, a[g]), put(kind_b, theirs.b + t, b[g]);
}

INLINE struct end next_row(struct end e)
{
    return (struct end){e.a + e.sums_row,   e.b + e.sums_row, e.x + e.values_row,
                        e.y + e.values_row, e.sums_row,       e.values_row};
}

INLINE void join_rows(enum kind a, enum kind b, const vec *w, int shifts, enum ends ends, index_t rows, struct end own,
                      struct end theirs)
{
    for (; rows > 0; rows--, w += COLUMNS) {
        join_step(a, b, w, shifts, ends, own, theirs);
        own = next_row(own), theirs = next_row(theirs);
    }
}

#define JOIN(name, a, b)                                                                                \
    static void name(const vec *w, int shifts, enum ends ends, index_t rows, struct end own, struct end theirs) \
    {                                                                                                   \
        switch (shifts + SHIFTS * ends) {                                                               \
            CASE(a, b, 1) CASE(a, b, 2) CASE(a, b, 3) CASE(a, b, 4)                                     \
            CASE(a, b, 5) CASE(a, b, 6) CASE(a, b, 7) CASE(a, b, 8)                                     \
        }                                                                                               \
    }
#define CASE(a, b, n)                                    \
    case n + SHIFTS * BOTH:                              \
        join_rows(a, b, w, n, BOTH, rows, own, theirs);  \
        break;                                           \
    case n + SHIFTS * OWN:                               \
        join_rows(a, b, w, n, OWN, rows, own, theirs);   \
        break;                                           \
    case n + SHIFTS * THEIRS:                            \
        join_rows(a, b, w, n, THEIRS, rows, own, theirs); \
        break;
JOIN(join_value_and_weight, VALUE, WEIGHT)
JOIN(join_two_values, VALUE, VALUE)
JOIN(join_value, VALUE, NONE)
JOIN(join_weight_and_largest, WEIGHT, LARGEST)
JOIN(join_vote_and_largest, VALUE, LARGEST_VOTE)
JOIN(join_largest, LARGEST, NONE)
JOIN(join_largest_vote, LARGEST_VOTE, NONE)
JOIN(join_squares, SQUARE, NONE)

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

/* Do all pixels of vectors t .. end - 1 lie inside the plane and vote? */
static int all_vote(const struct work *w, index_t t, index_t end)
{
    return !w->holes && w->block.x0 + t >= 0 && w->block.x0 + (LANES - 1) * w->block.k + end <= w->p->W;
}

#define ENDS(a, b, x, y) own_end(w, s, a, b, x, y), their_end(w, s, a, b, x, y)

/* To the numerators from v on, two at a time. */
static void join_values_from(const struct work *w, index_t v, const vec *x, int shifts, enum ends ends, index_t rows,
                             struct spot s)
{
    for (; v + 1 < w->p->V; v += 2)
        join_two_values(x, shifts, ends, rows, ENDS(v, v + 1, v, v + 1));
    if (v < w->p->V)
        join_value(x, shifts, ends, rows, ENDS(v, v, v, v));
}

/* The weights of some rows go to every sum of the ends. */
static void distribute(const struct work *w, const vec *x, int shifts, enum ends ends, index_t rows, struct spot s)
{
    const index_t V = w->p->V, peak = V + 1, squares = V + 1 + (w->p->peak != NULL);
    const int voted = !all_vote(w, s.t + least(s.d, 0), s.t + most(0, s.d + shifts - 1) + COLUMNS);
    if (V > 0)
        (voted ? join_two_values : join_value_and_weight)(x, shifts, ends, rows, ENDS(0, V, 0, V));
    else if (w->p->peak)
        (voted ? join_vote_and_largest : join_weight_and_largest)(x, shifts, ends, rows, ENDS(V, peak, V, V));
    else
        join_value(x, shifts, ends, rows, ENDS(V, V, V, V));
    join_values_from(w, 1, x, shifts, ends, rows, s);
    if (V > 0 && w->p->peak)
        (voted ? join_largest_vote : join_largest)(x, shifts, ends, rows, ENDS(peak, peak, V, V));
    if (w->p->squares)
        join_squares(x, shifts, ends, rows, ENDS(squares, squares, V, V));
}
