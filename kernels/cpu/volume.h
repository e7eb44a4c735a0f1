/* Volumes in lanes: LANES planes that lie `apart` planes from each other are a vector, and neighbouring planes are
 * neighbouring vectors, so that no lane ever needs another lane's number.  A plane is there once for each lane that
 * reaches it.
 */
#ifndef NLM_VOLUME_H
#define NLM_VOLUME_H

#include "contract.h"
#include "lanes.h"
#include "rows.h"

#include <string.h>

/* Which planes the lanes are: lane l of step t is plane z0 + l apart + t. */
struct deep_lanes {
    index_t z0, apart;
};

/* [planes][rows][steps][width] of some (Z, H, W) arrays: rows from row0, steps from step0 on. */
struct volume {
    vec *first;
    struct deep_lanes lanes;
    index_t row0, rows, width, step0, steps;
};

/* Some steps of a slab against those that lie dz further. */
struct block {
    const struct slab *slab;
    index_t step, dz;
    struct volume features, values, sums; /* sums begin at row -above of the band */
    struct volume bias;                   /* bias and scale, where one of them is a volume */
};

/* The first column of (plane, row y, step). */
INLINE vec *row_at(const struct volume *v, index_t plane, index_t y, index_t step)
{
    return v->first + ((plane * v->rows + y - v->row0) * v->steps + step - v->step0) * v->width;
}

INLINE index_t vectors_of(const struct volume *v) { return v->rows * v->width * v->steps; }

/* Planes first..last-1 of a volume, (last - first, H, W). */
struct some_planes {
    const float *data;
    index_t first, last, H;
};

/* Times gain -> one of the volume's planes; beyond its ends its mirror image, or 0. */
static void fill(const struct volume *v, index_t plane, struct some_planes from, enum border border, float gain)
{
    for (index_t r = 0; r < v->rows; r++)
        for (index_t step = v->step0; step < v->step0 + v->steps; step++)
            for (index_t l = 0; l < LANES; l++) {
                const index_t z = v->lanes.z0 + l * v->lanes.apart + step - from.first, n = from.last - from.first;
                const index_t inside = reflected(z, n), y = v->row0 + r;
                const float *row = from.data + (inside * from.H + y) * v->width;
                const float factor = border == LEFT_OUT && z != inside ? 0 : gain;
                float *to = (float *)row_at(v, plane, y, step) + l;
                for (index_t x = 0; x < v->width; x++)
                    to[x * LANES] = factor * row[x];
            }
}

/* Some columns of a row, at one step. */
struct part {
    index_t y, x0, count, step;
    enum border border; /* what is beyond the first and last column: their mirror images, or 0 */
};

/* -> out[t * stride] */
static void load_lanes(const struct volume *v, index_t plane, struct part p, vec *out, index_t stride)
{
    const vec *row = row_at(v, plane, p.y, p.step);
    const index_t first = least(p.count, most(0, -p.x0)), end = most(first, least(p.count, v->width - p.x0));
    for (index_t t = 0; t < first; t++)
        out[t * stride] = p.border == LEFT_OUT ? splat(0) : row[reflected(p.x0 + t, v->width)];
    for (index_t t = first; t < end; t++)
        out[t * stride] = row[p.x0 + t];
    for (index_t t = end; t < p.count; t++)
        out[t * stride] = p.border == LEFT_OUT ? splat(0) : row[reflected(p.x0 + t, v->width)];
}

/* in[t] joins what is there, as far as it lies in the plane; `largest`: the larger of both, for peaks. */
static void join_lanes(const struct volume *v, index_t plane, struct part p, const vec *in, int largest)
{
    vec *to = row_at(v, plane, p.y, p.step) + p.x0;
    const index_t first = most(0, -p.x0), end = least(p.count, v->width - p.x0);
    if (largest)
        for (index_t t = first; t < end; t++)
            to[t] = at_least(to[t], in[t]);
    else
        for (index_t t = first; t < end; t++)
            to[t] += in[t];
}

/* Row y of plane z: what all lanes that reach it have; see join_lanes. */
static void gather_row(const struct volume *v, index_t plane, index_t y, index_t z, int largest, float *row)
{
    memset(row, 0, sizeof(float) * (size_t)v->width);
    for (index_t l = 0; l < LANES; l++) {
        const index_t step = z - v->lanes.z0 - l * v->lanes.apart;
        if (step < v->step0 || step >= v->step0 + v->steps)
            continue;
        const float *from = (const float *)row_at(v, plane, y, step) + l;
        for (index_t x = 0; x < v->width; x++) {
            const float more = from[x * LANES];
            row[x] = !largest ? row[x] + more : row[x] > more ? row[x] : more;
        }
    }
}

#endif
