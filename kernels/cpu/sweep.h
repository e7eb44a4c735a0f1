/* accumulate along x: ROWS rows and all shifts (dy, d), (dy, d + 1), .. of COLUMNS vectors a step. */

/* Where sums go: element (shift, row, column). */
struct sums {
    vec *first;
    index_t shift, row; /* strides */
};

INLINE void columns_of(const struct work *w, const vec *a, const vec *b, index_t channels, index_t n, int outputs,
                       int tapped, index_t count, index_t shifts, struct sums sums)
{
    vec few[ROWS + MOST_FIXED - 1], *terms = n <= MOST_FIXED ? few : w->terms;
    for (index_t t = 0; t < count; t++, a += w->deep_query * channels, b += w->deep_key * channels)
        for (index_t g = 0; g < shifts; g++)
            for (index_t i = 0; i < ROWS; i += outputs) {
                const vec *u = a + i * channels, *v = b + (g * w->deep_key + i) * channels;
                vec *to = sums.first + g * sums.shift + i * sums.row + t;
                if (tapped)
                    tap_column(u, v, channels, w->taps_y, n, outputs, terms, to, sums.row);
                else
                    box_column(u, v, channels, n, outputs, to, sums.row);
            }
}

/* Sums along y of `count` columns, for some shifts: a, b at the top of the first. */
INLINE void sum_columns(const struct work *w, const vec *a, const vec *b, index_t count, index_t shifts,
                        struct sums sums)
{
    const index_t n = w->ny, C = w->channels;
#define COLUMNS_OF(channels, n, outputs, tapped) \
    columns_of(w, a, b, channels, n, outputs, tapped, count, shifts, sums)
#define COLUMNS_IN(channels)                                                                     \
    (n == 1            ? COLUMNS_OF(channels, 1, 2, 0)                                           \
     : !w->tapped_y    ? n < 7 ? COLUMNS_OF(channels, n, 4, 0) : COLUMNS_OF(channels, n, 8, 0)   \
     : n == 3          ? COLUMNS_OF(channels, 3, 8, 1)                                           \
     : n == 5          ? COLUMNS_OF(channels, 5, 8, 1)                                           \
     : n == 7          ? COLUMNS_OF(channels, 7, 8, 1)                                           \
     : n <= MOST_FIXED ? COLUMNS_OF(channels, 9, 8, 1)                                           \
                       : COLUMNS_OF(channels, n, 8, 1))
    if (C == 1)
        COLUMNS_IN(1);
    else if (C == 3)
        COLUMNS_IN(3);
    else
        COLUMNS_IN(C);
}

/* The columns left of a sweep, and those of one step: apart, because fixed numbers make the second 1.4 times faster. */
static void sum_margin(const struct work *w, const vec *a, const vec *b, index_t shifts, struct sums sums)
{
    sum_columns(w, a, b, w->nx - 1, shifts, sums);
}

static void sum_step(const struct work *w, const vec *a, const vec *b, index_t shifts, vec *now)
{
    sum_columns(w, a, b, COLUMNS, shifts, (struct sums){now, 2 * STEP, COLUMNS});
}

/* Sums along y -> sums along x, of some rows. */
INLINE void lines_of(const struct work *w, vec *restrict before, const vec *restrict now, vec *restrict sums,
                     index_t rows, index_t n, int outputs, int tapped)
{
    /* planes have their say later: weigh_by_planes */
    const vec start = splat(w->bias ? 0 : -w->p->bias[0]), limit = splat(w->bias ? FLT_MAX : GREATEST_EXPONENT);
    for (index_t row = 0; row < rows; row++, before += stride_of(n - 1), now += COLUMNS, sums += COLUMNS) {
        for (int c = 0; c < COLUMNS; c += outputs)
            if (tapped)
                tap_line(before, now, w->taps_x, c, n, outputs, start, limit, sums + c);
            else
                box_line(before, now, c, n, outputs, start, limit, sums + c);
        if (n - 1 > COLUMNS)
            keep(before, now, n - 1);
    }
}

static void sum_lines(const struct work *w, vec *before, const vec *now, vec *sums, index_t rows)
{
#define LINES_OF(n, outputs)                                                   \
    (w->tapped_x ? lines_of(w, before, now, sums, rows, n, outputs, 1) \
                 : lines_of(w, before, now, sums, rows, n, outputs, 0))
    if (w->nx == 1)
        LINES_OF(1, 2);
    else if (w->nx == 3)
        LINES_OF(3, 4);
    else if (w->nx == 5)
        LINES_OF(5, 4);
    else if (w->nx == 7)
        LINES_OF(7, 8);
    else if (w->nx == 9)
        LINES_OF(9, 8);
    else
        LINES_OF(w->nx, 8);
}

/* Weights in place. */
static void weigh(vec *sums, index_t count)
{
    const struct exponential e = exponential();
    for (index_t t = 0; t < count; t++)
        sums[t] = exp2_of_minus(&e, sums[t]);
}

static void weigh_by_planes(vec *sums, const vec *bias, const vec *scale, index_t stride, index_t rows)
{
    const struct exponential e = exponential();
    for (index_t row = 0; row < rows; row++, sums += COLUMNS, bias += stride, scale += stride)
        for (int t = 0; t < COLUMNS; t++)
            sums[t] = exp2_of_minus(&e, bounded(scale[t] * sums[t] - bias[t], splat(GREATEST_EXPONENT)));
}

/* Where one sweep is: ROWS rows from `top` (of the band), of which from..to-1 have candidates, and the shift. */
struct place {
    index_t top, from, to, dy, d;
    const vec *query, *key; /* the first features of the sweep, then of the step */
    int turn;               /* 0, 1, 0, .. from step to step */
};

/* Sums along y of the columns left of the first step, for each shift of the sweep. */
static struct place first_step(const struct work *w, index_t top, index_t from, index_t to, index_t dy, index_t d,
                               index_t shifts)
{
    const index_t margin = w->nx - 1, deep = w->deep_key * w->channels;
    struct place s = {top, from, to, dy, d, w->query, w->key + (d - w->dx0) * deep + (dy - w->dy0) * w->channels, 0};
    sum_margin(w, s.query, s.key, shifts,
               (struct sums){before_of(&w->columns, 0, s.turn), shift_stride(&w->columns), stride_of(margin)});
    s.query += margin * w->deep_query * w->channels, s.key += margin * deep;
    return s;
}

static void next_step(const struct work *w, struct place *s)
{
    s->query += COLUMNS * w->deep_query * w->channels, s->key += COLUMNS * w->deep_key * w->channels;
    s->turn = !s->turn;
}

/* Both ends of the pairs of a step, from some row of the band and shift number g on. */
static struct side own_side(const struct work *w, index_t row, index_t t)
{
    return (struct side){&w->own_values, &w->own_totals, row, t};
}

static struct side their_side(const struct work *w, const struct place *s, index_t row, index_t t, index_t g)
{
    return (struct side){&w->values, &w->totals, row + s->dy, t + s->d + g};
}

/* Shifts of the next group of a sweep, so that all are about as large. */
static index_t group(index_t left, index_t most_shifts)
{
    index_t groups = (left + most_shifts - 1) / most_shifts;
    return (left + groups - 1) / groups;
}

/* Sums along y -> weights of one step and shift number g of the sweep. */
static void weights_of(const struct work *w, const struct place *s, index_t g, index_t t)
{
    const index_t k = w->block.k, long_k = rounded_up(k), rows = s->to - s->from, plane = s->from * long_k + t;
    vec *weights = w->weights + g * STEP + s->from * COLUMNS;
    sum_lines(w, before_of(&w->columns, g, s->turn) + s->from * stride_of(w->nx - 1),
              now_of(&w->columns, g, s->turn) + s->from * COLUMNS, weights, rows);
    if (w->bias)
        weigh_by_planes(weights, w->bias + plane, w->scale + plane, long_k, rows);
    else
        weigh(weights, rows * COLUMNS);
    for (index_t i = 0; i < rows * COLUMNS && t + COLUMNS > k; i++)
        if (t + i % COLUMNS >= k)
            weights[i] = splat(0); /* lanes end here */
}

/* Weights of one step, for all shifts of the sweep.  A column of the features serves some shifts at a time: as many as
 * can be where several channels are more than the first cache holds (22 % faster), else what was measured fastest. */
static void weigh_step(const struct work *w, const struct place *s, index_t t, index_t shifts)
{
    const index_t deep = w->deep_key * w->channels, at_a_time = w->channels > 1 ? SHIFTS : LANES == 16 ? 1 : 3;
    for (index_t first = 0, count; first < shifts; first += count) {
        count = group(shifts - first, at_a_time);
        sum_step(w, s->query, s->key + first * deep, count, now_of(&w->columns, first, s->turn));
        for (index_t g = first; g < first + count; g++)
            weights_of(w, s, g, t);
    }
}

/* accumulate: rows from..to-1 and shifts (dy, d) .. (dy, d + shifts - 1), all along the block. */
static void sweep(const struct work *w, index_t top, index_t from, index_t to, index_t dy, index_t d, index_t shifts)
{
    struct place s = first_step(w, top, from, to, dy, d, shifts);
    for (index_t t = 0; t < w->block.k; t += COLUMNS, next_step(w, &s)) {
        weigh_step(w, &s, t, shifts);
        for (index_t g = 0, count; g < shifts; g += count) {
            count = group(shifts - g, SHIFTS);
            distribute(w, w->weights + g * STEP + from * COLUMNS, (int)count, w->half, to - from,
                       own_side(w, top + from, t), their_side(w, &s, top + from, t, g));
        }
    }
}
