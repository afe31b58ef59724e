"""`import torch` answered with disttorch, in processes of its own: this one may hold the real PyTorch."""

import subprocess
import sys
import textwrap

import pytest


def run(code, *arguments):
    """What a fresh interpreter prints that answers `import torch`."""
    code = "import disttorch.alias; disttorch.alias.install()\n" + textwrap.dedent(code)
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=40, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


def test_ways_of_importing():
    code = """
    import torch, torch.nn as nn, torchvision
    import torch.nn.functional as F
    import torch.utils.data.distributed
    from torch.optim.lr_scheduler import StepLR
    from torch import Tensor, optim
    from torch.distributed import init_process_group
    from torchvision import transforms
    import disttorch
    print(torch is disttorch, nn is disttorch.nn, F.relu is nn.functional.relu, torchvision is disttorch.vision)
    print(torch.__version__, torchvision.__version__, isinstance(torch.ones(1), Tensor), torch.nn.Linear.__name__)
    """
    assert run(code) == "True True True True\n2.13.0 0.28.0 True Linear"


def test_modules_stay_themselves():
    code = """
    import torch.nn.functional
    import disttorch.nn.functional as F
    print(F.__name__, F.__spec__.name, F.__spec__.parent)
    import disttorch.nn.modules.linear
    """
    assert run(code) == "disttorch.nn.functional disttorch.nn.functional disttorch.nn"


@pytest.mark.parametrize("name", ["torch._inductor", "torch.export", "torchvision.tv_tensors"])
def test_what_is_not_there_is_named(name):
    assert run(f"import {name}").startswith(f"ModuleNotFoundError: No module named '{name}': disttorch answers for it")


def test_rooms_of_operations():
    code = """
    import torch.signal.windows as windows
    from torch import masked
    import torch
    kept = masked.sum(torch.ones(3), mask=torch.tensor([True, False, True]))
    print(windows.hann(3).tolist(), kept.item(), torch.ops.aten.add.Tensor(kept, 1).item())
    """
    assert run(code) == "[0.0, 1.0, 0.0] 2.0 3.0"


def test_modules_that_are_no_files_here():
    code = """
    import torch.backends.cudnn as cudnn
    import torch.nn.modules.sparse, torch.onnx
    from torch.nn.modules.pixelshuffle import PixelShuffle
    cudnn.benchmark = True
    with torch.backends.cudnn.flags(benchmark=False):
        print(cudnn.benchmark, end=" ")
    nn = torch.nn
    print(cudnn.benchmark, nn.modules.sparse.Embedding is nn.Embedding, PixelShuffle is nn.PixelShuffle, end=" ")
    print(nn.modules.activation.MultiheadAttention is nn.MultiheadAttention, nn.modules.sparse.__spec__.name)
    torch.onnx.export(nn.Linear(1, 1), torch.ones(1, 1), "model.onnx")
    """
    assert run(code).startswith("NotImplementedError: torch.onnx.export: models run as Python here")
    code = code.replace("torch.onnx.export", "torch.onnx.is_in_onnx_export() or (lambda *_: 0)")
    assert run(code) == "False True True True True disttorch.nn.modules.embedding"


def test_files_of_distributions_gradient_scaling_and_batches():
    code = """
    import torch
    from torch.distributions.beta import Beta
    from torch.distributions.normal import Normal
    from torch.serialization import DEFAULT_PROTOCOL
    from torch.utils.data._utils.collate import np_str_obj_array_pattern
    print(Beta is torch.distributions.Beta, Normal is torch.distributions.Normal, DEFAULT_PROTOCOL, end=" ")
    print(torch.amp.grad_scaler.GradScaler is torch.amp.GradScaler, end=" ")
    print(bool(np_str_obj_array_pattern.search("<U3")), torch.backends.flags_frozen())
    """
    assert run(code) == "True True 2 True True False"


def test_files_that_data_parallel_wrappers_and_gradient_scalers_import():
    code = """
    import torch
    import torch.nn.parallel.replicate, torch.cuda.comm, torch.cuda.nvtx
    from torch.nn.parallel.data_parallel import DataParallel
    from torch.cuda._utils import _get_device_index
    from torch.cuda.amp.autocast_mode import autocast
    from torch.cuda.amp.common import amp_definitely_not_available
    from torch.cuda.amp.grad_scaler import GradScaler
    from torch.distributed import rpc
    assert torch.nn.modules.SyncBatchNorm is torch.nn.SyncBatchNorm
    print(torch.nn.parallel.replicate.__name__, DataParallel is torch.nn.DataParallel, rpc.is_available(), end=" ")
    print(autocast is torch.cuda.amp.autocast, GradScaler is torch.cuda.amp.GradScaler, amp_definitely_not_available())
    """
    assert run(code) == "replicate True False True True True"


def test_names_for_annotations_and_choices():
    code = """
    import torch
    from torch.types import Device, Number
    from torch.utils.hooks import RemovableHandle
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torchvision.models import ResNet50_Weights, resnet50
    x = torch.ones(1, 1, 2, 2)
    with sdpa_kernel([SDPBackend.MATH, SDPBackend.FLASH_ATTENTION]):
        y = torch.nn.functional.scaled_dot_product_attention(x, x, x)
    print(torch.equal(x, y), isinstance(1, Number), ResNet50_Weights.DEFAULT.name, end=" ")
    print(isinstance(torch.nn.ReLU().register_forward_hook(print), RemovableHandle))
    try:
        resnet50(weights=ResNet50_Weights.DEFAULT)
    except NotImplementedError as error:
        print(error)
    """
    printed = run(code).splitlines()
    assert printed[0] == "True True IMAGENET1K_V2 True"
    assert printed[1].startswith("resnet50: no trained weights come with disttorch")


def test_libraries_that_tell_what_is_used():
    assert run("import torch; print(torch._C._log_api_usage_once('library.function'))") == "None"


def test_other_modules_are_left_alone():
    assert run("import torchfoo") == "ModuleNotFoundError: No module named 'torchfoo'"


def test_too_late_is_an_error(tmp_path):
    (tmp_path / "torch.py").write_text("")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import torch, disttorch.alias as a; a.install()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=40, check=False)
    assert "RuntimeError: torch is already imported" in done.stderr


def test_uninstalling():
    code = """
    import sys, torch
    disttorch.alias.install()
    disttorch.alias.uninstall()
    print("torch" in sys.modules, disttorch.__version__ == disttorch.version.__version__)
    """
    assert run(code) == "False True"


def test_classes_say_torch():
    code = """
    import torch, pickle
    print(type(torch.ones(1)), torch.float32, torch.device("cpu"), torch.Size([1]))
    print(pickle.loads(pickle.dumps(torch.nn.Linear(1, 1))).weight.shape)
    """
    assert run(code) == "<class 'torch.Tensor'> torch.float32 cpu torch.Size([1])\ntorch.Size([1, 1])"


def test_safetensors_works_unchanged(tmp_path):
    pytest.importorskip("safetensors")
    code = """
    import sys, torch
    from safetensors.torch import load_file, save_file
    save_file({"a": torch.arange(4.0).reshape(2, 2), "b": torch.ones(3, dtype=torch.bfloat16)}, sys.argv[1])
    back = load_file(sys.argv[1])
    print(back["a"].tolist(), back["b"].dtype, back["b"].tolist())
    """
    assert run(code, str(tmp_path / "x.safetensors")) == "[[0.0, 1.0], [2.0, 3.0]] torch.bfloat16 [1.0, 1.0, 1.0]"
