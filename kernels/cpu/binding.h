/* What is read from Python objects: arrays come by the buffer protocol, and all of a call is held until it ends.
 * Everything that could make the loops read or write outside an array is refused here and where these are used. */
#ifndef NLM_BINDING_H
#define NLM_BINDING_H

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include "contract.h"

#include <string.h>

/* --- buffers ------------------------------------------------------------------------------------------------- */

enum { MAX_BUFFERS = 20 };

/* All that a call reads and writes, held until it ends. */
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
    const int flags = PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (writable ? PyBUF_WRITABLE : 0);
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

/* The same for an attribute. */
static Py_buffer *take_from(struct buffers *b, PyObject *owner, const char *name, char type, index_t count,
                            int writable)
{
    PyObject *object = PyObject_GetAttrString(owner, name);
    Py_buffer *view = object ? take(b, object, name, type, count, writable) : NULL;
    Py_XDECREF(object); /* the view keeps it */
    return view;
}

static const float *floats(struct buffers *b, PyObject *owner, const char *name, index_t count)
{
    Py_buffer *view = take_from(b, owner, name, 'f', count, 0);
    return view ? view->buf : NULL;
}

static float *result(struct buffers *b, PyObject *owner, const char *name, index_t count)
{
    Py_buffer *view = take_from(b, owner, name, 'f', count, 1);
    return view ? view->buf : NULL;
}

/* --- other attributes ---------------------------------------------------------------------------------------- */

/* A tuple of two integers. */
static int two_integers(PyObject *owner, const char *name, index_t *first, index_t *second)
{
    PyObject *both = PyObject_GetAttrString(owner, name);
    int ok = both && PyTuple_Check(both) && PyArg_ParseTuple(both, "nn", first, second);
    if (!ok && !PyErr_Occurred())
        PyErr_Format(PyExc_TypeError, "%s must be two integers.", name);
    Py_XDECREF(both);
    return ok;
}

static int truth(PyObject *owner, const char *name, int *to)
{
    PyObject *object = PyObject_GetAttrString(owner, name);
    *to = object ? PyObject_IsTrue(object) : -1;
    Py_XDECREF(object);
    return *to >= 0;
}

/* A plane or a volume, or one number as an array of one item. */
static int read_per_query(struct buffers *b, PyObject *object, const char *name, index_t plane, struct per_query *to)
{
    Py_buffer *view = take_from(b, object, name, 'f', -1, 0);
    if (!view)
        return 0;
    to->data = view->buf;
    to->is_plane = view->ndim > 1 && view->len == plane * (index_t)sizeof(float);
    if (to->is_plane || view->len == sizeof(float))
        return 1;
    PyErr_Format(PyExc_ValueError, "%s must be one number or a plane.", name);
    return 0;
}

/* A bytearray to work in, made larger when it is too small. */
static char *read_scratch(struct buffers *b, PyObject *object, size_t size)
{
    PyObject *scratch = PyObject_GetAttrString(object, "scratch");
    Py_buffer *view = NULL;
    if (scratch && !PyByteArray_Check(scratch))
        PyErr_SetString(PyExc_TypeError, "scratch must be a bytearray.");
    else if (scratch && (PyByteArray_Size(scratch) >= (Py_ssize_t)size ||
                         PyByteArray_Resize(scratch, (Py_ssize_t)size) == 0))
        view = take(b, scratch, "scratch", 'B', -1, 1); /* held, so that nobody resizes it meanwhile */
    Py_XDECREF(scratch);
    return view ? view->buf : NULL;
}

static int read_isa(const char *name)
{
    for (int isa = 0; isa < isa_count; isa++)
        if (!strcmp(name, isa_name(isa)) && isa_runs(isa))
            return isa;
    PyErr_Format(PyExc_ValueError, "this processor or build has no instruction set '%s'; see isas().", name);
    return -1;
}

#endif
