"""Array-level kernels: NumPy or CuPy arrays in, arrays out. No Tensor, no autograd.

    kernels = for_device("cpu")            # or "cuda"
    y = kernels.conv_forward(x, w, b, (1, 1), (0, 0), (1, 1), 1)

Every backend offers this list (defaults shown; arrays may have any strides, results may be channels-last by strides;
arguments are never modified unless it says "in place"; 16-bit floats are computed in float32, but products, whose sums
are, may take bfloat16). Shapes are PyTorch's:
N batch, C channels, S spatial axes (1 to 3), `kernel, stride, padding, dilation`: tuples with one int per spatial axis.
A gradient that `needs` does not ask for is None. Arguments are positional or by these names; they are not validated.

Convolution; w (O, C/groups, *K); a transposed convolution is conv_backward_input with `output_padding` in x_shape
    conv_forward(x, w, b, stride, padding, dilation, groups) -> y               b may be None
    conv_backward(g, x, w, stride, padding, dilation, groups, needs=(True, True, True), into=None) -> (gx, gw, gb)
    conv_backward_input(g, w, x_shape, stride, padding, dilation, groups) -> gx
    conv_backward_weight(g, x, w_shape, stride, padding, dilation, groups) -> gw
Pooling; x (N, C, *S); `saved` is opaque
    max_pool_forward(x, kernel, stride, padding, dilation, ceil_mode=False) -> (y, saved)
    max_pool_indices(x, y, saved, kernel, stride, padding, dilation) -> int64 positions in the flattened plane
    max_pool_backward(g, saved, x_shape, kernel, stride, padding, dilation, ceil_mode=False) -> gx
    argmax(x, axis) -> int64 positions of the largest (NaN is), the first of several; the axis stays, with length 1
    avg_pool_forward(x, kernel, stride, padding, ceil_mode=False, count_include_pad=True, divisor_override=None) -> y
    avg_pool_backward(g, x_shape, kernel, stride, padding, ceil_mode, count_include_pad, divisor_override) -> gx
    adaptive_avg_pool_forward(x, output_size) -> y;        adaptive_avg_pool_backward(g, x_shape) -> gx
    adaptive_max_pool_forward(x, output_size) -> (y, indices);  adaptive_max_pool_backward(g, indices, x_shape) -> gx
Resizing of pictures x (N, C, H, W), linear or to the nearest element, by whole factors or, if linear, powers of two;
what lies channels last stays so; None where the backend has nothing better than the formula
    resample_forward(x, size, linear) -> y (N, C, *size);  resample_backward(g, x_shape, linear) -> gx
Matrix products; x (*, in), w (out, in)
    matmul(a, b) -> numpy.matmul's result; transposed views cost no copy
    linear_forward(x, w, b=None, activation=None) -> y         activation: None, "relu" or "gelu"
    linear_backward(g, x, w, needs=(True, True, True), into=None) -> (gx, gw, gb)     gw lies in `into`, where it can
    linear_parts_backward(gs, x, w, needs=(True, True, True)) -> (gx, gw, gb)     g in equal parts of its last axis
Attention; q (*, L, E), k (*, S, E), v (*, S, F); bias is added to the scores, keep (scaled) multiplies the weights
    attention_forward(q, k, v, bias, keep, scale) -> (y (*, L, F), weights (*, L, S))
    attention_backward(g, q, k, v, keep, weights, scale, needs=(True,) * 4) -> (gq, gk, gv, scores' gradient)
A Transformer's encoder layer; x (N, L, E); weights: weight and bias of the projection to q, k and v (3E, E), of the
output's (E, E), norm1, norm2, linear1 and linear2; activation: "relu" or "gelu"; bias: as attention's, 4 axes
    encoder_layer_forward(x, heads, weights, activation, norm_first, eps, bias=None) -> y
Normalisation; mean and var (biased) are (C,), or x's leading shape for layer_norm over the last `dims` axes
    batch_norm_forward(x, weight, bias, eps, mean=None, var=None) -> (y, mean, var)      None: the batch's own
    batch_norm_backward(g, x, weight, mean, var, eps, training=True, needs=(True, True, True)) -> (gx, gw, gb)
    layer_norm_forward(x, dims, weight, bias, eps) -> (y, mean, var)
    layer_norm_backward(g, x, dims, weight, mean, var, eps, needs=(True, True, True)) -> (gx, gw, gb)
    group_norm_forward(x, groups, weight, bias, eps) -> (y, mean, var)     over each sample's groups of channels:
        statistics (N, groups); weight and bias (C,)
    group_norm_backward(g, x, groups, weight, mean, var, eps, needs=(True, True, True)) -> (gx, gw, gb)
    softmax_forward(x, axis) -> y;         softmax_backward(g, y, axis) -> gx
    log_softmax_forward(x, axis) -> y;     log_softmax_backward(g, y, axis) -> gx
    row_maxima(x) -> the largest of each row of x (M, C), floats; NaN is
Cross-entropy; logits (N, C, *S), target int (N, *S); loss is 0-d, or (N, *S) for reduction "none"
    cross_entropy_forward(logits, target, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0)
        -> (loss, saved)
    cross_entropy_backward(g, saved) -> gradient of the logits
Losses of differences, reduced
    difference_backward(g, x, y, bound=None) -> g * (x - y), g 0-d; x - y is first held within ±bound, and is not NaN
Elementwise
    combined(ufunc, a, b, out=None) -> ufunc(a, b), each number rounded once, of arrays of one 16-bit dtype; or of one
        that is wider, in `out` (which may be a or b) if given; b may be a number then
    multiply_add(y, x, c): y = y * x + c in place, rounded once; vectors of float32; x, c also numbers that it holds
    relu_forward(x, out=None) -> y, in `out` (which may be x) if given;  relu_backward(g, y)
    tanh_forward(x);     tanh_backward(g, y)
    sigmoid_forward(x);  sigmoid_backward(g, y);  erf(x)
    gelu_forward(x, approximate="none");          gelu_backward(g, x, approximate="none")
    eltwise_forward(name, x, *settings);          eltwise_backward(name, g, x, *settings)
        leaky_relu (slope), hardtanh (low, high), silu, hardswish, hardsigmoid, mish, elu (alpha, scale, inner),
        softplus (beta, threshold), log_sigmoid; None where the backend has nothing better than the formula
    dropout(x, keep, scale) -> x * keep * scale (its own backward); keep is a bool array
Recurrent: one layer, one direction; x packed (sum(batch_sizes), I), dense = equal sizes; gates in PyTorch's order
    lstm_forward(x, batch_sizes, h0, c0, w_ih, w_hh, b_ih=None, b_hh=None, reverse=False, training=True)
        -> (y, h, c, saved)                                  saved is for the backward; None if not `training`
    lstm_backward(gy, gh, gc, saved, x, batch_sizes, h0, c0, y, w_ih, w_hh, bias=True, reverse=False)
        -> (gx, gh0, gc0, gw_ih, gw_hh, gb)                  gb belongs to b_ih and to b_hh
    gru_forward(x, batch_sizes, h0, w_ih, w_hh, b_ih=None, b_hh=None, reverse=False, training=True) -> (y, h, saved)
    gru_backward(gy, gh, saved, x, batch_sizes, h0, y, w_ih, w_hh, bias=True, reverse=False)
        -> (gx, gh0, gw_ih, gw_hh, gb_ih, gb_hh)
    rnn_forward(x, batch_sizes, h0, w_ih, w_hh, b_ih=None, b_hh=None, nonlinearity="tanh", reverse=False) -> (y, h)
    rnn_backward(gy, gh, x, batch_sizes, h0, y, w_ih, w_hh, bias=True, nonlinearity="tanh", reverse=False)
        -> (gx, gh0, gw_ih, gw_hh, gb)
Sums of rows that meet
    embedding_backward(g, indices, num_embeddings, padding_idx=None) -> gradient of the table; g (*, D), indices (*)
    index_add(target, indices, source): target[indices[i]] += source[i] along axis 0, in place
    scatter_add(target, axis, index, source): target[index[i, j], j] += source[i, j] for axis 0, in place; contiguous

Copies
    contiguous_copy(x) -> x in new memory, as it is read

Updates of parameters, in place; arrays of one shape
    add_scaled(y, a, x): y += a * x, where in float32 the product is not rounded before it is added
    decay_and_add(y, a, x): y = a * y + x, each operation rounded; so in these:
    lerp(a, b, weight): a += weight * (b - a), or, so as to be exact at both ends, a = b - (1 - weight) * (b - a)
    average_square(average, g, decay): average = decay * average + (1 - decay) * g * g
    descend(p, g, square, eps, size): p -= g / (sqrt(square) + eps) * size

`set_num_threads(n)` and `get_num_threads()` govern every thread pool the kernels use.
"""

from disttorch.kernels.select import for_device
from disttorch.kernels.threads import get_num_threads, set_num_threads

__all__ = ["for_device", "get_num_threads", "set_num_threads"]
