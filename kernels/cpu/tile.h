/* Pictures in lanes and back.
 *
 * A block is LANES * k columns of the plane: lane l of vector t is column x0 + l k + t.  So neighbours along
 * a row are neighbouring vectors, every load is aligned, and no lane ever needs another lane's number.
 * The price is a margin for every lane, (k + margin) / k; k is 128 where the plane is wide enough. */

struct block {
    index_t x0, k;
};

_Static_assert(ROWS == COLUMNS, "rows and columns are rounded up alike");
static index_t rounded_up(index_t n) { return (n + COLUMNS - 1) / COLUMNS * COLUMNS; }

static index_t least(index_t a, index_t b) { return a < b ? a : b; }
static index_t most(index_t a, index_t b) { return a > b ? a : b; }

static index_t reflect(index_t i, index_t n)
{
    if (i >= 0 && i < n)
        return i;
    i %= 2 * n;
    if (i < 0)
        i += 2 * n;
    return i < n ? i : 2 * n - 1 - i;
}

/* For vectors t0 .. t0+count-1 of a block: the column of each lane, reflected into the plane, or -1; [count][LANES]. */
static void map_columns(struct block b, index_t width, index_t t0, index_t count, int reflected, int *map)
{
    for (int l = 0; l < LANES; l++)
        for (index_t t = 0; t < count; t++) {
            index_t x = b.x0 + l * b.k + t0 + t;
            map[t * LANES + l] = (int)(reflected ? reflect(x, width) : x < 0 || x >= width ? -1 : x);
        }
}

/* One row in lanes: out[t * step] for every vector of the map, times gain; 0 where the map says -1. */
static void load_row(const float *row, const int *map, index_t count, float gain, vec *out, index_t step)
{
    for (index_t t = 0; t < count; t++, map += LANES, out += step) {
        vec x;
        UNROLL for (int l = 0; l < LANES; l++)
            SET_LANE(x, l, map[l] < 0 ? 0 : row[map[l]]);
        *out = gain * x;
    }
}

/* Adds (or compares, for a peak) vectors t0 .. t0+count-1 of a block to a row of the plane. */
static void store_row(const vec *in, struct block b, index_t width, index_t t0, index_t count, int peak, float *row)
{
    const float *lane = (const float *)in;
    for (int l = 0; l < LANES; l++, lane++) {
        index_t x = b.x0 + l * b.k + t0, begin = most(0, -x), end = least(count, width - x);
        if (peak)
            for (index_t t = begin; t < end; t++)
                row[x + t] = row[x + t] > lane[t * LANES] ? row[x + t] : lane[t * LANES];
        else
            for (index_t t = begin; t < end; t++)
                row[x + t] += lane[t * LANES];
    }
}
