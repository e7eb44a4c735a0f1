/* The reference's _add, and its peak: weights into numerators, denominator and largest weight, some shifts of a step
 * at a time.  A weight w(i, s) goes to its pixel i with the candidate's value; where half of the shifts are enough, it
 * goes to the candidate j with the pixel's value as well. */
#ifndef NLM_ADD_H
#define NLM_ADD_H

#include "weights.h"
#include "work.h"

/* How a weight joins a sum: as w, w x, max w, max w x. */
enum kind { NONE, WEIGHT, VALUE, LARGEST, LARGEST_VALUE };

/* Of up to three sums a, b, c of a side: a takes x, b and c take y of the other side. */
struct kinds {
    enum kind a, b, c;
};

INLINE vec joined(enum kind kind, vec sum, vec weight, const vec *x)
{
    switch (kind) {
    case WEIGHT:
        return sum + weight;
    case VALUE:
        return sum + weight * *x;
    case LARGEST:
        return at_least(sum, weight);
    case LARGEST_VALUE:
        return at_least(sum, weight * *x);
    default:
        return sum;
    }
}

/* Sums of one side in one row, and its values. */
struct line {
    vec *a, *b, *c;
    const vec *x, *y;
    index_t totals_row, values_row; /* strides */
};

INLINE void next_row(struct line *l)
{
    l->a += l->totals_row;
    l->b += l->totals_row;
    l->c += l->totals_row;
    l->x += l->values_row;
    l->y += l->values_row;
}

/* Sums of a side in registers. */
struct held {
    vec a, b, c;
};

INLINE struct held nothing(void) { return (struct held){splat(0), splat(0), splat(0)}; }

INLINE struct held taken(struct kinds k, const struct line *l, int t)
{
    struct held h = nothing();
    if (k.a != NONE)
        h.a = l->a[t];
    if (k.b != NONE)
        h.b = l->b[t];
    if (k.c != NONE)
        h.c = l->c[t];
    return h;
}

INLINE void put_back(struct kinds k, const struct line *l, int t, struct held h)
{
    if (k.a != NONE)
        l->a[t] = h.a;
    if (k.b != NONE)
        l->b[t] = h.b;
    if (k.c != NONE)
        l->c[t] = h.c;
}

INLINE void join(struct kinds k, struct held *h, vec weight, const struct line *other, int t)
{
    h->a = joined(k.a, h->a, weight, other->x + t);
    h->b = joined(k.b, h->b, weight, other->y + t);
    h->c = joined(k.c, h->c, weight, other->y + t);
}

INLINE void put(enum kind kind, vec *sum, vec part)
{
    if (kind == NONE)
        return;
    *sum = kind == LARGEST || kind == LARGEST_VALUE ? at_least(*sum, part) : *sum + part;
}

INLINE void put_all(struct kinds k, const struct line *l, int t, struct held h)
{
    put(k.a, l->a + t, h.a);
    put(k.b, l->b + t, h.b);
    put(k.c, l->c + t, h.c);
}

/* own[t] += sum_g w_g[t] other[t + g] and, for both sides, other[t + g] += w_g[t] own[t], w_g[t] = w[g * STEP + t].
 * The other side's sums wait in registers until their last weight has come: those of t + g in waiting[g]. */
INLINE void add_row(struct kinds k, const vec *w, int shifts, int both, const struct line *own,
                    const struct line *other)
{
    struct held waiting[SHIFTS];
    for (int g = 0; g < shifts; g++)
        waiting[g] = nothing();
    for (int t = 0; t < COLUMNS; t++) {
        struct held mine = taken(k, own, t);
        for (int g = 0; g < shifts; g++) {
            vec weight = w[g * STEP + t];
            HOLD(weight);
            join(k, &mine, weight, other, t + g);
            if (both)
                join(k, &waiting[g], weight, own, t);
        }
        put_back(k, own, t, mine);
        if (both) {
            put_all(k, other, t, waiting[0]);
            for (int g = 0; g + 1 < shifts; g++)
                waiting[g] = waiting[g + 1];
            waiting[shifts - 1] = nothing();
        }
    }
    for (int g = 0; both && g + 1 < shifts; g++)
        put_all(k, other, COLUMNS + g, waiting[g]);
}

/* Some weights of a step: [shifts][STEP], `rows` rows of them in use. */
struct some_weights {
    const vec *first;
    int shifts, both; /* both: for both sides */
    index_t rows;
};

INLINE void add_rows(struct kinds k, const struct some_weights *some, int shifts, int both, struct line own,
                     struct line other)
{
    const vec *w = some->first;
    for (index_t row = 0; row < some->rows; row++) {
        add_row(k, w, shifts, both, &own, &other);
        w += COLUMNS;
        next_row(&own);
        next_row(&other);
    }
}

/* --- a function for each combination, with a loop for each number of shifts ---------------------------------- */

/*    name                        a       b       c */
#define EACH_ADDER(X)                                                                                                  \
    X(add_weight,                 NONE,   WEIGHT, NONE)                                                                \
    X(add_weight_peak,            NONE,   WEIGHT, LARGEST)                                                             \
    X(add_value_weight,           VALUE,  WEIGHT, NONE)                                                                \
    X(add_value_weight_peak,      VALUE,  WEIGHT, LARGEST)                                                             \
    X(add_vote,                   NONE,   VALUE,  NONE)                                                                \
    X(add_vote_peak,              NONE,   VALUE,  LARGEST_VALUE)                                                       \
    X(add_value_vote,             VALUE,  VALUE,  NONE)                                                                \
    X(add_value_vote_peak,        VALUE,  VALUE,  LARGEST_VALUE)

#define CASES(n)                                                                                                       \
    case n:                                                                                                            \
        add_rows(kinds, some, n, 0, own, other);                                                                       \
        break;                                                                                                         \
    case n + SHIFTS:                                                                                                   \
        add_rows(kinds, some, n, 1, own, other);                                                                       \
        break;
#define ADDER(name, a, b, c)                                                                                           \
    static void name(const struct some_weights *some, struct line own, struct line other)                              \
    {                                                                                                                  \
        const struct kinds kinds = {a, b, c};                                                                          \
        switch (some->shifts + SHIFTS * some->both) {                                                                  \
            EACH_SHIFTS(CASES)                                                                                         \
        }                                                                                                              \
    }
EACH_ADDER(ADDER)

typedef void adder(const struct some_weights *, struct line, struct line);

/* Value 0, the weights themselves and their peak go together.  Where all vote, a vote is not read. */
static adder *first_adder(int all_vote, int peak, int value)
{
    static adder *const table[2][2][2] = {
        {{add_vote, add_value_vote}, {add_vote_peak, add_value_vote_peak}},
        {{add_weight, add_value_weight}, {add_weight_peak, add_value_weight_peak}},
    };
    return table[all_vote][peak][value];
}

/* --- the sums of a pair -------------------------------------------------------------------------------------- */

/* Which planes are a, b, c, and y of the values; x is a's. */
struct chosen {
    index_t a, b, c, y;
};

static struct line line_of(struct side s, struct chosen plane)
{
    return (struct line){
        .a = at(s.totals, plane.a, s.row, s.t),
        .b = at(s.totals, plane.b, s.row, s.t),
        .c = at(s.totals, plane.c, s.row, s.t),
        .x = at(s.values, plane.a, s.row, s.t),
        .y = at(s.values, plane.y, s.row, s.t),
        .totals_row = s.totals->row,
        .values_row = s.values->row,
    };
}

/* The weights of `shifts` shifts from number g on, to every sum of the sides; more values two by two. */
static void add(const struct work *w, const struct step *s, index_t g, int shifts)
{
    const struct run *run = &s->run;
    const index_t V = w->pair->V;
    const int has_peak = w->sums->has_peak;
    const struct some_weights some = {w->weights + g * STEP + run->from * COLUMNS, shifts, w->half,
                                      run->to - run->from};
    struct side own = own_side(w, s), other = other_side(w, s, g);
    own.row += run->from;
    other.row += run->from;
    const int all = all_vote(w, least(own.t, other.t), most(own.t, other.t + shifts - 1) + COLUMNS);
    const struct chosen first = {0, V, has_peak ? V + 1 : V, V};
    first_adder(all, has_peak, V > 0)(&some, line_of(own, first), line_of(other, first));
    for (index_t v = 1; v < V; v += 2) {
        const index_t last = least(v + 1, V - 1);
        const struct chosen values = {v, last, V, last};
        adder *const next = last > v ? add_value_vote : add_vote;
        next(&some, line_of(own, values), line_of(other, values));
    }
}

#endif
