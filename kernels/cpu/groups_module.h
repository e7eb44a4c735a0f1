/* The binding of the entries of groups_contract.h: a part of module.c. */
#ifndef NLM_GROUPS_MODULE_H
#define NLM_GROUPS_MODULE_H

#include "binding.h"
#include "groups_contract.h"

/* First pixels of patches along an axis: ascending, each patch within the picture. */
static const int32_t *starts(struct buffers *b, PyObject *owner, const char *name, index_t most, index_t *count)
{
    Py_buffer *view = take_from(b, owner, name, 'i', -1, 0);
    if (!view)
        return NULL;
    const int32_t *each = view->buf;
    *count = view->len / (index_t)sizeof(int32_t);
    for (index_t i = 0; i < *count; i++)
        if (each[i] < (i ? each[i - 1] + 1 : 0) || each[i] > most) {
            PyErr_Format(PyExc_ValueError, "%s must be ascending, each in [0, %zd].", name, most);
            return NULL;
        }
    return each;
}

/* The patches and the references; planes and partners come from elsewhere. */
static int read_grid(struct buffers *b, PyObject *object, PyObject *band, struct grid *g)
{
    if (!two_integers(object, "shape", &g->H, &g->W) || !two_integers(object, "patch", &g->py, &g->px) ||
        !two_integers(band, "at_hand", &g->first, &g->last))
        return 0;
    if (g->py < 1 || g->px < 1 || g->py > g->H || g->px > g->W || g->W > INT32_MAX / g->H) {
        PyErr_SetString(PyExc_ValueError, "patches must have samples and fit the picture.");
        return 0;
    }
    g->stride = g->W + PATCH_MARGIN;
    if (!(g->rows = starts(b, object, "rows", g->H - g->py, &g->ny)) ||
        !(g->cols = starts(b, object, "cols", g->W - g->px, &g->nx)))
        return 0;
    if (g->first >= 0 && g->first < g->last && g->last <= g->ny && g->nx)
        return 1;
    PyErr_SetString(PyExc_ValueError, "the rows at hand must be a part of those of references.");
    return 0;
}

/* Planes (n, H, stride) with n of any number, or of `count` where that is > 0. */
static float *grid_planes(struct buffers *b, PyObject *object, const char *name, const struct grid *g, index_t rows,
                          index_t *count, int writable)
{
    Py_buffer *view = take_from(b, object, name, 'f', *count ? *count * rows * g->stride : -1, writable);
    if (!view)
        return NULL;
    const index_t plane = rows * g->stride * (index_t)sizeof(float);
    if (!*count)
        *count = view->len / plane;
    if (*count > 0 && view->len == *count * plane)
        return view->buf;
    PyErr_Format(PyExc_ValueError, "%s must be planes of %zd rows of %zd columns.", name, rows, g->stride);
    return NULL;
}

/* (ny, nx, k) */
static int32_t *read_partners(struct buffers *b, PyObject *object, struct grid *g, int writable)
{
    Py_buffer *view = take_from(b, object, "partners", 'i', -1, writable);
    if (!view)
        return NULL;
    const index_t references = g->ny * g->nx, items = view->len / (index_t)sizeof(int32_t);
    g->k = items / references;
    if (g->k >= 1 && items == references * g->k)
        return view->buf;
    PyErr_SetString(PyExc_ValueError, "partners must have as many places for each reference, at least one.");
    return NULL;
}

static int read_search(struct buffers *b, PyObject *object, PyObject *band, struct search *s)
{
    if (!read_grid(b, object, band, &s->grid) || !two_integers(object, "radius", &s->Ry, &s->Rx))
        return 0;
    if (s->Ry < 0 || s->Rx < 0) {
        PyErr_SetString(PyExc_ValueError, "the search radius must be >= 0.");
        return 0;
    }
    index_t one = 1;
    PyObject *barred = PyObject_GetAttrString(object, "barred");
    const int none = barred == Py_None;
    Py_XDECREF(barred);
    return barred && (s->feature = grid_planes(b, object, "feature", &s->grid, s->grid.H, &s->C, 0)) &&
           (none || (s->barred = grid_planes(b, object, "barred", &s->grid, s->grid.H, &one, 0))) &&
           read_per_query(b, object, "farthest", s->grid.H * s->grid.stride, &s->farthest) &&
           (s->partners = read_partners(b, object, &s->grid, 1));
}

/* Every patch must lie in the picture and in the rows of sums. */
static int check_partners(const struct group *group)
{
    const struct grid *g = &group->grid;
    const index_t from = g->first * g->nx, to = g->last * g->nx;
    const index_t bottom = group->above + group->rows - g->py;
    int good = group->above >= 0 && group->above + group->rows <= g->H;
    for (index_t i = from * g->k; good && i < to * g->k; i++) {
        const index_t at = group->partners[i], y = at / g->W;
        good = at < 0 ? i % g->k != 0 : y >= group->above && y <= bottom && at % g->W <= g->W - g->px;
    }
    if (!good)
        PyErr_SetString(PyExc_ValueError, "partners must be patches within the picture and the rows of sums.");
    return good;
}

static int number(PyObject *owner, const char *name, float *to)
{
    PyObject *object = PyObject_GetAttrString(owner, name);
    *to = object ? (float)PyFloat_AsDouble(object) : 0;
    Py_XDECREF(object);
    return !PyErr_Occurred();
}

static int read_group(struct buffers *b, PyObject *object, PyObject *band, struct group *g)
{
    struct grid *grid = &g->grid;
    index_t last;
    if (!read_grid(b, object, band, grid) || !(g->noisy = grid_planes(b, object, "noisy", grid, grid->H, &g->V, 0)) ||
        !(g->basis = grid_planes(b, object, "basis", grid, grid->H, &g->V, 0)) ||
        !read_per_query(b, object, "variance", grid->H * grid->stride, &g->variance) ||
        !number(object, "ridge", &g->ridge) || !truth(object, "weighted", &g->weighted) ||
        !(g->partners = read_partners(b, object, grid, 0)) || !two_integers(band, "sums", &g->above, &last))
        return 0;
    g->rows = last - g->above;
    index_t one = 1;
    return check_partners(g) && (g->numerator = grid_planes(b, band, "numerator", grid, g->rows, &g->V, 1)) &&
           (g->votes = grid_planes(b, band, "votes", grid, g->rows, &one, 1));
}

/* --- the entries --------------------------------------------------------------------------------------------- */

PyDoc_STRVAR(nearest_doc, "nearest(isa, search, band)\n\n"
                          "The nearest patches of the references at hand, into their rows of partners.");

static PyObject *py_nearest(PyObject *module, PyObject *args)
{
    struct buffers b = {.count = 0};
    struct search s = {.C = 0};
    PyObject *search, *band;
    const char *name;
    char *scratch = NULL;
    Py_buffer *stop = NULL;
    (void)module;
    if (!PyArg_ParseTuple(args, "sOO:nearest", &name, &search, &band))
        return NULL;
    const int isa = read_isa(name);
    if (isa >= 0 && read_search(&b, search, band, &s) && (stop = take_from(&b, band, "stop", 'B', 1, 0)))
        scratch = read_scratch(&b, band, nearest_scratch(isa, &s));
    if (scratch) {
        Py_BEGIN_ALLOW_THREADS
        nearest(isa, &s, scratch, stop->buf);
        Py_END_ALLOW_THREADS
    }
    release(&b);
    return scratch ? Py_NewRef(Py_None) : NULL;
}

PyDoc_STRVAR(combine_doc, "combine(isa, group, band)\n\n"
                          "The combined patches of the references at hand, added to their rows of sums.");

static PyObject *py_combine(PyObject *module, PyObject *args)
{
    struct buffers b = {.count = 0};
    struct group g = {.V = 0};
    PyObject *group, *band;
    const char *name;
    char *scratch = NULL;
    Py_buffer *stop = NULL;
    (void)module;
    if (!PyArg_ParseTuple(args, "sOO:combine", &name, &group, &band))
        return NULL;
    const int isa = read_isa(name);
    if (isa >= 0 && read_group(&b, group, band, &g) && (stop = take_from(&b, band, "stop", 'B', 1, 0)))
        scratch = read_scratch(&b, band, combine_scratch(isa, &g));
    if (scratch) {
        Py_BEGIN_ALLOW_THREADS
        combine(isa, &g, scratch, stop->buf);
        Py_END_ALLOW_THREADS
    }
    release(&b);
    return scratch ? Py_NewRef(Py_None) : NULL;
}

#endif
