/* Rows of a plane into lanes and back.
 *
 * A stripe is LANES * length columns of the plane: lane l of vector t is column x0 + l length + t.  So neighbours
 * along a row are neighbouring vectors, every load is aligned, and no lane ever needs another lane's number.
 * The price is a margin for every lane, (length + margin) / length; the length is 128 where the plane is wide enough.
 */
#ifndef NLM_ROWS_H
#define NLM_ROWS_H

#include "lanes.h"

struct stripe {
    index_t x0, length;
    index_t apart; /* columns from lane to lane: the length; 0 where the lanes are planes of a slab (slab.h) */
};

/* Columns of the plane in a stripe. */
#define COVERED(s) ((s).length + (LANES - 1) * (s).apart)

_Static_assert(ROWS == COLUMNS, "rows and columns are rounded up alike");
INLINE index_t rounded_up(index_t n) { return (n + COLUMNS - 1) / COLUMNS * COLUMNS; }

INLINE index_t least(index_t a, index_t b) { return a < b ? a : b; }
INLINE index_t most(index_t a, index_t b) { return a > b ? a : b; }

/* formula.reflected: -1 is 0, -2 is 1, n is n - 1. */
static index_t reflected(index_t i, index_t n)
{
    if (i >= 0 && i < n)
        return i;
    i %= 2 * n;
    if (i < 0)
        i += 2 * n;
    return i < n ? i : 2 * n - 1 - i;
}

/* The column of each lane of vectors t0 .. t0+count-1 of a stripe: map[count][LANES].  Features are reflected into
 * the plane; all else is left out beyond its border, where the map says -1. */
enum border { REFLECTED, LEFT_OUT };

static void map_columns(struct stripe s, index_t width, index_t t0, index_t count, enum border border, int *map)
{
    for (int l = 0; l < LANES; l++)
        for (index_t t = 0; t < count; t++) {
            index_t x = s.x0 + l * s.length + t0 + t;
            if (border == REFLECTED)
                x = reflected(x, width);
            else if (x < 0 || x >= width)
                x = -1;
            map[t * LANES + l] = (int)x;
        }
}

/* One row in lanes: out[t * step] for every vector of the map, times gain; 0 where the map says -1. */
static void load_row(const float *row, const int *map, index_t count, float gain, vec *out, index_t step)
{
    for (index_t t = 0; t < count; t++) {
        vec x;
        UNROLL for (int l = 0; l < LANES; l++)
            SET_LANE(x, l, map[l] < 0 ? 0 : row[map[l]]);
        *out = gain * x;
        map += LANES;
        out += step;
    }
}

/* Adds vectors t0 .. t0+count-1 of a stripe to a row, as far as they lie in it. */
static void add_to_row(const vec *in, struct stripe s, index_t width, index_t t0, index_t count, float *row)
{
    for (int l = 0; l < LANES; l++) {
        const float *lane = (const float *)in + l;
        const index_t x = s.x0 + l * s.length + t0, end = least(count, width - x);
        for (index_t t = most(0, -x); t < end; t++)
            row[x + t] += lane[t * LANES];
    }
}

/* The same with the larger of both, for peaks. */
static void raise_row(const vec *in, struct stripe s, index_t width, index_t t0, index_t count, float *row)
{
    for (int l = 0; l < LANES; l++) {
        const float *lane = (const float *)in + l;
        const index_t x = s.x0 + l * s.length + t0, end = least(count, width - x);
        for (index_t t = most(0, -x); t < end; t++)
            row[x + t] = row[x + t] > lane[t * LANES] ? row[x + t] : lane[t * LANES];
    }
}

#endif
