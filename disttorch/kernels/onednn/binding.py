"""libdnnl through ctypes: finding it, its functions' signatures, the names of its constants.

The C API is oneDNN's, https://oneapi-src.github.io/oneDNN, major version 3.
"""

import ctypes
import site
import sys
from ctypes import POINTER, c_char, c_char_p, c_float, c_int, c_int64, c_uint, c_void_p
from pathlib import Path

SONAME = "libdnnl.so.3"

# dnnl_data_type_t, dnnl_format_tag_t, dnnl_prop_kind_t, dnnl_alg_kind_t
BF16, F32 = 2, 3
FORMAT_ANY = 1
TRAINING, INFERENCE, BACKWARD = 64, 96, 128
CONVOLUTION_DIRECT = 1
RELU, TANH, ELU, SQRT, LINEAR, SOFT_RELU = 0x20, 0x21, 0x22, 0x25, 0x26, 0x27
HARDSIGMOID, LOGISTIC, EXP = 0x28, 0x29, 0x2A
GELU_TANH, SWISH, CLIP, GELU_ERF, MISH, HARDSWISH = 0x2B, 0x2C, 0x2F, 0x31, 0x33, 0x34
RELU_FROM_DST, TANH_FROM_DST, LOGISTIC_FROM_DST = 0x100, 0x101, 0x104
POOL_MAX, POOL_AVG_INCLUDE, POOL_AVG_EXCLUDE = 0x1FF, 0x2FF, 0x3FF
ADD, MUL, MAX, DIV, SUB = 0x1FFF0, 0x1FFF1, 0x1FFF2, 0x1FFF4, 0x1FFF5
GREATER, NOT_EQUAL = 0x1FFF7, 0x1FFFB
RESAMPLING_NEAREST, RESAMPLING_LINEAR = 0x2FFF0, 0x2FFF1
SOFTMAX, LOG_SOFTMAX = 0x30000, 0x30001
# dnnl_normalization_flags_t
GLOBAL_STATS, SCALE_FLAG, SHIFT_FLAG = 1, 2, 4
# DNNL_ARG_*
SRC, SRC_1, DST = 1, 2, 17
WEIGHTS, BIAS, MEAN, VARIANCE, SCALE, SHIFT = 33, 41, 49, 50, 51, 52
WORKSPACE, SCRATCHPAD = 64, 80
SCALE_OF_SRC = 1 << 12 | SRC
DIFF_SRC, DIFF_DST, DIFF_WEIGHTS, DIFF_BIAS, DIFF_SCALE, DIFF_SHIFT = 129, 145, 161, 169, 255, 256
# dnnl_query_t
QUERY_IMPL, QUERY_SRC, QUERY_DIFF_SRC, QUERY_WEIGHTS, QUERY_DIFF_WEIGHTS = 8, 129, 130, 131, 132
QUERY_DST, QUERY_DIFF_DST, QUERY_WORKSPACE, QUERY_SCRATCHPAD = 133, 134, 135, 136

# The bits of dnnl_cpu_isa_t that all with registers of 512 bits have, and of these all that multiply bfloat16.
AVX512, AVX512_BF16 = 0x20, 0x80


def second_source(index):
    """The argument of a binary function that a result goes through, the `index`-th of them all."""
    return (index + 1) << 15 | SRC_1


_P, _DIMS, _OUT = c_void_p, POINTER(c_int64), POINTER(c_void_p)
_SIGNATURES = {
    "dnnl_engine_create": (_OUT, c_int, ctypes.c_size_t),
    "dnnl_stream_create": (_OUT, _P, c_uint),
    "dnnl_memory_desc_create_with_strides": (_OUT, c_int, _DIMS, c_int, _DIMS),
    "dnnl_memory_desc_create_with_tag": (_OUT, c_int, _DIMS, c_int, c_int),
    "dnnl_memory_desc_destroy": (_P,),
    "dnnl_memory_create": (_OUT, _P, _P, _P),
    "dnnl_memory_destroy": (_P,),
    "dnnl_memory_set_data_handle": (_P, _P),
    "dnnl_primitive_attr_create": (_OUT,),
    "dnnl_primitive_attr_destroy": (_P,),
    "dnnl_primitive_attr_set_scratchpad_mode": (_P, c_int),
    "dnnl_primitive_attr_set_post_ops": (_P, _P),
    "dnnl_primitive_attr_set_scales_mask": (_P, c_int, c_int),
    "dnnl_post_ops_create": (_OUT,),
    "dnnl_post_ops_append_eltwise": (_P, c_int, c_float, c_float),
    "dnnl_post_ops_append_binary": (_P, c_int, _P),
    "dnnl_post_ops_destroy": (_P,),
    "dnnl_primitive_create": (_OUT, _P),
    "dnnl_primitive_destroy": (_P,),
    "dnnl_primitive_execute": (_P, _P, c_int, _P),
    "dnnl_primitive_desc_destroy": (_P,),
    "dnnl_primitive_desc_query": (_P, c_int, c_int, _P),
    "dnnl_convolution_forward_primitive_desc_create": (_OUT, _P, c_int, c_int, _P, _P, _P, _P, *[_DIMS] * 4, _P),
    "dnnl_convolution_backward_data_primitive_desc_create": (_OUT, _P, c_int, _P, _P, _P, *[_DIMS] * 4, _P, _P),
    "dnnl_convolution_backward_weights_primitive_desc_create": (_OUT, _P, c_int, *[_P] * 4, *[_DIMS] * 4, _P, _P),
    "dnnl_pooling_forward_primitive_desc_create": (_OUT, _P, c_int, c_int, _P, _P, *[_DIMS] * 5, _P),
    "dnnl_pooling_backward_primitive_desc_create": (_OUT, _P, c_int, _P, _P, *[_DIMS] * 5, _P, _P),
    "dnnl_batch_normalization_forward_primitive_desc_create": (_OUT, _P, c_int, _P, _P, c_float, c_uint, _P),
    "dnnl_batch_normalization_backward_primitive_desc_create": (_OUT, _P, c_int, *[_P] * 3, c_float, c_uint, _P, _P),
    "dnnl_layer_normalization_forward_primitive_desc_create": (_OUT, _P, c_int, *[_P] * 3, c_float, c_uint, _P),
    "dnnl_layer_normalization_backward_primitive_desc_create": (_OUT, _P, c_int, *[_P] * 4, c_float, c_uint, _P, _P),
    "dnnl_softmax_forward_primitive_desc_create": (_OUT, _P, c_int, c_int, _P, _P, c_int, _P),
    "dnnl_softmax_backward_primitive_desc_create": (_OUT, _P, c_int, *[_P] * 3, c_int, _P, _P),
    "dnnl_eltwise_forward_primitive_desc_create": (_OUT, _P, c_int, c_int, _P, _P, c_float, c_float, _P),
    "dnnl_eltwise_backward_primitive_desc_create": (_OUT, _P, c_int, *[_P] * 3, c_float, c_float, _P, _P),
    "dnnl_binary_primitive_desc_create": (_OUT, _P, c_int, *[_P] * 4),
    "dnnl_resampling_forward_primitive_desc_create": (_OUT, _P, c_int, c_int, *[_P] * 4),
    "dnnl_resampling_backward_primitive_desc_create": (_OUT, _P, c_int, *[_P] * 5),
    "dnnl_inner_product_forward_primitive_desc_create": (_OUT, _P, c_int, *[_P] * 5),
    "dnnl_matmul_primitive_desc_create": (_OUT, _P, *[_P] * 5),
    "dnnl_reorder_primitive_desc_create": (_OUT, *[_P] * 5),
    "dnnl_lstm_forward_primitive_desc_create": (_OUT, _P, c_int, c_int, *[_P] * 11, c_uint, _P),
    "dnnl_lstm_backward_primitive_desc_create": (_OUT, _P, c_int, c_int, *[_P] * 22, c_uint, _P, _P),
    "dnnl_lbr_gru_forward_primitive_desc_create": (_OUT, _P, c_int, c_int, *[_P] * 7, c_uint, _P),
    "dnnl_lbr_gru_backward_primitive_desc_create": (_OUT, _P, c_int, c_int, *[_P] * 14, c_uint, _P, _P),
    "dnnl_sgemm": (c_char, c_char, *[c_int64] * 3, c_float, _P, c_int64, _P, c_int64, c_float, _P, c_int64),
}


class Unsupported(Exception):
    """oneDNN has no implementation for what was asked; the caller falls back to the portable kernel."""


def load():
    """The loaded library, or None where it or libgomp is missing."""
    names = [str(Path(root, "lib", SONAME)) for root in (sys.prefix, site.getuserbase())] + [SONAME]
    for name in names:
        try:
            lib = ctypes.CDLL(name)
        except OSError:
            continue
        _declare(lib)
        return lib
    return None


def _declare(lib):
    for name, arguments in _SIGNATURES.items():
        function = getattr(lib, name)
        function.argtypes = arguments
        function.restype = c_int
    lib.dnnl_primitive_desc_query_md.argtypes = (_P, c_int, c_int)
    lib.dnnl_primitive_desc_query_md.restype = c_void_p
    lib.dnnl_memory_desc_get_size.argtypes = (_P,)
    lib.dnnl_memory_desc_get_size.restype = ctypes.c_size_t
    lib.dnnl_memory_desc_equal.argtypes = (_P, _P)
    lib.dnnl_memory_desc_equal.restype = c_int
    lib.dnnl_get_effective_cpu_isa.argtypes = ()
    lib.dnnl_get_effective_cpu_isa.restype = c_int
    lib.dnnl_status2str.argtypes = (c_int,)
    lib.dnnl_status2str.restype = c_char_p
