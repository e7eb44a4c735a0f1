/* NL-means window kernel, plain version: direct separable patch sums, full window. */
#include "nlm.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>


static index_t reflect(index_t i, index_t n)
{
    i %= 2 * n;
    if (i < 0)
        i += 2 * n;
    return i < n ? i : 2 * n - 1 - i;
}

static index_t least(index_t a, index_t b) { return a < b ? a : b; }
static index_t most(index_t a, index_t b) { return a > b ? a : b; }

/* Features with the patch margin: rows y0-ry .. y1+ry of every channel. */
static float *with_margin(const struct pair *p, const float *plane, index_t y0, index_t y1)
{
    index_t rows = y1 - y0 + 2 * p->ry, wide = p->W + 2 * p->rx;
    float *copy = malloc(sizeof(float) * (size_t)(p->C * rows * wide + 1));
    if (!copy)
        return NULL;
    for (index_t c = 0; c < p->C; c++)
        for (index_t y = 0; y < rows; y++)
            for (index_t x = 0; x < wide; x++)
                copy[(c * rows + y) * wide + x] =
                    plane[(c * p->H + reflect(y + y0 - p->ry, p->H)) * p->W + reflect(x - p->rx, p->W)];
    return copy;
}

/* Weights w(i, s) of the rows y0..y1-1 for one shift; 0 where the candidate is outside. */
struct margin { const float *plane; index_t y0, rows; };

static void weights(const struct pair *p, struct margin q, struct margin k, index_t dy, index_t dx,
                    index_t y0, index_t y1, float *w, float *line)
{
    index_t wide = p->W + 2 * p->rx;
    for (index_t y = y0; y < y1; y++, w += p->W) {
        memset(w, 0, sizeof(float) * (size_t)p->W);
        index_t x0 = most(0, -dx), x1 = least(p->W, p->W - dx), j = y + dy;
        if (j < 0 || j >= p->H)
            continue;
        memset(line, 0, sizeof(float) * (size_t)wide);
        for (index_t c = 0; c < p->C; c++)
            for (index_t o = 0; o < 2 * p->ry + 1; o++) {
                const float *a = q.plane + (c * q.rows + y - q.y0 + o) * wide;
                const float *b = k.plane + (c * k.rows + j - k.y0 + o) * wide + dx;
                for (index_t x = x0; x < x1 + 2 * p->rx; x++)
                    line[x] += p->taps_y[o] * (a[x] - b[x]) * (a[x] - b[x]);
            }
        for (index_t x = x0; x < x1; x++) {
            float s = 0, bias = p->bias[p->bias_is_plane ? y * p->W + x : 0];
            float scale = p->scale[p->scale_is_plane ? y * p->W + x : 0];
            for (index_t o = 0; o < 2 * p->rx + 1; o++)
                s += p->taps_x[o] * line[x + o];
            s = scale * s - bias;
            w[x] = exp2f(s > 0 ? -s : 0) * p->vote[j * p->W + x + dx];
        }
    }
}

/* p -> B: sums over the patch of a field that is 0 outside the rows y0-ry..y1+ry-1 given. */
static void spread(const struct pair *p, const float *field, index_t rows, float *line, float *out)
{
    for (index_t y = 0; y < rows; y++, out += p->W) {
        memset(line, 0, sizeof(float) * (size_t)(p->W + 2 * p->rx));
        for (index_t o = 0; o < 2 * p->ry + 1; o++)
            for (index_t x = 0; x < p->W; x++)
                line[x + p->rx] += p->taps_y[o] * field[(y + o) * p->W + x];
        for (index_t x = 0; x < p->W; x++) {
            float s = 0;
            for (index_t o = 0; o < 2 * p->rx + 1; o++)
                s += p->taps_x[o] * line[x + o];
            out[x] = s;
        }
    }
}

static void add(const struct pair *p, index_t first, index_t last, index_t dy, index_t dx, const float *w, int given)
{
    for (index_t y = first; y < last; y++, w += p->W) {
        index_t x0 = most(0, -dx), x1 = least(p->W, p->W - dx), j = (y + dy) * p->W + dx;
        if (y + dy < 0 || y + dy >= p->H)
            continue;
        for (index_t x = x0; x < x1; x++) {
            float m = given ? w[x] * p->vote[j + x] : w[x];
            index_t i = y * p->W + x;
            p->denominator[i] += m;
            for (index_t v = 0; v < p->V; v++)
                p->numerator[v * p->H * p->W + i] += m * p->value[v * p->H * p->W + j + x];
            if (p->peak && p->peak[i] < m)
                p->peak[i] = m;
            if (p->squares)
                p->squares[i] += m * m;
        }
    }
}

static void clear(const struct pair *p, index_t first, index_t last)
{
    size_t bytes = sizeof(float) * (size_t)((last - first) * p->W);
    for (index_t v = 0; v < p->V; v++)
        memset(p->numerator + (v * p->H + first) * p->W, 0, bytes);
    memset(p->denominator + first * p->W, 0, bytes);
    if (p->peak)
        memset(p->peak + first * p->W, 0, bytes);
    if (p->squares)
        memset(p->squares + first * p->W, 0, bytes);
}

int nlm_band_plain(const struct pair *p, index_t first, index_t last)
{
    index_t grown = p->normaliser ? p->ry : 0;
    index_t q0 = most(0, first - grown), q1 = least(p->H, last + grown);
    index_t k0 = most(0, q0 - p->Ry), k1 = least(p->H, q1 + p->Ry);
    index_t rows = last - first + 2 * grown;
    float *query = with_margin(p, p->query, q0, q1), *key = with_margin(p, p->key, k0, k1);
    float *w = calloc((size_t)(rows * p->W), sizeof(float)), *b = malloc(sizeof(float) * (size_t)(rows * p->W));
    float *line = malloc(sizeof(float) * (size_t)(p->W + 2 * p->rx));
    int failed = !query || !key || !w || !b || !line;
    struct margin q = {query, q0, q1 - q0 + 2 * p->ry}, k = {key, k0, k1 - k0 + 2 * p->ry};
    clear(p, first, last);
    for (index_t dy = -p->Ry; !failed && dy <= p->Ry; dy++)
        for (index_t dx = -p->Rx; dx <= p->Rx && !*p->stop; dx++) {
            int itself = p->own && dy == 0 && dx == 0;
            float *inside = w + (q0 - (first - grown)) * p->W;
            if (itself && !p->normaliser)
                continue;
            if (!itself)
                weights(p, q, k, dy, dx, q0, q1, inside, line);
            if (p->normaliser) {
                for (index_t i = 0; i < (q1 - q0) * p->W; i++)
                    inside[i] = (itself ? p->centre[q0 * p->W + i] : inside[i]) * p->normaliser[q0 * p->W + i];
                spread(p, w, last - first, line, b);
            }
            add(p, first, last, dy, dx, p->normaliser ? b : w, p->normaliser != NULL);
        }
    free(query), free(key), free(w), free(b), free(line);
    return failed ? -1 : 0;
}
