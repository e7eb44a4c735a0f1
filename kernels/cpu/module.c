/* The binding: arrays come by the buffer protocol, so no NumPy header is needed, and only the stable interface of
 * CPython 3.11 is used, so one wheel serves every later version.
 * The structs of contract.h are read from Python objects with attributes of the same names.  Everything that could
 * make the loops read or write outside an array is refused here. */
#include "binding.h"
#include "groups_module.h"

/* --- struct pair --------------------------------------------------------------------------------------------- */

/* Planes (n, H, W), none of them empty. */
static const float *planes(struct buffers *b, PyObject *owner, const char *name, index_t shape[3])
{
    Py_buffer *view = take_from(b, owner, name, 'f', -1, 0);
    if (!view)
        return NULL;
    if (view->ndim != 3 || view->shape[1] < 1 || view->shape[2] < 1) {
        PyErr_Format(PyExc_ValueError, "%s must be planes of shape (n, H, W), none of them empty.", name);
        return NULL;
    }
    memcpy(shape, view->shape, 3 * sizeof(index_t));
    return view->buf;
}

/* The three stacks of planes, which must agree. */
static int read_planes(struct buffers *b, PyObject *object, struct pair *p)
{
    index_t query[3], key[3], value[3], own_value[3];
    if (!(p->query = planes(b, object, "query", query)) || !(p->key = planes(b, object, "key", key)) ||
        !(p->value = planes(b, object, "value", value)) ||
        !(p->own_value = planes(b, object, "own_value", own_value)))
        return 0;
    p->C = query[0];
    p->V = value[0];
    p->H = query[1];
    p->W = query[2];
    if (key[0] == p->C && key[1] == p->H && key[2] == p->W && value[1] == p->H && value[2] == p->W &&
        own_value[0] == p->V && own_value[1] == p->H && own_value[2] == p->W)
        return 1;
    PyErr_SetString(PyExc_ValueError, "key, value and own_value must be planes of the shape of query.");
    return 0;
}

static int read_radius(PyObject *object, struct pair *p)
{
    if (!two_integers(object, "radius", &p->Ry, &p->Rx))
        return 0;
    if (p->Ry < 0 || p->Rx < 0) {
        PyErr_SetString(PyExc_ValueError, "the search radius must be >= 0.");
        return 0;
    }
    p->Ry = p->Ry < p->H ? p->Ry : p->H - 1;
    p->Rx = p->Rx < p->W ? p->Rx : p->W - 1;
    return 1;
}

static const float *taps(struct buffers *b, PyObject *object, const char *name, index_t *radius)
{
    Py_buffer *view = take(b, object, name, 'f', -1, 0);
    if (!view)
        return NULL;
    const index_t count = view->len / (index_t)sizeof(float);
    if (count % 2 == 0) {
        PyErr_Format(PyExc_ValueError, "%s must be an odd number of taps, got %zd.", name, count);
        return NULL;
    }
    *radius = count / 2;
    return view->buf;
}

static int read_taps(struct buffers *b, PyObject *object, struct pair *p)
{
    PyObject *both = PyObject_GetAttrString(object, "taps"), *y, *x;
    int ok = both && PyTuple_Check(both) && PyArg_ParseTuple(both, "OO", &y, &x) &&
             (p->taps_y = taps(b, y, "taps[0]", &p->ry)) && (p->taps_x = taps(b, x, "taps[1]", &p->rx));
    if (!ok && !PyErr_Occurred())
        PyErr_SetString(PyExc_TypeError, "taps must be two arrays.");
    Py_XDECREF(both);
    return ok;
}

static int read_pair(struct buffers *b, PyObject *object, struct pair *p)
{
    if (!read_planes(b, object, p) || !read_radius(object, p) || !read_taps(b, object, p))
        return 0;
    const index_t plane = p->H * p->W;
    return (p->vote = floats(b, object, "vote", plane)) && read_per_query(b, object, "bias", plane, &p->bias) &&
           read_per_query(b, object, "scale", plane, &p->scale) && truth(object, "own", &p->own);
}

/* --- struct slab --------------------------------------------------------------------------------------------- */

/* Volumes (n, Z, H, W), none of them empty. */
static const float *volumes(struct buffers *b, PyObject *owner, const char *name, index_t shape[4])
{
    Py_buffer *view = take_from(b, owner, name, 'f', -1, 0);
    if (!view)
        return NULL;
    if (view->ndim != 4 || view->shape[1] < 1 || view->shape[2] < 1 || view->shape[3] < 1) {
        PyErr_Format(PyExc_ValueError, "%s must be volumes of shape (n, Z, H, W), none of them empty.", name);
        return NULL;
    }
    memcpy(shape, view->shape, 4 * sizeof(index_t));
    return view->buf;
}

static int read_volumes(struct buffers *b, PyObject *object, struct slab *s)
{
    index_t feature[4], value[4];
    if (!(s->feature = volumes(b, object, "feature", feature)) || !(s->value = volumes(b, object, "value", value)))
        return 0;
    s->C = feature[0];
    s->V = value[0];
    s->Z = feature[1];
    s->H = feature[2];
    s->W = feature[3];
    if (value[1] == s->Z && value[2] == s->H && value[3] == s->W)
        return 1;
    PyErr_SetString(PyExc_ValueError, "value must be volumes of the shape of feature.");
    return 0;
}

/* A tuple of three integers. */
static int three_integers(PyObject *owner, const char *name, index_t to[3])
{
    PyObject *all = PyObject_GetAttrString(owner, name);
    int ok = all && PyTuple_Check(all) && PyArg_ParseTuple(all, "nnn", to, to + 1, to + 2);
    if (!ok && !PyErr_Occurred())
        PyErr_Format(PyExc_TypeError, "%s must be three integers.", name);
    Py_XDECREF(all);
    return ok;
}

static index_t within(index_t radius, index_t size) { return radius < size ? radius : size - 1; }

static int read_slab_radius(PyObject *object, struct slab *s)
{
    index_t radius[3];
    if (!three_integers(object, "radius", radius))
        return 0;
    if (radius[0] < 0 || radius[1] < 0 || radius[2] < 0) {
        PyErr_SetString(PyExc_ValueError, "the search radius must be >= 0.");
        return 0;
    }
    s->Rz = within(radius[0], s->Z);
    s->Ry = within(radius[1], s->H);
    s->Rx = within(radius[2], s->W);
    return 1;
}

static int read_slab_taps(struct buffers *b, PyObject *object, struct slab *s)
{
    PyObject *all = PyObject_GetAttrString(object, "taps"), *z, *y, *x;
    int ok = all && PyTuple_Check(all) && PyArg_ParseTuple(all, "OOO", &z, &y, &x) &&
             (s->taps_z = taps(b, z, "taps[0]", &s->rz)) && (s->taps_y = taps(b, y, "taps[1]", &s->ry)) &&
             (s->taps_x = taps(b, x, "taps[2]", &s->rx));
    if (!ok && !PyErr_Occurred())
        PyErr_SetString(PyExc_TypeError, "taps must be three arrays.");
    Py_XDECREF(all);
    return ok;
}

/* The planes to denoise: a range as two integers. */
static int read_slab_planes(PyObject *object, struct slab *s)
{
    if (!two_integers(object, "planes", &s->first, &s->last))
        return 0;
    if (s->first >= 0 && s->first < s->last && s->last <= s->Z)
        return 1;
    PyErr_SetString(PyExc_ValueError, "the planes must be a part of the volume.");
    return 0;
}

static int read_slab(struct buffers *b, PyObject *object, struct slab *s)
{
    if (!read_volumes(b, object, s) || !read_slab_radius(object, s) || !read_slab_taps(b, object, s) ||
        !read_slab_planes(object, s))
        return 0;
    const index_t size = s->Z * s->H * s->W;
    return (s->vote = floats(b, object, "vote", size)) && read_per_query(b, object, "bias", size, &s->bias) &&
           read_per_query(b, object, "scale", size, &s->scale);
}

/* A plane with as many pixels as the slab's planes to denoise: what its sums and its band are read as. */
static struct pair flat(const struct slab *s)
{
    return (struct pair){.V = s->V, .H = s->H, .W = (s->last - s->first) * s->W, .own = 1};
}

/* --- the other structs --------------------------------------------------------------------------------------- */

static int read_normalised(struct buffers *b, PyObject *object, const struct pair *p, struct normalised *n)
{
    const index_t plane = p->H * p->W;
    return (n->normaliser = floats(b, object, "normaliser", plane)) &&
           (n->weight_sum = floats(b, object, "weight_sum", plane)) && truth(object, "anew", &n->anew) &&
           (!p->own || (n->center = floats(b, object, "center", plane)));
}

static int read_sums(struct buffers *b, PyObject *object, const struct pair *p, struct sums *s)
{
    const index_t plane = p->H * p->W;
    return (s->numerator = result(b, object, "numerator", p->V * plane)) &&
           (s->denominator = result(b, object, "denominator", plane));
}

/* The peak, unless it is None. */
static int read_peak(struct buffers *b, PyObject *object, const struct pair *p, struct sums *s)
{
    PyObject *peak = PyObject_GetAttrString(object, "peak");
    s->has_peak = peak != Py_None;
    Py_XDECREF(peak);
    return peak && (!s->has_peak || (s->peak = result(b, object, "peak", p->H * p->W)));
}

static int read_rows(PyObject *object, const struct pair *p, struct band *band)
{
    if (!two_integers(object, "rows", &band->first, &band->last))
        return 0;
    if (band->first >= 0 && band->first < band->last && band->last <= p->H)
        return 1;
    PyErr_SetString(PyExc_ValueError, "the rows must be a part of the plane.");
    return 0;
}

/* What `above` and `below` depend on has been read. */
static int read_band(struct buffers *b, PyObject *object, const struct pair *p, const struct sums *s, struct band *band)
{
    const index_t spill = (p->V + 1 + s->has_peak) * (band->above + band->below) * p->W;
    if (!(band->spill = result(b, object, "spill", spill)))
        return 0;
    Py_buffer *stop = take_from(b, object, "stop", 'B', 1, 0);
    band->stop = stop ? stop->buf : NULL;
    return stop != NULL;
}

/* --- the entries --------------------------------------------------------------------------------------------- */

struct call {
    struct buffers buffers;
    struct pair pair; /* of a slab: what is read as one */
    struct slab slab;
    struct normalised normalised;
    struct sums sums;
    struct band band;
};

static PyObject *finished(struct call *call, int done)
{
    release(&call->buffers);
    return done ? Py_NewRef(Py_None) : NULL;
}

PyDoc_STRVAR(accumulate_doc, "accumulate(isa, pair, sums, band)\n\n"
                             "The contract's accumulate for the query pixels of a band, into its rows of sums.");

static PyObject *py_accumulate(PyObject *module, PyObject *args)
{
    struct call c = {.buffers.count = 0};
    PyObject *pair, *sums, *band;
    const char *name;
    char *scratch = NULL;
    (void)module;
    if (!PyArg_ParseTuple(args, "sOOO:accumulate", &name, &pair, &sums, &band))
        return NULL;
    const int isa = read_isa(name);
    if (isa >= 0 && read_pair(&c.buffers, pair, &c.pair) && read_sums(&c.buffers, sums, &c.pair, &c.sums) &&
        read_peak(&c.buffers, sums, &c.pair, &c.sums) && read_rows(band, &c.pair, &c.band)) {
        accumulate_reach(&c.pair, &c.band);
        if (read_band(&c.buffers, band, &c.pair, &c.sums, &c.band))
            scratch = read_scratch(&c.buffers, band, accumulate_scratch(isa, &c.pair, &c.sums, &c.band));
    }
    if (scratch) {
        Py_BEGIN_ALLOW_THREADS
        accumulate(isa, &c.pair, &c.sums, &c.band, scratch);
        Py_END_ALLOW_THREADS
    }
    return finished(&c, scratch != NULL);
}

PyDoc_STRVAR(aggregate_doc, "aggregate(isa, pair, normalised, sums, band)\n\n"
                            "The contract's aggregate for the query pixels of a band, into its rows of sums.");

static PyObject *py_aggregate(PyObject *module, PyObject *args)
{
    struct call c = {.buffers.count = 0};
    PyObject *pair, *normalised, *sums, *band;
    const char *name;
    char *scratch = NULL;
    (void)module;
    if (!PyArg_ParseTuple(args, "sOOOO:aggregate", &name, &pair, &normalised, &sums, &band))
        return NULL;
    const int isa = read_isa(name);
    if (isa >= 0 && read_pair(&c.buffers, pair, &c.pair) &&
        read_normalised(&c.buffers, normalised, &c.pair, &c.normalised) &&
        read_sums(&c.buffers, sums, &c.pair, &c.sums) && read_rows(band, &c.pair, &c.band)) {
        aggregate_reach(&c.pair, &c.band);
        if (read_band(&c.buffers, band, &c.pair, &c.sums, &c.band))
            scratch = read_scratch(&c.buffers, band, aggregate_scratch(isa, &c.pair, &c.sums, &c.band));
    }
    if (scratch) {
        Py_BEGIN_ALLOW_THREADS
        aggregate(isa, &c.pair, &c.normalised, &c.sums, &c.band, scratch);
        Py_END_ALLOW_THREADS
    }
    return finished(&c, scratch != NULL);
}

PyDoc_STRVAR(accumulate_slab_doc, "accumulate_slab(isa, slab, sums, band)\n\n"
                                  "The contract's accumulate_slab for the pixels of a band, into its rows of sums.");

static PyObject *py_accumulate_slab(PyObject *module, PyObject *args)
{
    struct call c = {.buffers.count = 0};
    PyObject *slab, *sums, *band;
    const char *name;
    char *scratch = NULL;
    (void)module;
    if (!PyArg_ParseTuple(args, "sOOO:accumulate_slab", &name, &slab, &sums, &band))
        return NULL;
    const int isa = read_isa(name);
    if (isa >= 0 && read_slab(&c.buffers, slab, &c.slab)) {
        c.pair = flat(&c.slab);
        if (read_sums(&c.buffers, sums, &c.pair, &c.sums) && read_peak(&c.buffers, sums, &c.pair, &c.sums) &&
            read_rows(band, &c.pair, &c.band)) {
            accumulate_slab_reach(&c.slab, &c.band);
            if (read_band(&c.buffers, band, &c.pair, &c.sums, &c.band))
                scratch = read_scratch(&c.buffers, band, accumulate_slab_scratch(isa, &c.slab, &c.sums, &c.band));
        }
    }
    if (scratch) {
        Py_BEGIN_ALLOW_THREADS
        accumulate_slab(isa, &c.slab, &c.sums, &c.band, scratch);
        Py_END_ALLOW_THREADS
    }
    return finished(&c, scratch != NULL);
}

PyDoc_STRVAR(aggregate_slab_doc, "aggregate_slab(isa, slab, normalised, sums, band)\n\n"
                                 "The contract's aggregate_slab for the pixels of a band, into its rows of sums.");

static PyObject *py_aggregate_slab(PyObject *module, PyObject *args)
{
    struct call c = {.buffers.count = 0};
    PyObject *slab, *normalised, *sums, *band;
    const char *name;
    char *scratch = NULL;
    (void)module;
    if (!PyArg_ParseTuple(args, "sOOOO:aggregate_slab", &name, &slab, &normalised, &sums, &band))
        return NULL;
    const int isa = read_isa(name);
    if (isa >= 0 && read_slab(&c.buffers, slab, &c.slab)) {
        c.pair = flat(&c.slab);
        if (read_normalised(&c.buffers, normalised, &c.pair, &c.normalised) &&
            read_sums(&c.buffers, sums, &c.pair, &c.sums) && read_rows(band, &c.pair, &c.band)) {
            aggregate_slab_reach(&c.slab, &c.band);
            if (read_band(&c.buffers, band, &c.pair, &c.sums, &c.band))
                scratch = read_scratch(&c.buffers, band, aggregate_slab_scratch(isa, &c.slab, &c.sums, &c.band));
        }
    }
    if (scratch) {
        Py_BEGIN_ALLOW_THREADS
        aggregate_slab(isa, &c.slab, &c.normalised, &c.sums, &c.band, scratch);
        Py_END_ALLOW_THREADS
    }
    return finished(&c, scratch != NULL);
}

PyDoc_STRVAR(isas_doc, "isas()\n\nThe instruction sets that this build has and this processor runs, best first.");

static PyObject *isas(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    PyObject *names = PyList_New(0);
    for (int isa = 0; names && isa < isa_count; isa++) {
        PyObject *name = isa_runs(isa) ? PyUnicode_FromString(isa_name(isa)) : NULL;
        if (name && PyList_Append(names, name) < 0)
            Py_CLEAR(names);
        Py_XDECREF(name);
    }
    return names;
}

static PyMethodDef methods[] = {
    {"accumulate", py_accumulate, METH_VARARGS, accumulate_doc},
    {"aggregate", py_aggregate, METH_VARARGS, aggregate_doc},
    {"nearest", py_nearest, METH_VARARGS, nearest_doc},
    {"combine", py_combine, METH_VARARGS, combine_doc},
    {"accumulate_slab", py_accumulate_slab, METH_VARARGS, accumulate_slab_doc},
    {"aggregate_slab", py_aggregate_slab, METH_VARARGS, aggregate_slab_doc},
    {"isas", isas, METH_NOARGS, isas_doc},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {{0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "nlmeans._cpu", "The window kernel on a processor; see kernels/cpu.", 0, methods, slots,
    NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__cpu(void) { return PyModuleDef_Init(&definition); }
