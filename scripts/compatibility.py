"""Write docs/compatibility.md: which of PyTorch's names are there, which are not, and what differs.

    .venv/bin/python scripts/compatibility.py            # needs an installed PyTorch, whose names are the measure
    .venv/bin/python scripts/compatibility.py --check    # only say which names of tests/core_api.txt are missing

Exit status 1 if such a name is missing.
"""

import argparse
import importlib
import inspect
import sys
import textwrap
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CORE = ROOT / "tests" / "core_api.txt"
MODULES = """
torch torch.Tensor torch.nn torch.nn.functional torch.nn.init torch.nn.utils torch.nn.utils.rnn torch.nn.parallel
torch.optim torch.optim.lr_scheduler torch.autograd torch.autograd.functional torch.func torch.linalg torch.fft
torch.special torch.signal.windows torch.masked torch.utils.data torch.utils.checkpoint torch.distributed
torch.distributions torch.multiprocessing torch.cuda torch.amp torch.random torch.testing torch.profiler torch.futures
torch.jit torch.hub torch.sparse torch.compiler torch.overrides torch.accelerator
"""
# Names that stand for something a NumPy/CuPy code base has no use for.
ELSEWHERE = (
    "quantize", "quantized", "qint", "quint", "fbgemm", "mkldnn", "cudnn", "miopen", "sym_", "Sym", "fake_quantize",
    "nested", "dequantize", "Storage", "is_vulkan", "xpu", "mps", "vitals", "named_tensor", "fused_", "aot_", "export",
)  # fmt: skip
# The classes of PyTorch's C++ that programs use.
RUNTIME = """
AcceleratorError BFloat16Tensor BoolTensor ByteTensor CharTensor DoubleTensor Event FloatTensor Generator HalfTensor
IntTensor LongTensor OutOfMemoryError ShortTensor Size Stream Tensor device dtype finfo iinfo layout memory_format
""".split()
DIFFERENT = """
- **One engine, run at once.** `compile`, `jit.script` and `jit.trace` return what they are given; `jit.load` and
  `jit.save` and `onnx.export` raise NotImplementedError. There is no `export` or quantisation, and of `fx` there are
  `wrap` and the name `GraphModule`. So the keys of a compiled module's `state_dict` have no prefix `_orig_mod.`; take
  it off the keys of files that PyTorch wrote from one.
- **Sparse tensors are dense.** `sparse_coo_tensor` makes a dense tensor with the same values, `to_sparse` returns the
  tensor, `spmm` is the dense product, `is_sparse` is False.
- **Devices** are the CPU, CUDA, real (CuPy) or simulated, and `meta`. Other devices can be named, and no tensor can
  live there. On `meta`, what does not go element by element finds its shape by computing on zeros, and refuses more
  than 16,777,216 elements.
- **Random numbers** on the CPU are PyTorch's, bit for bit (float64 logarithms and cosines may differ in the last bit).
  Simulated devices draw as the CPU does, real ones as Philox with numbers of their own. Masks and samples in the shape
  of a tensor come in the order in which PyTorch's would lie: that of rows where a kernel chose channels-last by itself,
  that of memory once the program has asked for channels-last. It is not known of views that permute a kernel's result
  (`conv(x).flatten(2).transpose(1, 2)`), of transposed sequences after an operation, and of `linear` of those; in-place
  draws (`conv(x).normal_()`) follow memory.
- **Results** agree to rounding: sums are added in another order. Gradients of samples of `Beta` and `Dirichlet` are
  those of the gamma samples they are made of: unbiased, but not PyTorch's estimate. Samples of `Wishart` are the
  first ones drawn, PyTorch's the second; its divergence is right, PyTorch's can be negative.
- **Layouts.** Results of convolutions, pooling and batch normalisation are channels-last in memory, and results of
  operations on permuted tensors may lie otherwise than PyTorch's: `stride()` and `is_contiguous()` tell how. `view` of
  them works, and shares memory unless parts of the result are views already; `reshape` and `flatten` copy where they
  must. `view` raises as PyTorch's does where the program itself permuted or cut a contiguous tensor.
- **Subclasses of Tensor** and `TorchFunctionMode` take functions over; what stands in front of functions for that comes
  with the first of them, so a name that was imported before (`from torch import relu`) is not handed over, nor are
  classes that are no tensors until then. They are told arguments as the caller gave them, and nothing of `device`.
  `deepcopy` keeps the class.
- **Expanded tensors** refuse `masked_fill_` and `index_fill_`, which PyTorch calls deprecated there, and `tril_`.
- **Views made in `no_grad`** of what requires gradients say `requires_grad` False, PyTorch's True; both raise when they
  are changed outside. Views from `inference_mode` are inference tensors. Pieces of `split`, `chunk` and `unbind` can be
  read after their base was changed in place, where PyTorch raises.
- **Differentiable SGD** with momentum follows the gradient through the first buffer too; PyTorch detaches that one.
- **Optimizers** leave gradients as they are, where PyTorch's SGD with `nesterov` and `foreach=True`, Muon in bfloat16
  and `GradScaler` with `fused=True` change or scale them. A loaded state is a copy, PyTorch's the very tensors where
  the dtype fits. `capturable=True` is taken on the CPU too. Parameters of 16 bits are stepped in float32, and rounded
  at the end; PyTorch rounds after each operation, and rates and `eps` too, so that its Adam can divide by 0 in float16.
- **16-bit floats**: `add` and `sub` with `alpha` round once everywhere, PyTorch twice in the elements that are left
  over when a vector of the processor's no longer fits.
- **Files** are PyTorch's zip format both ways; the format from before version 1.6 is read too. `load` without
  `weights_only=False` reads tensors and plain containers only.
- **`torch.distributed`** runs on ZeroMQ and shared memory; "gloo" and "nccl" name it too, for tensors of any device.
  Objects travel as msgpack, not as pickles: numbers, strings, bytes, lists, tuples, dicts, sets, NumPy's arrays and
  tensors, and a few more of Python's plain types. A bytearray arrives as bytes, a named tuple as a tuple. Objects of
  other classes need pickle, which can run code where it arrives, so every rank must ask for it:
  `distributed.allow_pickle()`, or `DISTTORCH_ALLOW_PICKLE=1`. A rank has one device, so methods of process groups take
  lists of one tensor. A process group written in Python serves tensors of all devices, as tensors in host memory, and
  gets averages as sums of what was divided before. The gradient of a weight that is not contiguous may be.
- **Calls that do not fit** (random programs of collectives, messages, groups and stores were compared with Gloo):
  where Gloo waits for its timeout, ends the process, reads memory that is not there or returns what was in it
  (shapes, dtypes, lengths of lists or split sizes that differ between ranks), an exception is raised. Roots outside
  the group and lists of a wrong length or shape raise ValueError, as with NCCL; Gloo RuntimeError. A backend that
  nobody knows raises ValueError at once, in PyTorch AssertionError on those that will be in the group. A `reduce`
  leaves the other ranks' tensors as they are; Gloo leaves parts of sums in them. Results of complex tensors are
  complex tensors (`Work.result`), PyTorch's pairs of real numbers. What is wrong with an argument is said by the call
  itself, also with `async_op`. A message and its receiver, and all tensors of a reduction, have one shape, not only
  as many elements. Tensors that are not contiguous are what they are; Gloo refuses them, or takes and changes what
  lies between their elements. Taken here and not by Gloo: empty messages, `split_group` and premultiplied sums on the
  CPU, objects from anyone, names for a store's arguments. `distributed.nn.functional` refuses gradients of reductions
  other than sums and averages, where PyTorch's are those of the sum; its broadcast has a gradient in every group,
  PyTorch's where ranks have the same numbers as in the job.
- **`DistributedDataParallel`** names a parameter that gets no gradient in the very backward, PyTorch in the next
  forward (or never). Gradients are views of their buckets with every setting. With `mixed_precision` parameters are of
  the lower precision while forward runs, PyTorch's until their gradients are averaged. A static graph may return
  dataclasses, and may begin in `no_sync`. Reentrant checkpoints give parameters their gradients even if no input
  requires one, and take keyword arguments; `checkpoint` without `use_reentrant` is not reentrant. A rank without
  batches in `Join([model, optimizer])` updates its share of a ZeroRedundancyOptimizer by the others' average, PyTorch's
  by its last gradient.
- **`DistributedSampler`** counts epochs by itself until the program calls `set_epoch`.
- **`testing._internal`** has of `common_utils` and `common_distributed` what tests of other projects take from them:
  test cases whose methods run on ranks that are processes or threads, decorators that skip them, `parametrize`. A rank
  that skips a test says why to the test runner.
- **`hub.load`** reads a local folder (`source="local"`) and runs no code from the network.
- **vmap** calls the function once for each entry: it may branch on values and take `item()`s, and what it counts is
  counted for each. Functions that are differentiated may change tensors of their surroundings in place.
- **Replayed against PyTorch's own samples** (`tests/oracle/wholly_equal.txt`): all of op_db's operations but those that
  need sparse layouts (`sparse.sampled_addmm`, `sparse.mm.reduce`), complex numbers of 16-bit floats (`chalf`), 8-bit
  floats (`_scaled_mm`), or that PyTorch itself runs on CUDA only (`jiterator`, `_flash_attention_forward`,
  `_efficient_attention_forward`, `batch_norm.without_cudnn`). `special.bessel_j0` and `bessel_y1` are right to the last
  digits, where PyTorch's have seven just above 5; `as_strided_scatter`'s gradient is right, PyTorch's is not.
- **`masked`** has the reductions and normalizations; there is no `MaskedTensor`.
"""


def read_core() -> dict[str, list[str]]:
    """Module or class -> the names that programs use."""
    found: dict[str, list[str]] = {}
    for line in CORE.read_text().splitlines():
        if line.startswith("torch"):
            found[line.rstrip(":")] = names = []
        elif line.startswith(" "):
            names.extend(line.split())
    return found


def find(name: str, root: str) -> Any:
    """What `torch.nn.init` is in the package `root`; None if it is not there."""
    found: Any = importlib.import_module(root)
    for part in name.split(".")[1:]:
        try:
            found = getattr(found, part)
        except AttributeError:
            try:
                found = importlib.import_module(f"{found.__name__}.{part}")
            except ModuleNotFoundError:
                return None
    return found


def has(where: Any, name: str) -> bool:
    """Whether an object, or one of a class's instances, has this attribute."""
    return hasattr(where, name) or name in inspect.get_annotations(where if inspect.isclass(where) else object)


def missing_core() -> list[str]:
    """The names that programs use and that are not there."""
    return [f"{home}.{n}" for home, names in read_core().items() for n in names if not has(find(home, "disttorch"), n)]


def _is_internal(value: Any) -> bool:
    """Whether it is a class of PyTorch's C++, most of which are its script language's nodes and types."""
    return inspect.isclass(value) and value.__module__ in ("torch", "torch._C")


def public_names(module: Any) -> list[str]:
    """PyTorch's public names in a module or class that are its own."""
    names = getattr(module, "__all__", None) if isinstance(module, ModuleType) and module.__name__ != "torch" else None
    found = []
    for name in names or dir(module):
        if name.startswith("_") or any(part in name for part in ELSEWHERE):
            continue
        value = getattr(module, name, None)
        if isinstance(value, ModuleType) or getattr(value, "__module__", "torch").partition(".")[0] != "torch":
            continue
        if isinstance(value, str | bool | dict | list | tuple) or (_is_internal(value) and name not in RUNTIME):
            continue
        found.append(name)
    return sorted(set(found))


def report() -> str:
    """The page."""
    import torch

    rows, lists = [], []
    for name in MODULES.split():
        theirs, ours = find(name, "torch"), find(name, "disttorch")
        names = public_names(theirs)
        absent = names if ours is None else [n for n in names if not has(ours, n)]
        rows.append(f"| `{name}` | {len(names) - len(absent)} | {len(names)} |")
        if absent:
            text = textwrap.fill(
                " ".join(f"`{n}`" for n in absent), 118, break_on_hyphens=False, break_long_words=False
            )
            lists.append(f"### {name}\n\n{text}\n")
    core = read_core()
    count, gaps = sum(map(len, core.values())), missing_core()
    return "\n".join(
        [
            "# Compatibility with PyTorch\n",
            f"Written by `scripts/compatibility.py`, beside PyTorch {torch.__version__.partition('+')[0]}.\n",
            f"Of the {count} names that public programs use most (`tests/core_api.txt`) {count - len(gaps)} are there"
            + (f"; missing: {', '.join(gaps)}.\n" if gaps else ".\n"),
            "## What differs\n" + DIFFERENT,
            "## What is there\n\n| module or class | here | in PyTorch |\n|---|---|---|",
            *rows,
            "\n## What is not\n",
            *lists,
        ]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only say which names that programs use are missing")
    options = parser.parse_args()
    gaps = missing_core()
    print("\n".join(f"missing: {g}" for g in gaps) or "every name that programs use is there")
    if not options.check:
        warnings.simplefilter("ignore")
        (ROOT / "docs" / "compatibility.md").write_text(report())
    return 1 if gaps else 0


if __name__ == "__main__":
    sys.exit(main())
