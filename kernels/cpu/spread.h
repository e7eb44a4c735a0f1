/* aggregate along x: as in sweep.h, but weights become shares and go to the whole patch around a pixel. */

/* Sums -> shares, the weights times the normaliser, of the pixel (forward) and of its candidate (back).  Along x they
 * are summed up from the left, unless the taps differ: the share of a box is then one difference.  No digits are lost
 * to that: shares are >= 0, and all shares of a pixel together are 1. */
INLINE void shares_of(const struct work *w, const vec *restrict sums, vec *restrict forward, vec *restrict back,
                      const vec *forward_before, const vec *back_before, index_t stride, index_t rows, struct spot s,
                      int biased, int planes, int voted, int running)
{
    const struct exponential e = exponential();
    const index_t V = w->p->V, k = rounded_up(w->block.k), in_row = s.row % ROWS * k + s.t;
    const vec *mine = at(&w->own_values, V + 1, s.row, s.t), *my_loss = at(&w->own_values, V, s.row, s.t);
    const vec *theirs = at(&w->values, V + 1, s.row + s.dy, s.t + s.d);
    const vec *their_loss = at(&w->values, V, s.row + s.dy, s.t + s.d);
    const vec *bias = planes ? w->bias + in_row : NULL, *scale = planes ? w->scale + in_row : NULL;
    for (; rows > 0; rows--) {
        vec f = *forward_before, b = *back_before;
        for (int t = 0; t < COLUMNS; t++) {
            vec x = planes ? scale[t] * sums[t] - bias[t] : sums[t];
            x = exp2_of_minus(&e, biased ? at_least(x, splat(0)) : x);
            vec p = x, q = x;
            if (voted)
                p += p * their_loss[t], q += q * my_loss[t];
            forward[t] = f = running ? f + p * mine[t] : p * mine[t];
            back[t] = b = running ? b + q * theirs[t] : q * theirs[t];
        }
        sums += COLUMNS, forward += COLUMNS, back += COLUMNS, forward_before += stride, back_before += stride;
        mine += w->own_values.row, my_loss += w->own_values.row, theirs += w->values.row, their_loss += w->values.row;
        if (planes)
            bias += k, scale += k;
    }
}

/* Shares of one step and shift number g of the sweep; there are none in rows without candidates and past the lanes. */
static void share(const struct work *w, const struct place *s, index_t g, index_t t)
{
    const index_t n = w->nx, from = s->from, to = s->to, count = most(0, least(COLUMNS, w->block.k - t));
    const struct spot spot = {s->top + from, s->dy, t, s->d + g};
    const index_t stride = stride_of(n);
    vec *shares = now_of(&w->shares, g, s->turn);
    const vec *last = before_of(&w->shares, g, s->turn) + n - 1;
#define SHARES(biased, planes, voted, running)                                                                        \
    shares_of(w, w->weights + from * COLUMNS, shares + from * COLUMNS, shares + STEP + from * COLUMNS,          \
              last + from * stride, last + (ROWS + from) * stride, stride, to - from, spot, biased, planes, voted,    \
              running)
    if (!count)
        ;
    else if (w->bias)
        w->tapped_x ? SHARES(1, 1, 1, 0) : SHARES(1, 1, 1, 1);
    else if (!all_vote(w, t, s->d + g, 1))
        w->tapped_x ? SHARES(1, 0, 1, 0) : SHARES(1, 0, 1, 1);
    else if (w->p->bias[0] > 0)
        w->tapped_x ? SHARES(1, 0, 0, 0) : SHARES(1, 0, 0, 1);
    else
        w->tapped_x ? SHARES(0, 0, 0, 0) : SHARES(0, 0, 0, 1);
    if (count == COLUMNS && from == 0 && to == ROWS)
        return;
    for (index_t row = 0; row < 2 * ROWS; row++)
        for (index_t i = row % ROWS < from || row % ROWS >= to ? 0 : count; i < COLUMNS; i++) {
            vec *x = shares + row * COLUMNS + i;
            *x = w->tapped_x ? splat(0) : i ? x[-1] : last[row * stride];
        }
}

/* Shares of one column -> sums along x, of n vectors, for ROWS rows. */
INLINE void share_lines(const vec *before, const vec *now, const vec *taps, index_t n, int t, vec *restrict terms)
{
    UNROLL for (int row = 0; row < ROWS; row++, before += stride_of(n), now += COLUMNS)
        if (taps) {
            vec sum = taps[n / 2] * term(before, now, n, t + 1 + n / 2);
            for (index_t o = 0; o < n / 2; o++)
                sum += taps[o] * (term(before, now, n, t + 1 + o) + term(before, now, n, t + n - o));
            terms[row] = sum;
        } else
            terms[row] = now[t] - term(before, now, n, t);
}

/* Shares -> sums over the patch, for ROWS + ny - 1 rows; taps_x and taps_y NULL where they are all equal. */
INLINE void spread_of(vec *restrict before, const vec *restrict now, const vec *taps_y, const vec *taps_x, index_t ny,
                      index_t nx, int sources, vec *restrict rows, vec *restrict sums)
{
    for (int t = 0; t < COLUMNS; t++) {
        vec terms[ROWS];
        share_lines(before, now, taps_x, nx, t, terms);
        if (taps_y)
            tap_spread(terms, taps_y, ny, rows);
        for (int i = 0; i < ROWS && !taps_y; i += sources)
            box_spread(terms + i, ny, sources, i ? ny - 1 : 0, rows + i);
        UNROLL for (index_t i = 0; i < ROWS + ny - 1; i++)
            *row_of(sums + t, i) = rows[i];
    }
    for (int row = 0; row < ROWS && nx > COLUMNS; row++)
        keep(before + row * nx, now + row * COLUMNS, nx);
}

static void spread(const struct work *w, vec *before, const vec *now, vec *sums)
{
    const vec *y = w->tapped_y ? w->taps_y : NULL, *x = w->tapped_x ? w->taps_x : NULL;
    const index_t n = w->nx == w->ny && !x == !y ? w->ny : 0;
    vec rows[ROWS + MOST_FIXED - 1];
#define SPREAD(n, sources)                                                                \
    (x ? spread_of(before, now, w->taps_y, w->taps_x, n, n, sources, rows, sums) \
       : spread_of(before, now, NULL, NULL, n, n, sources, rows, sums))
    if (n == 3)
        SPREAD(3, 4);
    else if (n == 5)
        SPREAD(5, 4);
    else if (n == 7)
        SPREAD(7, 8);
    else if (n == 9)
        SPREAD(9, 8);
    else
        spread_of(before, now, y, x, w->ny, w->nx, w->ny >= 7 ? 8 : 2, w->rows, sums);
}

/* Spread shares go to the values of the ends.  Where everything votes the denominator is known: a share counts with
 * every pixel of its patch, so it is the sum of the masses around; else it loses what meets no vote. */
static void give(const struct work *w, const vec *x, int shifts, enum ends ends, index_t rows, int voted, struct spot s)
{
    const index_t V = w->p->V;
    if (voted && V > 0)
        join_two_values(x, shifts, ends, rows, ENDS(0, V, 0, V));
    else if (voted)
        join_value(x, shifts, ends, rows, ENDS(V, V, V, V));
    join_values_from(w, voted, x, shifts, ends, rows, s);
}

/* To the rows of the plane that these patches have. */
static void give_all(const struct work *w, const vec *x, int shifts, int back, struct spot s)
{
    const index_t H = w->p->H, top = w->first + s.row, here = top + back * s.dy, there = top + !back * s.dy;
    const int voted = !all_vote(w, s.t, s.d, shifts);
    index_t from = most(0, -here), to = least(ROWS + w->ny - 1, H - here);
    for (index_t rows; from < to; from += rows) {
        rows = least(ROWS - from % ROWS, to - from);
        give(w, row_of((vec *)x, from), shifts, back ? THEIRS : OWN, rows,
             voted || there + from < 0 || there + from + rows > H, (struct spot){s.row + from, s.dy, s.t, s.d});
    }
}

/* aggregate: as sweep, but the weights of a pixel go to the whole patch around it, rx vectors later. */
static void sweep_patches(const struct work *w, index_t top, index_t from, index_t to, index_t dy, index_t d,
                          index_t shifts)
{
    const index_t k = w->block.k, n = w->nx;
    struct place s = first_step(w, top, from, to, dy, d, shifts);
    for (index_t g = 0; g < shifts; g++)
        clear_before(&w->shares, g, s.turn);
    for (index_t t = 0; t < k + n - 1; t += COLUMNS, next_step(w, &s))
        for (index_t first = 0, count; first < shifts; first += count) {
            count = group(shifts - first, SHIFTS);
            for (index_t g = first; g < first + count; g++) {
                if (t < k)
                    sum_patches(w, &s, g, w->weights);
                share(w, &s, g, t);
            }
            for (int back = 0; back <= w->half; back++) {
                for (index_t g = first; g < first + count; g++)
                    spread(w, before_of(&w->shares, g, s.turn) + back * ROWS * stride_of(n),
                           now_of(&w->shares, g, s.turn) + back * STEP, w->spread + (g - first) * STEP);
                give_all(w, w->spread, (int)count, back, (struct spot){top - w->p->ry, dy, t - w->p->rx, d + first});
            }
        }
}
