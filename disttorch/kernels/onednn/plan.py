"""Plans: a fixed sequence of oneDNN primitives over some arrays, built once per shape and run many times.

A plan's temporaries and scratchpads lie in one buffer per thread, so nothing is allocated when it runs, and a plan
keeps no data between runs. Plans are lent out by a bounded cache: a plan runs in one thread at a time. How many of
OpenMP's threads share its work is decided when it is built, as oneDNN fixes that with the primitive.
"""

import ctypes
import threading
from ctypes import byref, c_int, c_int64, c_void_p

import numpy as np

from disttorch.kernels.blas import DATA_OFFSET, address
from disttorch.kernels.onednn import binding as dnnl
from disttorch.kernels.onednn.binding import Unsupported
from disttorch.kernels.threads import PER_ELEMENT, enter_thread, get_num_threads, threads_for

ALIGNMENT = 64  # bytes: a cache line, and AVX-512's register
CACHED_PLANS = 2048  # a deep network needs two or three per layer and input shape; each holds a few kilobytes
SCRATCHPAD_USER = 1
UNKNOWN = object()
_at = c_void_p.from_address


class _Argument(ctypes.Structure):
    """dnnl_exec_arg_t"""

    _fields_ = (("arg", c_int), ("memory", c_void_p))


class _Thread(threading.local):
    """What each thread has of its own: a stream, and memory for temporaries."""

    scratch_size = 0
    scratch = 0  # address
    stream = None


class Engine:
    """The CPU engine of a loaded libdnnl, and the plans made for it."""

    def __init__(self, lib):
        probe = np.empty(1)
        if address(probe) != probe.ctypes.data:
            raise ImportError("this NumPy does not keep an array's data pointer where version 2 does")
        self.lib = lib
        processor = lib.dnnl_get_effective_cpu_isa()
        self.register = 16 if processor & dnnl.AVX512 else 8  # floats
        self.converts_bfloat16 = bool(processor & dnnl.AVX512)
        self.multiplies_bfloat16 = bool(processor & dnnl.AVX512_BF16)  # itself, in half of float32's time
        self.handle = c_void_p()
        self.check(lib.dnnl_engine_create(byref(self.handle), 1, 0))  # dnnl_cpu
        self.attributes = self._new_attributes()
        self._followed = {}  # (algorithm, alpha) -> attributes
        self._scaled = None  # attributes
        self.thread = _Thread()
        self._idle = {}  # key -> plans not running, None where oneDNN has no implementation
        self._threads = get_num_threads()  # for which those plans were made
        self._lock = threading.Lock()  # of that dictionary's growth

    def _new_attributes(self):
        attributes = c_void_p()
        self.check(self.lib.dnnl_primitive_attr_create(byref(attributes)))
        self.check(self.lib.dnnl_primitive_attr_set_scratchpad_mode(attributes, SCRATCHPAD_USER))
        return attributes

    def attributes_with(self, *then):
        """Attributes of a primitive whose result goes through each of `then`: a binary function, (operation, layout of
        its second source), or one of single elements, (algorithm, alpha, beta).
        """
        attributes, functions = self._new_attributes(), c_void_p()
        self.check(self.lib.dnnl_post_ops_create(byref(functions)))
        for what, *by in then:
            append = self.lib.dnnl_post_ops_append_binary if len(by) == 1 else self.lib.dnnl_post_ops_append_eltwise
            self.check(append(functions, what, *by))
        self.check(self.lib.dnnl_primitive_attr_set_post_ops(attributes, functions))  # copies them
        self.lib.dnnl_post_ops_destroy(functions)
        return attributes

    def with_scaled_source(self):
        """Attributes of a primitive whose source is first multiplied by a number, an argument of its own."""
        if self._scaled is None:
            self._scaled = self._new_attributes()
            self.check(self.lib.dnnl_primitive_attr_set_scales_mask(self._scaled, dnnl.SRC, 0))
        return self._scaled

    def followed_by(self, algorithm, alpha=0.0):
        """Attributes of a primitive whose result goes through an elementwise function before it is written."""
        attributes = self._followed.get((algorithm, alpha))
        if attributes is None:
            attributes = self._followed[algorithm, alpha] = self.attributes_with((algorithm, alpha, 0.0))
        return attributes

    def check(self, status):
        if status:
            raise Unsupported(self.lib.dnnl_status2str(status).decode())

    def run(self, key, build, *arrays, work=None, kind=dnnl.F32):
        """Run the plan cached under `key` on `arrays`; if none is idle, have `build(plan)` make one first.

        work: the multiplications it takes between two meetings of its threads; None: a few per element. kind: of the
        numbers in arrays for which `build` says no other; part of the key.
        Raises Unsupported, at once the next time, if oneDNN cannot do what `build` asks.
        """
        if self._threads != get_num_threads():
            self._idle, self._threads = {}, get_num_threads()
        if kind != dnnl.F32:
            key = (kind, *key)
        idle = self._idle.get(key, UNKNOWN)
        if idle is UNKNOWN:
            idle = self._remember(key, build, _work(arrays, work), kind)
        if idle is None:
            raise Unsupported
        try:
            plan = idle.pop()
        except IndexError:
            plan = self.new_plan(_work(arrays, work), kind)
            build(plan)
        plan.run(arrays)
        idle.append(plan)

    def new_plan(self, work, kind=dnnl.F32):
        plan = Plan(self, threads_for(work), kind)
        enter_thread(plan.threads)
        return plan

    def _remember(self, key, build, work, kind):
        plan = self.new_plan(work, kind)
        try:
            build(plan)
            idle = [plan]
        except Unsupported:
            idle = None
        with self._lock:
            while len(self._idle) >= CACHED_PLANS:
                del self._idle[next(iter(self._idle))]
            return self._idle.setdefault(key, idle)

    def scratch(self, size):
        """Address of this thread's buffer of at least `size` bytes."""
        thread = self.thread
        if thread.scratch_size < size:
            thread.buffer = np.empty(size + ALIGNMENT, np.uint8)
            start = thread.buffer.ctypes.data
            thread.scratch = start + -start % ALIGNMENT
            thread.scratch_size = size
        return thread.scratch

    def stream(self):
        thread = self.thread
        if thread.stream is None:
            thread.stream = c_void_p()
            self.check(self.lib.dnnl_stream_create(byref(thread.stream), self.handle, 1))  # in order
        return thread.stream


class Memory:
    """A dnnl_memory and the layout it has."""

    def __init__(self, engine, layout):
        self.layout, self.lib = layout, engine.lib
        handle = c_void_p()
        engine.check(self.lib.dnnl_memory_create(byref(handle), layout, engine.handle, None))
        self.handle = handle.value

    def __del__(self):
        self.lib.dnnl_memory_destroy(self.handle)


def _work(arrays, work):
    return PER_ELEMENT * sum([a.size for a in arrays]) if work is None else work


class Plan:
    def __init__(self, engine, threads, kind=dnnl.F32):
        self.engine, self.lib, self.threads, self.kind = engine, engine.lib, threads, kind
        self._set_handle, self._execute = engine.lib.dnnl_memory_set_data_handle, engine.lib.dnnl_primitive_execute
        self._arrays = []  # memories of the arguments of run(), in order
        self._handles, self._addresses = [], []  # theirs; where the arguments last lay
        self._temporaries = []  # (memory, offset in the thread's buffer)
        self._steps = []  # (primitive, number of arguments, where these lie)
        self._tables = []  # the arguments of each
        self._layouts, self._descs = [], []
        self._size, self._base = 0, 0

    # ---- building

    def layout(self, shape, strides=None, dtype=None):
        """A dnnl_memory_desc. strides: in elements, None: what the primitive likes best; dtype: if not the plan's."""
        desc, n = c_void_p(), len(shape)
        dtype = self.kind if dtype is None else dtype
        if strides is None:
            status = self.lib.dnnl_memory_desc_create_with_tag(byref(desc), n, dims(shape), dtype, dnnl.FORMAT_ANY)
        else:
            status = self.lib.dnnl_memory_desc_create_with_strides(byref(desc), n, dims(shape), dtype, dims(strides))
        self.engine.check(status)
        self._layouts.append(desc)
        return desc

    def array(self, layout):
        """Declare the next argument of run()."""
        memory = Memory(self.engine, layout)
        self._arrays.append(memory)
        self._handles.append(memory.handle)
        self._addresses.append(None)
        return memory

    def temporary(self, layout):
        memory = Memory(self.engine, layout)
        self._temporaries.append((memory, self._size))
        self._size += -(-self.size(layout) // ALIGNMENT) * ALIGNMENT
        return memory

    def describe(self, operation, *arguments, attributes=None):
        """A primitive descriptor of `operation`; reference implementations are refused, they are slower than NumPy."""
        desc = c_void_p()
        create = getattr(self.lib, f"dnnl_{operation}_primitive_desc_create")
        self.engine.check(create(byref(desc), self.engine.handle, *arguments, attributes or self.engine.attributes))
        self._descs.append(desc)
        recurrent = operation.startswith(("lstm", "lbr_gru"))  # their "ref" is made of fast GEMMs
        if self.implementation(desc).startswith("ref") and not recurrent:
            raise Unsupported(f"{operation} has no fast implementation")
        return desc

    def implementation(self, desc):
        """Its name."""
        name = ctypes.c_char_p()
        self.lib.dnnl_primitive_desc_query(desc, dnnl.QUERY_IMPL, 0, byref(name))
        return name.value.decode()

    def wanted(self, desc, query, index=0):
        """The layout that a described primitive wants for one of its arguments (None if it has no such argument)."""
        return self.lib.dnnl_primitive_desc_query_md(desc, query, index)

    def size(self, layout):
        """Bytes that an array of this layout takes."""
        return self.lib.dnnl_memory_desc_get_size(layout)

    def input(self, memory, desc, query, index=0):
        """`memory` itself where its layout is the wanted one, else a reordered temporary."""
        layout = self.wanted(desc, query, index)
        if self.lib.dnnl_memory_desc_equal(memory.layout, layout):
            return memory
        reordered = self.temporary(layout)
        self.reorder(memory, reordered)
        return reordered

    def output(self, memory, desc, query, index=0):
        """(where the primitive writes, whether `finish` has to reorder that into `memory`)."""
        layout = self.wanted(desc, query, index)
        return memory if self.lib.dnnl_memory_desc_equal(memory.layout, layout) else self.temporary(layout)

    def finish(self, written, memory):
        if written is not memory:
            self.reorder(written, memory)

    def reorder(self, source, target):
        engine = self.engine.handle
        desc = c_void_p()
        attributes = self.engine.attributes
        self.engine.check(
            self.lib.dnnl_reorder_primitive_desc_create(
                byref(desc), source.layout, engine, target.layout, engine, attributes
            )
        )
        self._descs.append(desc)
        self.step(desc, {dnnl.SRC: source, dnnl.DST: target})

    def step(self, desc, arguments):
        """Add one primitive: `arguments` maps DNNL_ARG_* to memories."""
        primitive = c_void_p()
        self.engine.check(self.lib.dnnl_primitive_create(byref(primitive), desc))
        scratchpad = self.wanted(desc, dnnl.QUERY_SCRATCHPAD)
        if scratchpad and self.size(scratchpad):
            arguments = {**arguments, dnnl.SCRATCHPAD: self.temporary(scratchpad)}
        table = (_Argument * len(arguments))(*((arg, memory.handle) for arg, memory in arguments.items()))
        self._tables.append(table)
        self._steps.append((primitive.value, len(arguments), ctypes.addressof(table)))

    def combine(self, target, a, operation, b, *then):
        """Add a step: target = a operation b, and what comes of it goes through each of `then`: an (operation, memory),
        or a function of single elements, (algorithm, alpha, beta).
        """
        arguments = {dnnl.SRC: a, dnnl.SRC_1: b, dnnl.DST: target}
        functions = []
        for index, (what, *by) in enumerate(then):
            if isinstance(by[0], Memory):
                arguments[dnnl.second_source(index)] = by[0]
                by = [by[0].layout]
            functions.append((what, *by))
        attributes = self.engine.attributes_with(*functions)
        desc = self.describe("binary", operation, a.layout, b.layout, target.layout, attributes=attributes)
        self.lib.dnnl_primitive_attr_destroy(attributes)  # the descriptor has a copy
        self.step(desc, arguments)

    # ---- running

    def run(self, arrays):
        engine, set_handle, execute = self.engine, self._set_handle, self._execute
        enter_thread(self.threads)
        addresses = [_at(id(array) + DATA_OFFSET).value for array in arrays]
        if addresses != self._addresses:  # in small networks they often are where they were in the step before
            for handle, where, before in zip(self._handles, addresses, self._addresses, strict=True):
                if where != before:
                    set_handle(handle, where)
            self._addresses = addresses
        if self._size:
            base = engine.scratch(self._size)
            if base != self._base:
                for memory, offset in self._temporaries:
                    set_handle(memory.handle, base + offset)
                self._base = base
        stream = engine.thread.stream or engine.stream()
        for primitive, count, table in self._steps:
            if status := execute(primitive, stream, count, table):
                raise RuntimeError(f"oneDNN: {self.lib.dnnl_status2str(status).decode()}")

    def __del__(self):
        for primitive, _, _ in self._steps:
            self.lib.dnnl_primitive_destroy(primitive)
        for desc in self._descs:
            self.lib.dnnl_primitive_desc_destroy(desc)
        for layout in self._layouts:
            self.lib.dnnl_memory_desc_destroy(layout)


def dims(values):
    return (c_int64 * len(values))(*values)
