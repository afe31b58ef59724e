"""CPU kernels beside PyTorch's, one at a time: `python benchmarks/kernels.py [--threads N] [--only conv]`.

Each pair runs alternately in this process; the figures are medians in microseconds and PyTorch's time over ours.
Float32; the layers of LeNet, ResNet-34, an LSTM and a Transformer encoder.
"""

import statistics
import time

import click
import numpy as np
import torch
import torch.nn.functional as F

from disttorch.kernels import for_device, set_num_threads

rng = np.random.default_rng(0)
kernels = for_device("cpu")
aten = torch.ops.aten


def normal(*shape):
    return rng.standard_normal(shape, dtype=np.float32)


def channels_last(x):
    """The same values, channels innermost in memory: how activations come out of our kernels."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)


def theirs(*arrays):
    tensors = [torch.from_numpy(np.ascontiguousarray(a)) for a in arrays]
    return tensors[0] if len(tensors) == 1 else tensors


def convolutions():
    """(input shape, output channels, kernel, stride, padding); the first layer's input needs no gradient."""
    layers = [
        ((4, 3, 32, 32), 6, 5, 1, 0),
        ((4, 6, 14, 14), 16, 5, 1, 0),
        ((64, 3, 32, 32), 6, 5, 1, 0),
        ((64, 6, 14, 14), 16, 5, 1, 0),
        ((4, 3, 224, 224), 64, 7, 2, 3),
        ((4, 64, 56, 56), 64, 3, 1, 1),
        ((4, 64, 56, 56), 128, 1, 2, 0),
        ((4, 128, 28, 28), 128, 3, 1, 1),
        ((4, 256, 14, 14), 256, 3, 1, 1),
        ((4, 512, 7, 7), 512, 3, 1, 1),
        ((4, 64, 16, 16), 64, 3, 1, 1),
        ((4, 256, 4, 4), 256, 3, 1, 1),
        ((4, 512, 2, 2), 512, 3, 1, 1),
    ]
    for shape, out, kernel, stride, padding in layers:
        first = shape[1] == 3
        x, w, b = normal(*shape), normal(out, shape[1], kernel, kernel), normal(out)
        tx, tw, tb = theirs(x, w, b)
        x = x if first else channels_last(x)
        geometry = ((stride,) * 2, (padding,) * 2, (1, 1), 1)
        g = normal(*kernels.conv_forward(x, w, b, *geometry).shape)
        tg, g = theirs(g), channels_last(g)
        needs = (not first, True, True)
        torch_geometry = ([stride] * 2, [padding] * 2, [1, 1], False, [0, 0], 1)
        name = f"conv {shape} -> {out}, {kernel}x{kernel}/{stride}"
        yield (
            f"{name} forward",
            lambda x=x, w=w, b=b, geometry=geometry: kernels.conv_forward(x, w, b, *geometry),
            lambda tx=tx, tw=tw, tb=tb, stride=stride, padding=padding: F.conv2d(tx, tw, tb, stride, padding),
        )
        yield (
            f"{name} backward",
            lambda g=g, x=x, w=w, geometry=geometry, needs=needs: kernels.conv_backward(g, x, w, *geometry, needs),
            lambda a=(tg, tx, tw, [out], *torch_geometry), needs=needs: aten.convolution_backward(*a, needs),
        )


def pools_and_norms():
    for shape, kernel, padding in [((64, 6, 28, 28), 2, 0), ((64, 16, 10, 10), 2, 0), ((4, 64, 112, 112), 3, 1)]:
        x, tx = (channels_last(a := normal(*shape)), theirs(a))
        window = ((kernel,) * 2, (2, 2), (padding,) * 2, (1, 1))
        y, saved = kernels.max_pool_forward(x, *window)
        _, indices = aten.max_pool2d_with_indices(tx, *window)
        g, tg = (channels_last(a := normal(*y.shape)), theirs(a))
        yield (
            f"max pool {shape} forward",
            lambda x=x, window=window: kernels.max_pool_forward(x, *window),
            lambda tx=tx, window=window: aten.max_pool2d_with_indices(tx, *window),
        )
        yield (
            f"max pool {shape} backward",
            lambda g=g, saved=saved, s=shape, window=window: kernels.max_pool_backward(g, saved, s, *window),
            lambda tg=tg, tx=tx, window=window, i=indices: aten.max_pool2d_with_indices_backward(
                tg, tx, *window, False, i
            ),
        )
    for shape in [(4, 64, 56, 56), (4, 512, 7, 7), (4, 256, 4, 4)]:
        raw, raw_g, weight, bias = normal(*shape), normal(*shape), normal(shape[1]), normal(shape[1])
        tx, tg, tw, tb = theirs(raw, raw_g, weight, bias)
        x, g = channels_last(raw), channels_last(raw_g)
        _, mean, var = kernels.batch_norm_forward(x, weight, bias, 1e-5)
        _, tm, ts = aten.native_batch_norm(tx, tw, tb, None, None, True, 0.1, 1e-5)
        yield (
            f"batch norm {shape} forward",
            lambda a=(x, weight, bias): kernels.batch_norm_forward(*a, 1e-5),
            lambda a=(tx, tw, tb): aten.native_batch_norm(*a, None, None, True, 0.1, 1e-5),
        )
        yield (
            f"batch norm {shape} backward",
            lambda a=(g, x, weight, mean, var): kernels.batch_norm_backward(*a, 1e-5),
            lambda a=(tg, tx, tw, None, None, tm, ts): aten.native_batch_norm_backward(*a, True, 1e-5, [True] * 3),
        )
    x, g, weight, bias = normal(8, 128, 256), normal(8, 128, 256), normal(256), normal(256)
    tx, tg, tw, tb = theirs(x, g, weight, bias)
    _, mean, var = kernels.layer_norm_forward(x, 1, weight, bias, 1e-5)
    _, tm, ts = aten.native_layer_norm(tx, [256], tw, tb, 1e-5)
    yield (
        "layer norm (8, 128, 256) forward",
        lambda: kernels.layer_norm_forward(x, 1, weight, bias, 1e-5),
        lambda: aten.native_layer_norm(tx, [256], tw, tb, 1e-5),
    )
    yield (
        "layer norm (8, 128, 256) backward",
        lambda: kernels.layer_norm_backward(g, x, 1, weight, mean, var, 1e-5),
        lambda: aten.native_layer_norm_backward(tg, tx, [256], tm, ts, tw, tb, [True] * 3),
    )


def products():
    for rows, out, inner in [(4, 120, 400), (64, 256, 784), (64, 10, 256), (1024, 1024, 256), (1024, 256, 1024)]:
        x, w, b, g = normal(rows, inner), normal(out, inner), normal(out), normal(rows, out)
        tx, tw, tb, tg = theirs(x, w, b, g)
        yield (
            f"linear {rows} x {inner} -> {out} forward",
            lambda x=x, w=w, b=b: kernels.linear_forward(x, w, b),
            lambda tx=tx, tw=tw, tb=tb: F.linear(tx, tw, tb),
        )
        yield (
            f"linear {rows} x {inner} -> {out} backward",
            lambda g=g, x=x, w=w: kernels.linear_backward(g, x, w),
            lambda tg=tg, tx=tx, tw=tw: (tg @ tw, tg.T @ tx, tg.sum(0)),
        )
    q, k = normal(8, 128, 4, 64), normal(8, 128, 4, 64)
    tq, tk = (t.transpose(1, 2) for t in theirs(q, k))
    q, k = q.transpose(0, 2, 1, 3), k.transpose(0, 2, 3, 1)
    yield "attention scores", lambda: kernels.matmul(q, k), lambda: tq @ tk.transpose(2, 3)
    scores, g = normal(8, 4, 128, 128), normal(8, 4, 128, 128)
    ts, tg = theirs(scores, g)
    p = kernels.softmax_forward(scores, -1)
    tp = theirs(p)
    yield "softmax forward", lambda: kernels.softmax_forward(scores, -1), lambda: torch.softmax(ts, -1)
    yield (
        "softmax backward",
        lambda: kernels.softmax_backward(g, p, -1),
        lambda: aten._softmax_backward_data(tg, tp, -1, torch.float32),
    )


def elementwise():
    x, g = normal(1024, 1024), normal(1024, 1024)
    tx, tg = theirs(x, g)
    y = kernels.relu_forward(x)
    ty = theirs(y)
    yield "relu forward", lambda: kernels.relu_forward(x), lambda: torch.relu(tx)
    yield "relu backward", lambda: kernels.relu_backward(g, y), lambda: aten.threshold_backward(tg, ty, 0)
    yield "gelu forward", lambda: kernels.gelu_forward(x), lambda: F.gelu(tx)
    yield "gelu backward", lambda: kernels.gelu_backward(g, x), lambda: aten.gelu_backward(tg, tx)
    for classes in (10, 1000):
        logits, target = normal(64, classes), rng.integers(0, classes, 64)
        tl, tt = theirs(logits, target)
        yield (
            f"cross-entropy 64 x {classes} forward",
            lambda logits=logits, target=target: kernels.cross_entropy_forward(logits, target),
            lambda tl=tl, tt=tt: F.cross_entropy(tl, tt),
        )


def recurrent():
    steps, batch, hidden = 64, 32, 256
    for kind, inputs in (("lstm", 128), ("lstm", 256), ("gru", 256)):
        module = getattr(torch.nn, kind.upper())(inputs, hidden)
        weights = [p.detach().numpy() for p in module.parameters()]
        x, g = normal(steps * batch, inputs), normal(steps * batch, hidden)
        tx, tg = (t.reshape(steps, batch, -1) for t in theirs(x, g))
        tx.requires_grad_()
        zeros = [np.zeros((batch, hidden), np.float32)] * (2 if kind == "lstm" else 1)

        def ours(kind=kind, x=x, g=g, zeros=zeros, weights=weights):
            sizes = [batch] * steps
            y, *rest = getattr(kernels, f"{kind}_forward")(x, sizes, *zeros, *weights)
            backward = getattr(kernels, f"{kind}_backward")
            backward(g, *zeros, rest[-1], x, sizes, *zeros, y, *weights[:2])

        def their_layer(module=module, tx=tx, tg=tg):
            with torch.enable_grad():
                module(tx)[0].backward(tg)

        yield f"{kind} {inputs} -> {hidden}, batch 32, 64 steps, both ways", ours, their_layer


def alternate(ours, their, seconds):
    """Median microseconds of each, run in turns of ten so that each works with its own caches."""
    times = ([], [])
    for function in (ours, their):
        function()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[0]) < 10:
        for function, record in zip((ours, their), times, strict=True):
            for _ in range(10 if not record or record[-1] < 0.01 else 1):
                start = time.perf_counter()
                function()
                record.append(time.perf_counter() - start)
    return [1e6 * statistics.median(record) for record in times]


@click.command()
@click.option("--threads", default=1, show_default=True)
@click.option("--only", default="", help="Only kernels whose name contains this.")
@click.option("--seconds", default=0.3, show_default=True, help="Time spent on each pair.")
def main(threads, only, seconds):
    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    set_num_threads(threads)
    click.echo(f"{kernels.name}, {threads} threads; PyTorch {torch.__version__}")
    ratios = []
    for family in (convolutions, pools_and_norms, products, elementwise, recurrent):
        for name, ours, their in family():
            if only in name:
                a, b = alternate(ours, their, seconds)
                ratios.append(b / a)
                click.echo(f"{name:52s} {a:10.1f} us   PyTorch {b:10.1f} us   {b / a:5.2f}")
    if ratios:
        click.echo(f"geometric mean of {len(ratios)}: {statistics.geometric_mean(ratios):.2f}")


if __name__ == "__main__":
    main()
