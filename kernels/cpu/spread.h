/* aggregate, for one instruction set (included after window.h by the files that choose one).
 *
 * Formula   p(i, s) = w(i, s) normaliser_i (centre_i normaliser_i at s = 0 of an own pair);
 *           B_s(x) = sum_o a(o) p(x - o, s);  sums of B_s(x) vote(x + s) value(x + s), and without value.
 * Shapes    as in nlm.h; a band's rows in blocks of BLOCK columns, with the margins its patches need.
 * Work      a thread has a band; every shift visits the block in six sweeps: squared differences,
 *           sums down, sums along and weight, sums down, sums along and the sums asked for.
 * Memory    per thread about (C + V + 6) (64 + 2 Ry + 4 ry) (BLOCK + 2 Rx + 4 rx) floats.
 * Numbers   for r = 3, 1 channel, per vector of pairs: 29 additions and multiplications, 1 exponential,
 *           30 loads of which 14 are unaligned, 6 stores; sums are direct, nothing is subtracted again.
 * Test      tests/test_cpu_kernel.py, against aggregate of nlmeans/backends/reference.py
 */
enum { BLOCK = 256 };

#if defined(__GNUC__)
typedef vec anywhere __attribute__((aligned(4), may_alias));
#else
typedef vec anywhere;
#endif
INLINE vec get(const float *from) { return *(const anywhere *)from; }
INLINE void put(float *to, vec v) { *(anywhere *)to = v; }

/* A piece of a plane with rows of its own pitch. */
struct piece {
    float *at;
    index_t rows, pitch;
};

struct spreading {
    const struct pair *p;
    index_t rows, columns;       /* of the block; grown by the patch: of p */
    struct piece query, key;     /* [C]: grown by twice the patch; the key by the search window too */
    struct piece values;         /* [V + 1]: value * vote, vote; grown by the patch and the window */
    struct piece normaliser, centre, bias, scale;
    struct piece distances, sums_down, shares, shares_down;
    struct piece totals;         /* [V + 1] */
    const float *taps_y, *taps_x; /* NULL where all are equal: then they are in the gains */
};

/* Copies rows y0.. and columns x0.. of a plane; outside it, its reflection or zeros. */
static void cut(struct piece to, index_t plane, const float *from, const struct pair *p, index_t y0, index_t x0,
                index_t columns, int reflected, float gain)
{
    float *out = to.at + plane * to.rows * to.pitch;
    for (index_t y = y0; y < y0 + to.rows; y++, out += to.pitch) {
        index_t j = reflected ? reflect(y, p->H) : y;
        for (index_t x = x0; x < x0 + columns; x++) {
            index_t i = reflected ? reflect(x, p->W) : x;
            int inside = j >= 0 && j < p->H && i >= 0 && i < p->W;
            out[x - x0] = inside ? gain * from[j * p->W + i] : 0;
        }
    }
}

/* Each row becomes the sum of the n rows that begin with it. */
INLINE void down_n(struct piece in, struct piece out, index_t rows, index_t columns, index_t n, const float *taps)
{
    const index_t pitch = in.pitch;
    for (index_t x = 0; x < columns; x += LANES) {
        const float *a = in.at + x;
        float *sum = out.at + x;
        index_t y = 0;
        for (; !taps && n > 3 && y + 4 <= rows; y += 4, a += 4 * pitch, sum += 4 * pitch) {
            vec common = get(a + 3 * pitch); /* four sums share the rows that they have in common */
            for (index_t o = 4; o < n; o++)
                common += get(a + o * pitch);
            vec third = get(a + 2 * pitch), second = get(a + pitch) + third;
            vec first = get(a + n * pitch), both = get(a + (n + 1) * pitch) + first;
            put(sum, common + (get(a) + second));
            put(sum + pitch, common + (second + first));
            put(sum + 2 * pitch, common + (third + both));
            put(sum + 3 * pitch, common + (get(a + (n + 2) * pitch) + both));
        }
        for (; y < rows; y++, a += pitch, sum += pitch) {
            vec s = taps ? get(a) * splat(taps[0]) : get(a);
            for (index_t o = 1; o < n; o++)
                s += taps ? get(a + o * pitch) * splat(taps[o]) : get(a + o * pitch);
            put(sum, s);
        }
    }
}

INLINE vec along_n(const float *in, index_t n, const float *taps)
{
    vec s = taps ? get(in) * splat(taps[0]) : get(in);
    for (index_t o = 1; o < n; o++)
        s += taps ? get(in + o) * splat(taps[o]) : get(in + o);
    return s;
}

INLINE void shares_n(const struct spreading *t, index_t dy, index_t dx, index_t n)
{
    const struct pair *p = t->p;
    const struct exponential e = exponential();
    const vec bias = splat(p->bias_is_plane ? 0 : p->bias[0]);
    const float *vote = t->values.at + (p->V * t->values.rows + p->Ry + dy) * t->values.pitch + p->Rx + dx;
    for (index_t y = 0; y < t->shares.rows; y++, vote += t->values.pitch) {
        const index_t row = y * t->shares.pitch;
        for (index_t x = 0; x < t->columns + 2 * p->rx; x += LANES) {
            vec s = along_n(t->sums_down.at + row + x, n, t->taps_x);
            if (p->scale_is_plane)
                s *= get(t->scale.at + row + x);
            s -= p->bias_is_plane ? get(t->bias.at + row + x) : bias;
            vec w = exp2_of_minus(&e, most_of(s, splat(0)));
            put(t->shares.at + row + x, w * get(t->normaliser.at + row + x) * get(vote + x));
        }
    }
}

INLINE void totals_n(const struct spreading *t, index_t dy, index_t dx, index_t n)
{
    const struct pair *p = t->p;
    const index_t plane = t->values.rows * t->values.pitch, total = t->totals.rows * t->totals.pitch;
    for (index_t y = 0; y < t->rows; y++) {
        const float *value = t->values.at + (y + p->ry + p->Ry + dy) * t->values.pitch + p->rx + p->Rx + dx;
        for (index_t x = 0; x < t->columns; x += LANES) {
            vec b = along_n(t->shares_down.at + y * t->shares_down.pitch + x, n, t->taps_x);
            float *sum = t->totals.at + y * t->totals.pitch + x;
            for (index_t v = 0; v <= p->V; v++)
                put(sum + v * total, get(sum + v * total) + b * get(value + v * plane + x));
        }
    }
}

/* The loops over a patch are unrolled for the usual radii. */
#define FOR_RADIUS(r, loop) \
    ((r) == 1 ? loop(3) : (r) == 2 ? loop(5) : (r) == 3 ? loop(7) : (r) == 4 ? loop(9) : loop(2 * (r) + 1))

static void down(struct piece in, struct piece out, index_t rows, index_t columns, index_t r, const float *taps)
{
#define DOWN(n) down_n(in, out, rows, columns, n, taps)
    FOR_RADIUS(r, DOWN);
#undef DOWN
}

static void squared_differences(const struct spreading *t, index_t dy, index_t dx)
{
    const struct pair *p = t->p;
    const index_t query = t->query.rows * t->query.pitch, key = t->key.rows * t->key.pitch;
    for (index_t y = 0; y < t->distances.rows; y++) {
        const float *a = t->query.at + y * t->query.pitch;
        const float *b = t->key.at + (y + p->Ry + dy) * t->key.pitch + p->Rx + dx;
        for (index_t x = 0; x < t->columns + 4 * p->rx; x += LANES) {
            vec d = get(a + x) - get(b + x), s = d * d;
            for (index_t c = 1; c < p->C; c++) {
                d = get(a + c * query + x) - get(b + c * key + x);
                s += d * d;
            }
            put(t->distances.at + y * t->distances.pitch + x, s);
        }
    }
}

static void spread(const struct spreading *t, index_t dy, index_t dx)
{
    const struct pair *p = t->p;
    const index_t wide = t->columns + 2 * p->rx;
    struct piece shares = t->shares;
    if (p->own && dy == 0 && dx == 0)
        shares = t->centre;
    else {
        squared_differences(t, dy, dx);
        down(t->distances, t->sums_down, t->shares.rows, wide + 2 * p->rx, p->ry, t->taps_y);
#define SHARES(n) shares_n(t, dy, dx, n)
        FOR_RADIUS(p->rx, SHARES);
#undef SHARES
    }
    down(shares, t->shares_down, t->rows, wide, p->ry, t->taps_y);
#define TOTALS(n) totals_n(t, dy, dx, n)
    FOR_RADIUS(p->rx, TOTALS);
#undef TOTALS
}

/* The features, values and factors of the block that begins at row y and column x. */
static void fill(struct spreading *t, index_t y, index_t x, float even)
{
    const struct pair *p = t->p;
    const index_t n = p->H * p->W, wide = t->columns + 2 * p->rx;
    const float gain = sqrtf(even * (p->scale_is_plane ? 1 : p->scale[0]));
    y -= p->ry, x -= p->rx;
    for (index_t c = 0; c < p->C; c++) {
        cut(t->query, c, p->query + c * n, p, y - p->ry, x - p->rx, wide + 2 * p->rx, 1, gain);
        cut(t->key, c, p->key + c * n, p, y - p->ry - p->Ry, x - p->rx - p->Rx, wide + 2 * p->rx + 2 * p->Rx, 1, gain);
    }
    for (index_t v = 0; v <= p->V; v++)
        cut(t->values, v, v < p->V ? p->value + v * n : p->vote, p, y - p->Ry, x - p->Rx, wide + 2 * p->Rx, 0, 1);
    const index_t plane = t->values.rows * t->values.pitch;
    for (index_t i = 0; i < p->V * plane; i++)
        t->values.at[i] *= t->values.at[p->V * plane + i % plane];
    cut(t->normaliser, 0, p->normaliser, p, y, x, wide, 0, even);
    if (p->own) {
        cut(t->centre, 0, p->centre, p, y, x, wide, 0, 1);
        for (index_t i = 0; i < t->centre.rows * t->centre.pitch; i++)
            t->centre.at[i] *= t->normaliser.at[i];
    }
    if (p->bias_is_plane)
        cut(t->bias, 0, p->bias, p, y, x, wide, 0, 1);
    if (p->scale_is_plane)
        cut(t->scale, 0, p->scale, p, y, x, wide, 0, 1);
}

static int not_all_equal(const float *taps, index_t r)
{
    for (index_t o = 1; o < 2 * r + 1; o++)
        if (taps[o] != taps[0])
            return 1;
    return 0;
}

/* Lays the pieces out in one stretch of memory, or says how long it must be. */
static index_t lay_out(struct spreading *t, float *memory)
{
    const struct pair *p = t->p;
    const index_t rows = t->rows + 2 * p->ry, pitch = BLOCK + 4 * p->rx + 2 * LANES, far = pitch + 2 * p->Rx;
    const struct { struct piece *piece; index_t planes, rows, pitch; } all[] = {
        {&t->query, p->C, rows + 2 * p->ry, pitch}, {&t->key, p->C, rows + 2 * p->ry + 2 * p->Ry, far},
        {&t->values, p->V + 1, rows + 2 * p->Ry, far}, {&t->normaliser, 1, rows, pitch}, {&t->centre, 1, rows, pitch},
        {&t->bias, 1, rows, pitch}, {&t->scale, 1, rows, pitch}, {&t->distances, 1, rows + 2 * p->ry, pitch},
        {&t->sums_down, 1, rows, pitch}, {&t->shares, 1, rows, pitch}, {&t->shares_down, 1, t->rows, pitch},
        {&t->totals, p->V + 1, t->rows, pitch},
    };
    index_t length = 0;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        *all[i].piece = (struct piece){memory ? memory + length : NULL, all[i].rows, all[i].pitch};
        length += all[i].planes * all[i].rows * all[i].pitch + LANES; /* the last vector may reach over the end */
    }
    return length;
}

int NLM_SPREAD(const struct pair *p, index_t first, index_t last)
{
    struct spreading t = {.p = p, .rows = last - first};
    t.taps_y = not_all_equal(p->taps_y, p->ry) ? p->taps_y : NULL;
    t.taps_x = not_all_equal(p->taps_x, p->rx) ? p->taps_x : NULL;
    const float even = (t.taps_y ? 1 : p->taps_y[0]) * (t.taps_x ? 1 : p->taps_x[0]);
    float *memory = calloc((size_t)lay_out(&t, NULL), sizeof(float));
    if (!memory)
        return -1;
    lay_out(&t, memory);
    for (index_t x = 0; x < p->W && !*p->stop; x += BLOCK) {
        t.columns = p->W - x < BLOCK ? p->W - x : BLOCK;
        fill(&t, first, x, even);
        memset(t.totals.at, 0, sizeof(float) * (size_t)((p->V + 1) * t.rows * t.totals.pitch));
        for (index_t dy = -p->Ry; dy <= p->Ry && !*p->stop; dy++)
            for (index_t dx = -p->Rx; dx <= p->Rx; dx++)
                spread(&t, dy, dx);
        for (index_t v = 0; v <= p->V; v++)
            for (index_t y = 0; y < t.rows; y++) {
                float *to = v < p->V ? p->numerator + v * p->H * p->W : p->denominator;
                memcpy(to + (first + y) * p->W + x, t.totals.at + (v * t.rows + y) * t.totals.pitch,
                       sizeof(float) * (size_t)t.columns);
            }
    }
    free(memory);
    return 0;
}
