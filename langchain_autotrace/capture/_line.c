/* The lines of spans' records in one pass: JSON, a first look for secrets, and into the journal's map. See line.py,
 * which does the same, and segment.py.
 *
 * It writes what programs trace nearly always (JSON's own types, plain messages, a prompt's messages) and leaves all
 * else to Python: it then returns None. It runs no Python code while it reads a value, so no other thread can change
 * the value meanwhile; and it holds a reference to each item that it reads, so that nothing breaks should that ever be
 * untrue. Of Python's stable ABI, from 3.11 on. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <stdint.h>
#include <string.h>

/* Vector instructions: SSE2, which each processor of this kind has, and SSSE3, for which it is asked. Without them it is
 * the same in more steps. Less for the steps than for the branches, which nobody foresees in code that runs seldom. */
#ifndef HAS_VECTORS
#if defined(__x86_64__) && defined(__GNUC__)
#define HAS_VECTORS 1
#else
#define HAS_VECTORS 0
#endif
#endif
#if HAS_VECTORS
#include <tmmintrin.h>
#endif

#define MAX_DEPTH 64
#define STACK_BYTES 8192
#define MAX_CLASSES 8
#define MAX_HINTS 96
#define MAX_HINT_BYTES 16
#define SLACK 64
#define LOOKED_AT 3

/* What keep() knows: borrowed from the arguments of keeper(), which are kept. */
typedef struct {
    PyObject *arguments;
    PyObject *messages[MAX_CLASSES], *others[MAX_CLASSES];
    int message_classes, other_classes;
    PyObject *other_fields;
    PyObject *prompt, *text, *uuid;
    PyObject *is_secret;
    Py_ssize_t limit;
    PyObject *type_key, *content_key, *messages_key, *artifact_key, *int_name;
    /* Hints by their first letter, of which five bits are looked at; and the pairs of letters they begin with. */
    struct { unsigned char size; char text[MAX_HINT_BYTES]; } hints[MAX_HINTS];
    unsigned char first_hint[33];
    uint32_t pairs[32];
    /* By the lower and by the upper four bits of a hint's first bytes: a bit for each eighth of the hints. */
    unsigned char lower[LOOKED_AT][16], upper[LOOKED_AT][16];
    int has_ssse3;
} Maker;

/* A line that grows. At more bytes than the limit it is given up, and Python would not make it either. */
typedef struct {
    const Maker *maker;
    char *start, *at, *end;
    int on_heap, is_over;
} Line;

/* Each put_* returns 1; 0 where the line is left to Python. An exception may be set then, which means no more. */
static int put_value(Line *line, PyObject *value, int depth);

static int grow(Line *line, Py_ssize_t more) {
    Py_ssize_t used = line->at - line->start, size = line->end - line->start;
    if (more > line->maker->limit + SLACK - used) {
        line->is_over = 1;
        return 0;
    }
    while (size - used < more) size *= 2;
    char *made = line->on_heap ? PyMem_Realloc(line->start, (size_t)size) : PyMem_Malloc((size_t)size);
    if (made == NULL) return 0;
    if (!line->on_heap) memcpy(made, line->start, (size_t)used);
    line->on_heap = 1;
    line->start = made;
    line->at = made + used;
    line->end = made + size;
    return 1;
}

static inline int has_room(Line *line, Py_ssize_t more) { return line->end - line->at >= more || grow(line, more); }

static int put_bytes(Line *line, const char *bytes, Py_ssize_t size) {
    if (!has_room(line, size)) return 0;
    memcpy(line->at, bytes, (size_t)size);
    line->at += size;
    return 1;
}

#define PUT(literal) put_bytes(line, literal, (Py_ssize_t)sizeof(literal) - 1)

#define EACH_BYTE 0x0101010101010101ULL
#define HIGH_BITS 0x8080808080808080ULL

/* Whether one of eight bytes is to be escaped: a quote, a backslash, or less than a blank. A byte of 0 borrows from the
 * next one, which may then be found wrongly: it is looked at again, one by one. */
static inline int has_escape(uint64_t word) {
    uint64_t quote = word ^ (EACH_BYTE * '"'), slash = word ^ (EACH_BYTE * '\\');
    uint64_t found = ((word - EACH_BYTE * 0x20) & ~word) | ((quote - EACH_BYTE) & ~quote) | ((slash - EACH_BYTE) & ~slash);
    return (found & HIGH_BITS) != 0;
}

/* Copies as long as nothing is to be escaped, and returns how many bytes; it may stop up to eight bytes before what is,
 * or before the end. What it writes behind the bytes that it has copied is in the room for those that are left. */
static inline Py_ssize_t copy_plain(char *at, const char *from, Py_ssize_t left) {
    Py_ssize_t done = 0;
#if HAS_VECTORS
    for (; left - done >= 16; done += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(from + done));
        __m128i controls = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1F)), bytes);
        __m128i quotes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')), slashes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'));
        unsigned found = (unsigned)_mm_movemask_epi8(_mm_or_si128(controls, _mm_or_si128(quotes, slashes)));
        _mm_storeu_si128((__m128i *)(at + done), bytes);
        if (found) return done + __builtin_ctz(found);
    }
#endif
    for (uint64_t word; left - done >= 8; done += 8) {
        memcpy(&word, from + done, 8);
        if (has_escape(word)) break;
        memcpy(at + done, &word, 8);
    }
    return done;
}

static char *put_escaped(char *at, unsigned char byte) {
    static const char digits[] = "0123456789abcdef";
    if (byte >= 0x20 && byte != '"' && byte != '\\') {
        *at++ = (char)byte;
        return at;
    }
    *at++ = '\\';
    switch (byte) {
        case '"': case '\\': *at++ = (char)byte; break;
        case '\b': *at++ = 'b'; break;
        case '\t': *at++ = 't'; break;
        case '\n': *at++ = 'n'; break;
        case '\f': *at++ = 'f'; break;
        case '\r': *at++ = 'r'; break;
        default:
            memcpy(at, "u00", 3);
            at[3] = digits[byte >> 4];
            at[4] = digits[byte & 15];
            at += 5;
    }
    return at;
}

static int put_text(Line *line, PyObject *text) {
    Py_ssize_t size;
    const char *from = PyUnicode_AsUTF8AndSize(text, &size); /* fails for lone surrogates */
    if (from == NULL || !has_room(line, size + 2)) return 0;
    const char *stop = from + size;
    *line->at++ = '"';
    while (from < stop) {
        Py_ssize_t done = copy_plain(line->at, from, stop - from);
        from += done;
        char *at = line->at += done;
        const char *some = stop - from > 8 ? from + 8 : stop;
        if (!has_room(line, 6 * (some - from) + (stop - some) + 1)) return 0;
        for (at = line->at; from < some; from++) at = put_escaped(at, (unsigned char)*from);
        line->at = at;
    }
    *line->at++ = '"';
    return 1;
}

static int put_number(Line *line, PyObject *value) {
    int overflow;
    long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
    unsigned long long rest = number < 0 ? 0ULL - (unsigned long long)number : (unsigned long long)number;
    if (overflow > 0) rest = PyLong_AsUnsignedLongLong(value); /* beyond 64 bits, it sets an exception */
    if (overflow < 0 || (overflow > 0 && PyErr_Occurred())) return 0;
    char digits[24];
    int at = sizeof(digits);
    do { digits[--at] = (char)('0' + rest % 10); } while (rest /= 10);
    if (number < 0 && !overflow) digits[--at] = '-';
    return put_bytes(line, digits + at, (Py_ssize_t)sizeof(digits) - at);
}

static int put_float(Line *line, PyObject *value) {
    double number = PyFloat_AsDouble(value);
    if (number - number != 0) return PUT("null"); /* infinite, or none */
    char *digits = PyOS_double_to_string(number, 'r', 0, Py_DTSF_ADD_DOT_0, NULL);
    if (digits == NULL) return 0;
    int is_put = put_bytes(line, digits, (Py_ssize_t)strlen(digits));
    PyMem_Free(digits);
    return is_put;
}

static int put_uuid(Line *line, PyObject *value) {
    static const char digits[] = "0123456789abcdef";
    PyObject *number = PyObject_GetAttr(value, line->maker->int_name);
    PyObject *bits = number == NULL ? NULL : PyLong_FromLong(64);
    PyObject *upper = bits == NULL ? NULL : PyNumber_Rshift(number, bits);
    int is_put = upper != NULL && has_room(line, 38);
    if (is_put) {
        uint64_t halves[] = {PyLong_AsUnsignedLongLongMask(upper), PyLong_AsUnsignedLongLongMask(number)};
        char *at = line->at;
        *at++ = '"';
        for (int i = 0; i < 32; i++) {
            if (i == 8 || i == 12 || i == 16 || i == 20) *at++ = '-';
            *at++ = digits[halves[i / 16] >> (60 - 4 * (i % 16)) & 15];
        }
        *at++ = '"';
        line->at = at;
    }
    Py_XDECREF(upper);
    Py_XDECREF(bits);
    Py_XDECREF(number);
    return is_put;
}

static int put_pair(Line *line, PyObject *key, PyObject *item, int depth) {
    if (Py_TYPE(key) != &PyUnicode_Type) return 0;
    Py_INCREF(key);
    Py_INCREF(item);
    int is_put = put_text(line, key) && PUT(":") && put_value(line, item, depth);
    Py_DECREF(item);
    Py_DECREF(key);
    return is_put;
}

static int put_dict(Line *line, PyObject *value, int depth) {
    PyObject *key, *item;
    Py_ssize_t place = 0;
    if (!PUT("{")) return 0;
    for (int is_first = 1; PyDict_Next(value, &place, &key, &item); is_first = 0)
        if (!(is_first || PUT(",")) || !put_pair(line, key, item, depth)) return 0;
    return PUT("}");
}

static int put_items(Line *line, PyObject *value, int depth, int is_list) {
    if (!PUT("[")) return 0;
    for (Py_ssize_t i = 0; i < (is_list ? PyList_Size(value) : PyTuple_Size(value)); i++) {
        if (i && !PUT(",")) return 0;
        PyObject *item = is_list ? PyList_GetItem(value, i) : PyTuple_GetItem(value, i);
        if (item == NULL) return 0;
        Py_INCREF(item);
        int is_put = put_value(line, item, depth);
        Py_DECREF(item);
        if (!is_put) return 0;
    }
    return PUT("]");
}

/* Whether a field is not empty; -1 where its class decides. */
static int is_filled(PyObject *value) {
    PyTypeObject *kind = Py_TYPE(value);
    if (value == Py_None) return 0;
    if (kind == &PyUnicode_Type || kind == &PyDict_Type || kind == &PyList_Type || kind == &PyTuple_Type ||
        kind == &PyBool_Type || kind == &PyLong_Type || kind == &PyFloat_Type)
        return PyObject_IsTrue(value);
    return -1;
}

static int put_beginning(Line *line, PyObject *fields, int depth) {
    const Maker *maker = line->maker;
    PyObject *type = PyDict_GetItemWithError(fields, maker->type_key);
    PyObject *content = PyDict_GetItemWithError(fields, maker->content_key);
    return PUT("{") && put_pair(line, maker->type_key, type ? type : Py_None, depth) && PUT(",") &&
           put_pair(line, maker->content_key, content ? content : Py_None, depth);
}

/* As convert.message(): the type, the content, and each field that is not empty. */
static int put_fields(Line *line, PyObject *fields, int depth) {
    const Maker *maker = line->maker;
    PyObject *key, *item;
    Py_ssize_t place = 0;
    if (!put_beginning(line, fields, depth)) return 0;
    while (PyDict_Next(fields, &place, &key, &item)) {
        int filled = is_filled(item);
        if (filled < 0 || Py_TYPE(key) != &PyUnicode_Type) return 0;
        if (!filled || PyUnicode_Compare(key, maker->type_key) == 0 || PyUnicode_Compare(key, maker->content_key) == 0)
            continue;
        if (!PUT(",") || !put_pair(line, key, item, depth)) return 0;
    }
    return PUT("}");
}

/* The same of other messages: of them, these fields. An artifact may be neither true nor false. */
static int put_other_fields(Line *line, PyObject *fields, int depth) {
    const Maker *maker = line->maker;
    if (!put_beginning(line, fields, depth)) return 0;
    for (Py_ssize_t i = 0; i < PyTuple_Size(maker->other_fields); i++) {
        PyObject *key = PyTuple_GetItem(maker->other_fields, i), *item = PyDict_GetItemWithError(fields, key);
        if (item == NULL || item == Py_None) continue;
        int filled = PyUnicode_Compare(key, maker->artifact_key) == 0 ? 1 : is_filled(item);
        if (filled < 0) return 0;
        if (filled && (!PUT(",") || !put_pair(line, key, item, depth))) return 0;
    }
    return PUT("}");
}

static int put_message(Line *line, PyObject *value, int depth, int (*put)(Line *, PyObject *, int)) {
    PyObject *fields = PyObject_GenericGetDict(value, NULL);
    int is_put = fields != NULL && put(line, fields, depth);
    Py_XDECREF(fields);
    return is_put;
}

static int put_prompt(Line *line, PyObject *value, int depth) {
    PyObject *fields = PyObject_GenericGetDict(value, NULL);
    PyObject *found = fields == NULL ? NULL : PyDict_GetItemWithError(fields, line->maker->messages_key);
    int is_put = found != NULL && PUT("{") && put_pair(line, line->maker->messages_key, found, depth) && PUT("}");
    Py_XDECREF(fields);
    return is_put;
}

static int put_object(Line *line, PyObject *value, int depth) {
    const Maker *maker = line->maker;
    PyObject *kind = (PyObject *)Py_TYPE(value);
    if (kind == maker->uuid) return put_uuid(line, value);
    if (kind == maker->text) return put_text(line, value);
    if (kind == maker->prompt) return put_prompt(line, value, depth);
    for (int i = 0; i < maker->message_classes; i++)
        if (kind == maker->messages[i]) return put_message(line, value, depth, put_fields);
    for (int i = 0; i < maker->other_classes; i++)
        if (kind == maker->others[i]) return put_message(line, value, depth, put_other_fields);
    return 0;
}

static int put_value(Line *line, PyObject *value, int depth) {
    PyTypeObject *kind = Py_TYPE(value);
    if (kind == &PyUnicode_Type) return put_text(line, value);
    if (value == Py_None) return PUT("null");
    if (kind == &PyLong_Type) return put_number(line, value);
    if (kind == &PyBool_Type) return value == Py_True ? PUT("true") : PUT("false");
    if (kind == &PyFloat_Type) return put_float(line, value);
    if (depth > MAX_DEPTH) return 0;
    if (kind == &PyDict_Type) return put_dict(line, value, depth + 1);
    if (kind == &PyList_Type) return put_items(line, value, depth + 1, 1);
    if (kind == &PyTuple_Type) return put_items(line, value, depth + 1, 0);
    return put_object(line, value, depth + 1);
}

static inline unsigned low_bits(char byte) { return (unsigned char)byte & 31; }

static inline int has_pair(const Maker *maker, const char *at) {
    return maker->pairs[low_bits(at[0])] >> low_bits(at[1]) & 1;
}

/* Whether a hint stands here. The line ends in a newline, which is in no hint, so nothing behind it is read. */
static int is_hint(const Maker *maker, const char *at) {
    unsigned first = low_bits(*at);
    for (int i = maker->first_hint[first]; i < maker->first_hint[first + 1]; i++) {
        int size = maker->hints[i].size, same = 0;
        for (; same < size; same++) {
            char byte = at[same] >= 'A' && at[same] <= 'Z' ? (char)(at[same] + 32) : at[same];
            if (byte != maker->hints[i].text[same]) break;
        }
        if (same == size) return 1;
    }
    return 0;
}

/* Whether one of the hints begins in these bytes. Each second pair of letters is looked at: a hint's first, or its
 * second. */
static int has_hint_here(const Maker *maker, const char *start, const char *stop) {
    for (const char *at = start + 1; at < stop - 2; at += 2)
        if (has_pair(maker, at) && ((has_pair(maker, at - 1) && is_hint(maker, at - 1)) ||
                                    (has_pair(maker, at + 1) && is_hint(maker, at))))
            return 1;
    return 0;
}

#if HAS_VECTORS
/* In which eighths of the hints there is one whose byte of this number is each of these sixteen, as far as half of its
 * bits say: a bit for each. Letters of either case are the same. */
__attribute__((target("ssse3"))) static inline __m128i eighths(const Maker *maker, const char *at, int number) {
    __m128i bytes = _mm_or_si128(_mm_loadu_si128((const __m128i *)(at + number)), _mm_set1_epi8(0x20));
    __m128i four_bits = _mm_set1_epi8(15);
    __m128i lower = _mm_and_si128(bytes, four_bits), upper = _mm_and_si128(_mm_srli_epi16(bytes, 4), four_bits);
    return _mm_and_si128(_mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)maker->lower[number]), lower),
                         _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)maker->upper[number]), upper));
}

/* Sixteen places at once: few of them are looked at more closely. */
__attribute__((target("ssse3"))) static int has_hint_by_vectors(const Maker *maker, const char *at, const char *stop) {
    for (; stop - at >= 16 + LOOKED_AT - 1; at += 16) {
        __m128i found = _mm_and_si128(_mm_and_si128(eighths(maker, at, 0), eighths(maker, at, 1)), eighths(maker, at, 2));
        unsigned none = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(found, _mm_setzero_si128()));
        for (unsigned some = none ^ 0xFFFF; some; some &= some - 1)
            if (is_hint(maker, at + __builtin_ctz(some))) return 1;
    }
    return has_hint_here(maker, at, stop);
}
#endif

/* Whether one of the hints is in the line. */
static int has_hint(const Maker *maker, const char *start, const char *stop) {
#if HAS_VECTORS
    if (maker->has_ssse3) return has_hint_by_vectors(maker, start, stop);
#endif
    return has_hint_here(maker, start, stop);
}

/* Writes into a segment's map, as the class of that name in segment.py. Only its methods and keep() touch what is here,
 * and run no Python code meanwhile: no other thread can come between taking a place and filling it. */
typedef struct {
    PyObject_HEAD
    Py_buffer map;
    char *at, *end;
} MapWriter;

static int take(MapWriter *writer, const char *bytes, Py_ssize_t size) {
    if (writer->end - writer->at < size) return 0;
    memcpy(writer->at, bytes, (size_t)size);
    writer->at += size;
    return 1;
}

static PyObject *writer_put(PyObject *self, PyObject *line) {
    char *bytes;
    Py_ssize_t size;
    if (PyBytes_AsStringAndSize(line, &bytes, &size) < 0) return NULL;
    if (take((MapWriter *)self, bytes, size)) Py_RETURN_NONE;
    PyErr_SetString(PyExc_ValueError, "no room for the line");
    return NULL;
}

/* Whether a line that is made may be kept: nothing in it hints at a secret, or what it hints at is none. */
static int may_pass(Line *line) {
    const Maker *maker = line->maker;
    if (!has_hint(maker, line->start, line->at)) return 1;
    PyObject *made = PyBytes_FromStringAndSize(line->start, line->at - line->start);
    PyObject *found = made == NULL ? NULL : PyObject_CallFunctionObjArgs(maker->is_secret, made, NULL);
    Py_XDECREF(found);
    Py_XDECREF(made);
    return found == Py_False; /* what cannot be searched is not written */
}

static PyObject *kept(Line *line, PyObject *put) {
    Py_ssize_t size = line->at - line->start;
    int is_ours = PyCFunction_Check(put) && PyCFunction_GetFunction(put) == writer_put;
    if (is_ours && take((MapWriter *)PyCFunction_GetSelf(put), line->start, size)) Py_RETURN_TRUE;
    PyObject *made = PyBytes_FromStringAndSize(line->start, size);
    if (made == NULL || is_ours) return made;
    PyObject *done = PyObject_CallFunctionObjArgs(put, made, NULL);
    if (done == NULL && PyErr_ExceptionMatches(PyExc_ValueError)) {
        PyErr_Clear();
        return made;
    }
    Py_DECREF(made);
    if (done == NULL) return NULL;
    Py_DECREF(done);
    Py_RETURN_TRUE;
}

static PyObject *keep_line(PyObject *self, PyObject *const *arguments, Py_ssize_t count) {
    const Maker *maker = PyCapsule_GetPointer(self, NULL);
    if (maker == NULL) return NULL;
    if (count != 2 || Py_TYPE(arguments[0]) != &PyTuple_Type) {
        PyErr_SetString(PyExc_TypeError, "keep() takes a tuple and what keeps a line");
        return NULL;
    }
    char on_stack[STACK_BYTES];
    Line line = {maker, on_stack, on_stack, on_stack + STACK_BYTES, 0, 0}, *whole = &line;
    int is_whole = put_value(whole, arguments[0], 0) && put_bytes(whole, "\n", 1);
    if (PyErr_Occurred()) {
        PyErr_Clear(); /* Python finds out what it is */
        is_whole = 0;
    }
    int is_refused = line.is_over || line.at - line.start > maker->limit || (is_whole && !may_pass(whole));
    PyObject *done = is_whole && !is_refused ? kept(whole, arguments[1]) : NULL;
    if (line.on_heap) PyMem_Free(line.start);
    if (done == NULL && !PyErr_Occurred()) return is_refused ? Py_NewRef(Py_False) : Py_NewRef(Py_None);
    return done;
}

static PyMethodDef keep_method = {
    "keep", (PyCFunction)(void (*)(void))keep_line, METH_FASTCALL,
    "keep(fields: tuple, put) -> bytes | bool | None: give the line of a record to put. The line, where that has no room; "
    "False where it may not be written; None where Python is to make it."};

static void release(PyObject *capsule) {
    Maker *maker = PyCapsule_GetPointer(capsule, NULL);
    if (maker == NULL) return;
    Py_XDECREF(maker->type_key);
    Py_XDECREF(maker->content_key);
    Py_XDECREF(maker->messages_key);
    Py_XDECREF(maker->artifact_key);
    Py_XDECREF(maker->int_name);
    Py_XDECREF(maker->arguments);
    PyMem_Free(maker);
}

/* They are in the order of their first letters, so those of an eighth are alike, and little else looks like them. */
static void learn_eighths(Maker *maker, int known) {
    for (int i = 0; i < known; i++)
        for (int at = 0; at < LOOKED_AT; at++) {
            unsigned char byte = (unsigned char)(maker->hints[i].text[at] | 0x20);
            unsigned char eighth = (unsigned char)(1 << (i * 8 / known));
            maker->lower[at][byte & 15] |= eighth;
            maker->upper[at][byte >> 4] |= eighth;
        }
#if HAS_VECTORS
    maker->has_ssse3 = __builtin_cpu_supports("ssse3");
#endif
}

/* 0, with an exception set, for hints that cannot be looked for. */
static int learn_hints(Maker *maker, PyObject *hints) {
    int known = 0;
    for (unsigned first = 0; first < 32; first++) {
        maker->first_hint[first] = (unsigned char)known;
        for (Py_ssize_t i = 0; i < PyTuple_Size(hints); i++) {
            Py_ssize_t size;
            const char *hint = PyUnicode_AsUTF8AndSize(PyTuple_GetItem(hints, i), &size);
            if (hint == NULL) return 0;
            if (size < 3 || size > MAX_HINT_BYTES || known == MAX_HINTS) {
                PyErr_SetString(PyExc_ValueError, "too many hints, or one that is too short or too long");
                return 0;
            }
            if (low_bits(*hint) != first) continue;
            memcpy(maker->hints[known].text, hint, (size_t)size);
            maker->hints[known++].size = (unsigned char)size;
            for (int at = 0; at < 2; at++) maker->pairs[low_bits(hint[at])] |= 1U << low_bits(hint[at + 1]);
        }
    }
    maker->first_hint[32] = (unsigned char)known;
    learn_eighths(maker, known);
    return 1;
}

static int learn(void *known, PyObject *arguments) {
    Maker *maker = known;
    PyObject *classes, *others, *hints;
    if (!PyArg_ParseTuple(arguments, "O!O!O!OOOO!On", &PyTuple_Type, &classes, &PyTuple_Type, &others, &PyTuple_Type,
                          &maker->other_fields, &maker->prompt, &maker->text, &maker->uuid,
                          &PyTuple_Type, &hints, &maker->is_secret, &maker->limit))
        return 0;
    if (PyTuple_Size(classes) > MAX_CLASSES || PyTuple_Size(others) > MAX_CLASSES || maker->limit < 0) {
        PyErr_SetString(PyExc_ValueError, "too many classes of messages, or a limit below 0");
        return 0;
    }
    if (maker->limit > PY_SSIZE_T_MAX / 4) maker->limit = PY_SSIZE_T_MAX / 4;
    for (; maker->message_classes < PyTuple_Size(classes); maker->message_classes++)
        maker->messages[maker->message_classes] = PyTuple_GetItem(classes, maker->message_classes);
    for (; maker->other_classes < PyTuple_Size(others); maker->other_classes++)
        maker->others[maker->other_classes] = PyTuple_GetItem(others, maker->other_classes);
    maker->type_key = PyUnicode_InternFromString("type");
    maker->artifact_key = PyUnicode_InternFromString("artifact");
    maker->content_key = PyUnicode_InternFromString("content");
    maker->messages_key = PyUnicode_InternFromString("messages");
    maker->int_name = PyUnicode_InternFromString("int");
    return maker->type_key && maker->content_key && maker->messages_key && maker->artifact_key && maker->int_name &&
           learn_hints(maker, hints);
}

/* A function, and what it knows: a struct of this size, whose first field is the arguments that it is made with. */
static PyObject *knowing(PyMethodDef *method, PyObject *arguments, size_t size, int (*learn)(void *, PyObject *),
                         PyCapsule_Destructor release) {
    PyObject **known = PyMem_Calloc(1, size);
    if (known == NULL) return PyErr_NoMemory();
    PyObject *capsule = PyCapsule_New(known, NULL, release), *function = NULL;
    if (capsule == NULL) {
        PyMem_Free(known);
        return NULL;
    }
    Py_INCREF(arguments);
    *known = arguments;
    if (learn(known, arguments)) function = PyCFunction_New(method, capsule);
    Py_DECREF(capsule);
    return function;
}

static PyObject *make_keeper(PyObject *module, PyObject *arguments) {
    (void)module;
    return knowing(&keep_method, arguments, sizeof(Maker), learn, release);
}

/* What chat_message() knows: borrowed from the arguments of chat_former(), which are kept. */
typedef struct {
    PyObject *arguments;
    PyObject *roles, *more, *otherwise;
    PyObject *role_key, *content_key;
} Former;

/* A message that has a text and no more; NULL for others. */
static PyObject *usual_form(const Former *former, PyObject *message) {
    PyObject *role = PyDict_GetItemWithError(former->roles, (PyObject *)Py_TYPE(message));
    PyObject *fields = role == NULL ? NULL : PyObject_GenericGetDict(message, NULL);
    PyObject *content = fields == NULL ? NULL : PyDict_GetItemWithError(fields, former->content_key);
    int is_usual = content != NULL && Py_TYPE(content) == &PyUnicode_Type;
    for (Py_ssize_t i = 0; is_usual && i < PyTuple_Size(former->more); i++) {
        PyObject *field = PyDict_GetItemWithError(fields, PyTuple_GetItem(former->more, i));
        is_usual = !PyErr_Occurred() && (field == NULL || is_filled(field) == 0);
    }
    PyObject *form = is_usual ? PyDict_New() : NULL;
    if (form != NULL && (PyDict_SetItem(form, former->role_key, role) < 0 ||
                         PyDict_SetItem(form, former->content_key, content) < 0))
        Py_CLEAR(form);
    Py_XDECREF(fields);
    return form;
}

static PyObject *chat_message(PyObject *self, PyObject *message) {
    const Former *former = PyCapsule_GetPointer(self, NULL);
    if (former == NULL) return NULL;
    PyObject *form = usual_form(former, message);
    if (form != NULL) return form;
    PyErr_Clear(); /* Python finds out what it is */
    return PyObject_CallFunctionObjArgs(former->otherwise, message, NULL);
}

static PyMethodDef chat_message_method = {
    "chat_message", chat_message, METH_O,
    "chat_message(message): the role and the content of one that has no more; others are left to Python."};

static void release_former(PyObject *capsule) {
    Former *former = PyCapsule_GetPointer(capsule, NULL);
    if (former == NULL) return;
    Py_XDECREF(former->role_key);
    Py_XDECREF(former->content_key);
    Py_XDECREF(former->arguments);
    PyMem_Free(former);
}

static int learn_former(void *known, PyObject *arguments) {
    Former *former = known;
    former->role_key = PyUnicode_InternFromString("role");
    former->content_key = PyUnicode_InternFromString("content");
    return former->role_key && former->content_key &&
           PyArg_ParseTuple(arguments, "O!O!O", &PyDict_Type, &former->roles, &PyTuple_Type, &former->more,
                            &former->otherwise);
}

static PyObject *make_former(PyObject *module, PyObject *arguments) {
    (void)module;
    return knowing(&chat_message_method, arguments, sizeof(Former), learn_former, release_former);
}

static PyObject *writer_new(PyTypeObject *type, PyObject *arguments, PyObject *named) {
    PyObject *map;
    (void)named;
    if (!PyArg_ParseTuple(arguments, "O:MapWriter", &map)) return NULL;
    MapWriter *writer = (MapWriter *)PyType_GenericAlloc(type, 0);
    if (writer == NULL) return NULL;
    if (PyObject_GetBuffer(map, &writer->map, PyBUF_WRITABLE) < 0) {
        Py_DECREF(writer);
        return NULL;
    }
    writer->at = writer->map.buf;
    writer->end = writer->at + writer->map.len;
    return (PyObject *)writer;
}

static PyObject *writer_release(PyObject *self, PyObject *none) {
    MapWriter *writer = (MapWriter *)self;
    (void)none;
    writer->at = writer->end = NULL;
    PyBuffer_Release(&writer->map);
    Py_RETURN_NONE;
}

static PyObject *writer_seal(PyObject *self, PyObject *none) {
    (void)none;
    ((MapWriter *)self)->at = ((MapWriter *)self)->end;
    Py_RETURN_NONE;
}

static PyObject *writer_unseal(PyObject *self, PyObject *used) {
    MapWriter *writer = (MapWriter *)self;
    Py_ssize_t at = PyLong_AsSsize_t(used);
    if (at == -1 && PyErr_Occurred()) return NULL;
    if (writer->map.obj == NULL || at < 0 || at > writer->map.len) {
        PyErr_SetString(PyExc_ValueError, "not in the map");
        return NULL;
    }
    writer->at = (char *)writer->map.buf + at;
    Py_RETURN_NONE;
}

static void writer_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyBuffer_Release(&((MapWriter *)self)->map);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyMethodDef writer_methods[] = {
    {"put", writer_put, METH_O, "Write a line behind the last; ValueError where it does not fit."},
    {"seal", writer_seal, METH_NOARGS, "Take no more lines."},
    {"unseal", writer_unseal, METH_O, "Take lines again, from a place on."},
    {"release", writer_release, METH_NOARGS, "Let go of the map, and take no more lines."},
    {NULL, NULL, 0, NULL}};

static PyType_Slot writer_slots[] = {
    {Py_tp_new, writer_new}, {Py_tp_dealloc, writer_dealloc}, {Py_tp_methods, writer_methods}, {0, NULL}};

static PyType_Spec writer_spec = {
    "langchain_autotrace.capture._line.MapWriter", sizeof(MapWriter), 0, Py_TPFLAGS_DEFAULT, writer_slots};

static int add_writer(PyObject *module) {
    PyObject *type = PyType_FromSpec(&writer_spec);
    int is_added = type == NULL ? -1 : PyModule_AddObjectRef(module, "MapWriter", type);
    Py_XDECREF(type);
    return is_added;
}

static PyMethodDef methods[] = {
    {"keeper", make_keeper, METH_VARARGS,
     "keeper(message_classes, other_classes, other_fields, prompt_class, text_class, uuid_class, hints, is_secret, limit): the function keep()."},
    {"chat_former", make_former, METH_VARARGS, "chat_former(roles, more, otherwise): the function chat_message()."},
    {NULL, NULL, 0, NULL}};

static PyModuleDef_Slot slots[] = {{Py_mod_exec, add_writer}, {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_line", "Lines of records, made in one pass.", 0, methods, slots, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__line(void) { return PyModuleDef_Init(&definition); }
