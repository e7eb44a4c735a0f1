/* Weights -> sums, some shifts of a step at a time: weights w[g * STEP + t] of shift number g. */

/* Up to three sums of one end of the pairs, and what goes into them: x into a, y into b and c. */
struct end {
    vec *a, *b, *c;
    const vec *x, *y;
    index_t sums_row, values_row; /* strides */
};

/* How a weight w joins a sum: as w, w x, max w, max w x. */
enum kind { NONE, WEIGHT, VALUE, LARGEST, LARGEST_VOTE };

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
INLINE void join_step(enum kind kind_a, enum kind kind_b, enum kind kind_c, const vec *w, int shifts, int both,
                      struct end own, struct end theirs)
{
    vec a[SHIFTS], b[SHIFTS], c[SHIFTS];
    for (int g = 0; g < shifts; g++)
        a[g] = b[g] = c[g] = splat(0);
    for (int t = 0; t < COLUMNS; t++) {
        vec own_a = kind_a == NONE ? splat(0) : own.a[t];
        vec own_b = kind_b == NONE ? splat(0) : own.b[t];
        vec own_c = kind_c == NONE ? splat(0) : own.c[t];
        for (int g = 0; g < shifts; g++) {
            vec weight = w[g * STEP + t];
            HOLD(weight);
            own_a = joined(kind_a, own_a, weight, theirs.x + t + g);
            own_b = joined(kind_b, own_b, weight, theirs.y + t + g);
            own_c = joined(kind_c, own_c, weight, theirs.y + t + g);
            if (both) {
                a[g] = joined(kind_a, a[g], weight, own.x + t);
                b[g] = joined(kind_b, b[g], weight, own.y + t);
                c[g] = joined(kind_c, c[g], weight, own.y + t);
            }
        }
        if (kind_a != NONE)
            own.a[t] = own_a;
        if (kind_b != NONE)
            own.b[t] = own_b;
        if (kind_c != NONE)
            own.c[t] = own_c;
        if (both) {
            put(kind_a, theirs.a + t, a[0]), put(kind_b, theirs.b + t, b[0]), put(kind_c, theirs.c + t, c[0]);
            for (int g = 0; g + 1 < shifts; g++)
                a[g] = a[g + 1], b[g] = b[g + 1], c[g] = c[g + 1];
            a[shifts - 1] = b[shifts - 1] = c[shifts - 1] = splat(0);
        }
    }
    for (int t = COLUMNS, g = 0; both && g + 1 < shifts; g++, t++)
        put(kind_a, theirs.a + t, a[g]), put(kind_b, theirs.b + t, b[g]), put(kind_c, theirs.c + t, c[g]);
}

INLINE struct end next_row(struct end e)
{
    return (struct end){e.a + e.sums_row,   e.b + e.sums_row,   e.c + e.sums_row, e.x + e.values_row,
                        e.y + e.values_row, e.sums_row,         e.values_row};
}

INLINE void join_rows(enum kind a, enum kind b, enum kind c, const vec *w, int shifts, int both, index_t rows,
                      struct end own, struct end theirs)
{
    for (; rows > 0; rows--, w += COLUMNS) {
        join_step(a, b, c, w, shifts, both, own, theirs);
        own = next_row(own), theirs = next_row(theirs);
    }
}

#define CASE(a, b, c, n)                                    \
    case n:                                                 \
        join_rows(a, b, c, w, n, 0, rows, own, theirs);     \
        break;                                              \
    case n + SHIFTS:                                        \
        join_rows(a, b, c, w, n, 1, rows, own, theirs);     \
        break;
#if LANES == 16
#define CASES(a, b, c) \
    CASE(a, b, c, 1) CASE(a, b, c, 2) CASE(a, b, c, 3) CASE(a, b, c, 4) \
    CASE(a, b, c, 5) CASE(a, b, c, 6) CASE(a, b, c, 7) CASE(a, b, c, 8)
#else
#define CASES(a, b, c) \
    CASE(a, b, c, 1) CASE(a, b, c, 2) CASE(a, b, c, 3) CASE(a, b, c, 4) CASE(a, b, c, 5) CASE(a, b, c, 6)
#endif
#define JOIN(name, a, b, c)                                                                              \
    static void name(const vec *w, int shifts, int both, index_t rows, struct end own, struct end theirs) \
    {                                                                                                    \
        switch (shifts + SHIFTS * both) {                                                                \
            CASES(a, b, c)                                                                               \
        }                                                                                                \
    }
JOIN(join_weight, NONE, WEIGHT, NONE)
JOIN(join_weight_and_largest, NONE, WEIGHT, LARGEST)
JOIN(join_value_and_weight, VALUE, WEIGHT, NONE)
JOIN(join_value_weight_and_largest, VALUE, WEIGHT, LARGEST)
JOIN(join_value, NONE, VALUE, NONE)
JOIN(join_vote_and_largest, NONE, VALUE, LARGEST_VOTE)
JOIN(join_two_values, VALUE, VALUE, NONE)
JOIN(join_value_vote_and_largest, VALUE, VALUE, LARGEST_VOTE)

static struct end end_of(struct side s, index_t a, index_t b, index_t c, index_t y)
{
    return (struct end){at(s.totals, a, s.row, s.t), at(s.totals, b, s.row, s.t), at(s.totals, c, s.row, s.t),
                        at(s.values, a, s.row, s.t), at(s.values, y, s.row, s.t), s.totals->row,
                        s.values->row};
}

/* Do all pixels of vectors t .. end - 1 vote, and lie inside the plane in so far as columns are concerned? */
static int all_vote(const struct work *w, index_t t, index_t end)
{
    return !w->holes && w->block.x0 + t >= 0 && w->block.x0 + (LANES - 1) * w->block.k + end <= w->p->W;
}

/* The weights of some rows go to every sum of the ends: value 0, weight and peak together, more values two by two. */
static void distribute(const struct work *w, const vec *x, int shifts, int both, index_t rows, struct side own,
                       struct side theirs)
{
    static void (*const join[2][2][2])(const vec *, int, int, index_t, struct end, struct end) = {
        /* voted, peak, V > 0 */
        {{join_weight, join_value_and_weight}, {join_weight_and_largest, join_value_weight_and_largest}},
        {{join_value, join_two_values}, {join_vote_and_largest, join_value_vote_and_largest}}};
    const index_t V = w->p->V, peak = V + (w->p->peak != NULL);
    const int voted = !all_vote(w, least(own.t, theirs.t), most(own.t, theirs.t + shifts - 1) + COLUMNS);
#define ENDS(a, b, c, y) end_of(own, a, b, c, y), end_of(theirs, a, b, c, y)
    join[voted][peak > V][V > 0](x, shifts, both, rows, ENDS(0, V, peak, V));
    for (index_t v = 1, last; v < V; v += 2) {
        last = least(v + 1, V - 1);
        (last > v ? join_two_values : join_value)(x, shifts, both, rows, ENDS(v, last, V, last));
    }
}
