/* Binding of the window kernel: arrays come by the buffer protocol, so no NumPy header is needed, and
 * only the stable interface of CPython 3.11 is used, so one wheel serves every later version.
 * Everything that could make the loops read or write outside an array is refused here. */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include "nlm.h"

#include <string.h>

enum { MAX_BUFFERS = 20 };

struct buffers {
    Py_buffer held[MAX_BUFFERS];
    int count;
};

static void release(struct buffers *b)
{
    while (b->count)
        PyBuffer_Release(&b->held[--b->count]);
}

/* A C-contiguous buffer of `count` items (any number when < 0); NULL with an exception when it is not. */
static Py_buffer *take(struct buffers *b, PyObject *object, const char *name, char type, index_t count, int writable)
{
    Py_buffer *view = &b->held[b->count];
    int flags = PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (writable ? PyBUF_WRITABLE : 0);
    if (PyObject_GetBuffer(object, view, flags) < 0)
        return NULL;
    b->count++;
    if (!view->format || view->format[0] != type || view->format[1]) {
        PyErr_Format(PyExc_TypeError, "%s must hold items of type '%c', got '%s'.", name, type,
                     view->format ? view->format : "B");
        return NULL;
    }
    if (count >= 0 && view->len != count * view->itemsize) {
        PyErr_Format(PyExc_ValueError, "%s must have %zd items, got %zd.", name, count, view->len / view->itemsize);
        return NULL;
    }
    return view;
}

static float *floats(struct buffers *b, PyObject *object, const char *name, index_t count, int writable)
{
    Py_buffer *view = take(b, object, name, 'f', count, writable);
    return view ? view->buf : NULL;
}

/* A plane, or one number as an array of one item. */
static const float *plane_or_number(struct buffers *b, PyObject *object, const char *name, index_t plane, int *is_plane)
{
    Py_buffer *view = take(b, object, name, 'f', -1, 0);
    if (!view)
        return NULL;
    *is_plane = view->len == plane * (index_t)sizeof(float) && view->ndim == 2;
    if (!*is_plane && view->len != sizeof(float)) {
        PyErr_Format(PyExc_ValueError, "%s must be one number or a plane.", name);
        return NULL;
    }
    return view->buf;
}

static int shape_of(struct buffers *b, PyObject *object, const char *name, index_t *planes, index_t *H, index_t *W,
                    const float **data)
{
    Py_buffer *view = take(b, object, name, 'f', -1, 0);
    if (!view)
        return -1;
    if (view->ndim != 3 || view->shape[1] < 1 || view->shape[2] < 1) {
        PyErr_Format(PyExc_ValueError, "%s must be planes of shape (n, H, W), none of them empty.", name);
        return -1;
    }
    *planes = view->shape[0], *H = view->shape[1], *W = view->shape[2], *data = view->buf;
    return 0;
}

static const float *taps(struct buffers *b, PyObject *object, const char *name, index_t *radius)
{
    Py_buffer *view = take(b, object, name, 'f', -1, 0);
    if (!view)
        return NULL;
    index_t count = view->len / (index_t)sizeof(float);
    if (count % 2 == 0) {
        PyErr_Format(PyExc_ValueError, "%s must be an odd number of taps, got %zd.", name, count);
        return NULL;
    }
    *radius = count / 2;
    return view->buf;
}

static int isa_of(const char *name)
{
    for (int i = 0; i < nlm_isa_count; i++)
        if (!strcmp(name, nlm_isa_names[i]) && nlm_isa_runs(i))
            return i;
    PyErr_Format(PyExc_ValueError, "this processor or build has no instruction set '%s'; see isas().", name);
    return -1;
}

PyDoc_STRVAR(band_doc,
             "band(rows, isa, stop, query, key, value, vote, radius, taps, bias, scale, own, normaliser, centre,\n"
             "     weight_sum, numerator, denominator, peak, spill, scratch)\n\n"
             "The sums of the contract for the query pixels of some rows, into the four arrays from numerator on.\n"
             "scratch is a bytearray to work in, made larger when it is too small.");

static PyObject *band(PyObject *module, PyObject *args)
{
    struct pair p = {0};
    struct buffers b = {.count = 0};
    index_t first, last, C, H, W;
    const char *isa;
    PyObject *stop, *query, *key, *value, *vote, *down, *along, *bias, *scale, *normaliser, *centre, *weight_sum;
    PyObject *numerator, *denominator, *peak, *spill, *scratch, *answer = NULL;
    (void)module;
    if (!PyArg_ParseTuple(args, "(nn)sOOOOO(nn)(OO)OOpOOOOOOOO:band", &first, &last, &isa, &stop, &query, &key, &value,
                          &vote, &p.Ry, &p.Rx, &down, &along, &bias, &scale, &p.own, &normaliser, &centre, &weight_sum,
                          &numerator, &denominator, &peak, &spill, &scratch))
        return NULL;
    if ((p.isa = isa_of(isa)) < 0)
        return NULL;
    Py_buffer *flag = take(&b, stop, "stop", 'B', 1, 0);
    if (!flag || shape_of(&b, query, "query", &p.C, &p.H, &p.W, &p.query) < 0)
        goto done;
    p.stop = flag->buf;
    const index_t plane = p.H * p.W;
    if (key == query)
        p.key = p.query;
    else if (shape_of(&b, key, "key", &C, &H, &W, &p.key) < 0 || C != p.C || H != p.H || W != p.W)
        goto mismatch;
    if (shape_of(&b, value, "value", &p.V, &H, &W, &p.value) < 0 || H != p.H || W != p.W)
        goto mismatch;
    if (p.Ry < 0 || p.Rx < 0 || first < 0 || first >= last || last > p.H) {
        PyErr_SetString(PyExc_ValueError, "the search radius must be >= 0, and the rows a part of the plane.");
        goto done;
    }
    index_t sums = p.V + 1 + (peak != Py_None);
    if (!(p.vote = floats(&b, vote, "vote", plane, 0)) || !(p.taps_y = taps(&b, down, "taps[0]", &p.ry)) ||
        !(p.taps_x = taps(&b, along, "taps[1]", &p.rx)) ||
        !(p.bias = plane_or_number(&b, bias, "bias", plane, &p.bias_is_plane)) ||
        !(p.scale = plane_or_number(&b, scale, "scale", plane, &p.scale_is_plane)) ||
        !(p.numerator = floats(&b, numerator, "numerator", p.V * plane, 1)) ||
        !(p.denominator = floats(&b, denominator, "denominator", plane, 1)) ||
        (peak != Py_None && !(p.peak = floats(&b, peak, "peak", plane, 1))) ||
        (normaliser != Py_None && !(p.normaliser = floats(&b, normaliser, "normaliser", plane, 0))) ||
        (centre != Py_None && !(p.centre = floats(&b, centre, "centre", plane, 0))) ||
        (weight_sum != Py_None && !(p.weight_sum = floats(&b, weight_sum, "weight_sum", plane, 0))))
        goto done;
    if (p.normaliser && (!p.weight_sum || (p.own && !p.centre))) {
        PyErr_SetString(PyExc_ValueError, "a normaliser needs a weight_sum, and within one plane a centre.");
        goto done;
    }
    p.Ry = p.Ry < p.H ? p.Ry : p.H - 1, p.Rx = p.Rx < p.W ? p.Rx : p.W - 1;
    nlm_spill(&p, first, last);
    if (!(p.spill = floats(&b, spill, "spill", sums * (p.above + p.below) * p.W, 1)))
        goto done;
    const Py_ssize_t size = (Py_ssize_t)nlm_scratch(&p, first, last);
    if (!PyByteArray_Check(scratch)) {
        PyErr_SetString(PyExc_TypeError, "scratch must be a bytearray.");
        goto done;
    }
    if (PyByteArray_Size(scratch) < size && PyByteArray_Resize(scratch, size) < 0)
        goto done;
    Py_buffer *room = take(&b, scratch, "scratch", 'B', -1, 1); /* held, so that nobody resizes it meanwhile */
    if (!room)
        goto done;
    Py_BEGIN_ALLOW_THREADS
    nlm_band(&p, first, last, room->buf);
    Py_END_ALLOW_THREADS
    answer = Py_NewRef(Py_None);
    goto done;
mismatch:
    if (!PyErr_Occurred())
        PyErr_SetString(PyExc_ValueError, "key and value must be planes of the shape of query.");
done:
    release(&b);
    return answer;
}

PyDoc_STRVAR(isas_doc, "isas()\n\nThe instruction sets that this build has and this processor runs, best first.");

static PyObject *isas(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    PyObject *names = PyList_New(0);
    for (int i = 0; names && i < nlm_isa_count; i++) {
        PyObject *name = nlm_isa_runs(i) ? PyUnicode_FromString(nlm_isa_names[i]) : NULL;
        if (name && PyList_Append(names, name) < 0)
            Py_CLEAR(names);
        Py_XDECREF(name);
    }
    return names;
}

static PyMethodDef methods[] = {
    {"band", band, METH_VARARGS, band_doc},
    {"isas", isas, METH_NOARGS, isas_doc},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {{0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "nlmeans._cpu", "The window kernel on a processor; see kernels/cpu.", 0, methods, slots, NULL,
    NULL, NULL,
};

PyMODINIT_FUNC PyInit__cpu(void) { return PyModuleDef_Init(&definition); }
