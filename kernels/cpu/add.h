/* The reference's _add, and its peak: weights into numerators, denominator and largest weight, some shifts of a step
 * at a time.  A weight w(i, s) goes to its pixel i with the difference value_j - value_i; where half of the shifts are
 * enough, it goes to the candidate j with the same difference the other way round as well. */
#ifndef NLM_ADD_H
#define NLM_ADD_H

#include "weights.h"
#include "work.h"

/* How a weight joins a sum: as w, w (value_j - value_i), max w. */
enum kind { NONE, WEIGHT, DIFFERENCE, LARGEST };

/* Of up to three sums a, b, c of a side: a is of differences of x, b may be of y.  Where some do not vote, a weight is
 * multiplied by the vote of the other side. */
struct kinds {
    enum kind a, b, c;
    int votes;
};

INLINE vec joined(enum kind kind, vec sum, vec weight, vec difference)
{
    switch (kind) {
    case WEIGHT:
        return sum + weight;
    case DIFFERENCE:
        return sum + weight * difference;
    case LARGEST:
        return at_least(sum, weight);
    default:
        return sum;
    }
}

/* Sums of one side in one row, and its values. */
struct line {
    vec *a, *b, *c;
    const vec *x, *y, *vote;
    index_t totals_row, values_row; /* strides */
};

INLINE void next_row(struct line *l)
{
    l->a += l->totals_row;
    l->b += l->totals_row;
    l->c += l->totals_row;
    l->x += l->values_row;
    l->y += l->values_row;
    l->vote += l->values_row;
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

/* value_j - value_i of two values. */
struct differences {
    vec x, y;
};

INLINE struct differences differences(struct kinds k, const struct line *own, int i, const struct line *other, int j)
{
    struct differences d = {splat(0), splat(0)};
    if (k.a == DIFFERENCE)
        d.x = other->x[j] - own->x[i];
    if (k.b == DIFFERENCE)
        d.y = other->y[j] - own->y[i];
    return d;
}

/* To one side; `back`: to the candidates', whose differences are the others less their own. */
INLINE void join(struct kinds k, struct held *h, vec weight, const vec *vote, struct differences d, int back)
{
    if (k.votes)
        weight *= *vote;
    h->a = joined(k.a, h->a, weight, back ? -d.x : d.x);
    h->b = joined(k.b, h->b, weight, back ? -d.y : d.y);
    h->c = joined(k.c, h->c, weight, splat(0));
}

INLINE void put(enum kind kind, vec *sum, vec part)
{
    if (kind == NONE)
        return;
    *sum = kind == LARGEST ? at_least(*sum, part) : *sum + part;
}

INLINE void put_all(struct kinds k, const struct line *l, int t, struct held h)
{
    put(k.a, l->a + t, h.a);
    put(k.b, l->b + t, h.b);
    put(k.c, l->c + t, h.c);
}

/* own[t] += sum_g w_g[t] (other[t + g] - own[t]) and, for both sides, other[t + g] += w_g[t] (own[t] - other[t + g]),
 * w_g[t] = w[g * STEP + t].  The other side's sums wait in registers until their last weight has come: those of t + g in waiting[g]. */
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
            const struct differences d = differences(k, own, t, other, t + g);
            join(k, &mine, weight, other->vote + t + g, d, 0);
            if (both)
                join(k, &waiting[g], weight, own->vote + t, d, 1);
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

/*    name                  a           b           c */
#define EACH_ADDER(X)                                                                                                  \
    X(add_weight,           NONE,       WEIGHT,     NONE)                                                              \
    X(add_weight_peak,      NONE,       WEIGHT,     LARGEST)                                                           \
    X(add_value,            DIFFERENCE, WEIGHT,     NONE)                                                              \
    X(add_value_peak,       DIFFERENCE, WEIGHT,     LARGEST)                                                           \
    X(add_another_value,    DIFFERENCE, NONE,       NONE)                                                              \
    X(add_two_other_values, DIFFERENCE, DIFFERENCE, NONE)

#define CASES(n)                                                                                                       \
    case n:                                                                                                            \
        add_rows(kinds, some, n, 0, own, other);                                                                       \
        break;                                                                                                         \
    case n + SHIFTS:                                                                                                   \
        add_rows(kinds, some, n, 1, own, other);                                                                       \
        break;
#define ONE_ADDER(name, a, b, c, votes)                                                                                \
    static void name(const struct some_weights *some, struct line own, struct line other)                              \
    {                                                                                                                  \
        const struct kinds kinds = {a, b, c, votes};                                                                   \
        switch (some->shifts + SHIFTS * some->both) {                                                                  \
            EACH_SHIFTS(CASES)                                                                                         \
        }                                                                                                              \
    }
#define ADDER(name, a, b, c) ONE_ADDER(name, a, b, c, 0) ONE_ADDER(name##_vote, a, b, c, 1)
EACH_ADDER(ADDER)

typedef void adder(const struct some_weights *, struct line, struct line);

/* Value 0, the weights themselves and their peak go together.  Where all vote, a vote is not read. */
static adder *first_adder(int all_vote, int peak, int value)
{
    static adder *const table[2][2][2] = {
        {{add_weight_vote, add_value_vote}, {add_weight_peak_vote, add_value_peak_vote}},
        {{add_weight, add_value}, {add_weight_peak, add_value_peak}},
    };
    return table[all_vote][peak][value];
}

/* One more value, or two. */
static adder *next_adder(int all_vote, int two)
{
    static adder *const table[2][2] = {
        {add_another_value_vote, add_two_other_values_vote},
        {add_another_value, add_two_other_values},
    };
    return table[all_vote][two];
}

/* --- the sums of a pair -------------------------------------------------------------------------------------- */

/* Which planes are a, b, c of the sums; of the values a is x, b is y. */
struct chosen {
    index_t a, b, c;
};

static struct line line_of(const struct work *w, struct side s, struct chosen plane)
{
    return (struct line){
        .a = at(s.totals, s.first_total + plane.a, s.row, s.t),
        .b = at(s.totals, s.first_total + plane.b, s.row, s.t),
        .c = at(s.totals, s.first_total + plane.c, s.row, s.t),
        .x = at(s.values, s.first_value + plane.a, s.row, s.t),
        .y = at(s.values, s.first_value + plane.b, s.row, s.t),
        .vote = at(s.values, s.first_value + w->pair->V, s.row, s.t),
        .totals_row = s.totals->row,
        .values_row = s.values->row,
    };
}

/* The weights of `shifts` shifts from number g on, in plane b, to every sum of the sides; more values two by two. */
static void add(const struct work *w, const struct step *s, index_t b, index_t g, int shifts)
{
    const struct run *run = &s->run;
    const index_t V = w->pair->V;
    const int has_peak = w->sums->has_peak;
    const struct some_weights some = {w->weights + (b * run->shifts + g) * STEP + run->from * COLUMNS, shifts, w->both,
                                      run->to - run->from};
    struct side own = own_side(w, s, b), other = other_side(w, s, b, g);
    own.row += run->from;
    other.row += run->from;
    const int all = all_vote(w, least(own.t, other.t), most(own.t, other.t + shifts - 1) + COLUMNS);
    const struct chosen first = {0, V, has_peak ? V + 1 : V};
    first_adder(all, has_peak, V > 0)(&some, line_of(w, own, first), line_of(w, other, first));
    for (index_t v = 1; v < V; v += 2) {
        const index_t last = least(v + 1, V - 1);
        const struct chosen values = {v, last, V};
        next_adder(all, last > v)(&some, line_of(w, own, values), line_of(w, other, values));
    }
}

#endif
