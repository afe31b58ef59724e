"""Who may lean on whom: docs/architecture.md's picture, held by reading every import."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = {"disttorch": ROOT / "disttorch", "disttorch.comm": ROOT / "comm", "disttorch.launcher": ROOT / "launcher"}
LONGEST = 500  # lines of a file

# From the ground up, `.` being disttorch/__init__.py. A room leans on its own floor and on those below; of the names
# that hold a module, the longest counts.
MAP = """
errors version clock cores _C
meta
constants devices dtypes layouts streams
kernels
cephes sampling
autograd dispatch
random
ops
tensors tensor_methods tensor_values typed printing storage multiprocessing
fft linalg special backends signal masked _utils
futures sparse overrides types functional in_place foreach
nn optim utils cuda serialization amp distributions testing func hub autograd.functional autograd.gradcheck
programs jit fx compiler _dynamo accelerator cpu onnx _C._nn
autograd.profiler profiler utils.flop_counter
nn.parallel distributed _C._distributed_c10d
testing._internal
.
vision alias
"""
FLOORS = [[f"disttorch.{room}".rstrip(".") for room in line.split()] for line in MAP.strip().splitlines()]
# Leaning upwards inside a function, each with its reason.
UPWARD = {
    ("disttorch.autograd.gradients", "disttorch.ops"),  # gradients of batched gradients are stacked
    ("disttorch.amp.autocast", "disttorch"),  # its casts stand in front of the names that users call
    ("disttorch.tensor_methods", "disttorch.overrides"),  # a first subclass of Tensor brings them in
    ("disttorch.overrides", "disttorch"),  # and they stand where the casts do
    ("disttorch.overrides", "disttorch.nn"),
    ("disttorch.overrides", "disttorch.nn.functional"),
    ("disttorch.overrides", "disttorch.nn.init"),
    ("disttorch.overrides", "disttorch.nn.modules"),
    ("disttorch.overrides", "disttorch.nn.modules.rnn"),
    ("disttorch.multiprocessing.sending", "disttorch.nn.parameter"),  # parameters are sent as tensors are
    ("disttorch.utils.data.distributed", "disttorch.distributed"),  # the rank, where none is given
}
# These stand beside the floors and lean on nothing but what is named here (and themselves).
ANNEXES = {
    # cores: whether ranks share them; kernels: to sum two arrays into both in one pass, to widen float16, and to keep
    # memory that messages have filled
    "disttorch.comm": [
        "disttorch.errors",
        "disttorch.cores",
        "disttorch.kernels.blas",
        "disttorch.kernels.float16",
        "disttorch.kernels.memory",
    ],
    "disttorch.launcher": ["disttorch.errors", "disttorch.cores", "disttorch.comm"],
}
JOINERS = ["disttorch.nn.parallel", "disttorch.distributed", "disttorch.launcher"]  # who may lean on comm
CUPY = ["disttorch.devices", "disttorch.kernels.select"]
# What `pip install disttorch` brings; anything else is imported inside the function that needs it.
INSTALLED = {"numpy", "zmq", "msgpack", "click", "ml_dtypes"}


class Import(NamedTuple):
    module: str  # the module that imports
    target: str  # the module that is imported
    line: int
    lazy: bool  # inside a function: carried out when that is called

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.target}"


def find_modules() -> dict[str, Path]:
    found = {}
    for package, folder in FOLDERS.items():
        for path in folder.rglob("*.py"):
            parts = path.relative_to(folder).with_suffix("").parts
            found[".".join([package, *(part for part in parts if part != "__init__")])] = path
    return found


def walk(node: ast.AST, lazy: bool = False) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    """Every import below `node` but those that only a type checker sees."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield node, lazy
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        return
    lazy = lazy or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    for child in ast.iter_child_nodes(node):
        yield from walk(child, lazy)


def imports_of(module: str, path: Path, known: dict[str, Path]) -> Iterator[Import]:
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node, lazy in walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        else:
            base = node.module or ""
            if node.level:
                base = ".".join(filter(None, [*package.split(".")[: len(package.split(".")) - node.level + 1], base]))
            # `from . import name`: the submodule where there is one, else the folder itself
            targets = [f"{base}.{a.name}" if f"{base}.{a.name}" in known else base for a in node.names]
        for target in dict.fromkeys(targets):
            yield Import(module, target, node.lineno, lazy)


MODULES = find_modules()
IMPORTS = [found for module, path in MODULES.items() for found in imports_of(module, path, MODULES)]
OURS = [found for found in IMPORTS if found.target.partition(".")[0] == "disttorch"]
PARTS = [ROOT / name for name in ("disttorch", "comm", "launcher", "tests", "examples", "benchmarks", "scripts")]
FILES = [path for part in PARTS for path in sorted(part.rglob("*.py"))]


def below(module: str, room: str) -> bool:
    return module == room or module.startswith(room + ".")


def floor(module: str) -> int:
    """The height of the longest room name that holds `module`; a top-level file without a floor is an error."""
    rooms = [(len(room), height) for height, rooms in enumerate(FLOORS) for room in rooms if below(module, room)]
    height = max(rooms)[1]
    if "disttorch" in FLOORS[height] and module != "disttorch":
        raise LookupError(f"{module} stands on no floor: put it on the MAP and into docs/architecture.md")
    return height


def expect_none(wrong: list[Import]) -> None:
    assert not wrong, "\n" + "\n".join(map(str, wrong))


def in_annex(module: str) -> str | None:
    return next((annex for annex in ANNEXES if below(module, annex)), None)


def hands_on(found: Import) -> bool:
    """A folder's __init__ only hands on the names of its own files."""
    return MODULES[found.module].name == "__init__.py" and below(found.target, found.module)


def test_rooms_lean_downwards() -> None:
    wrong = [
        found
        for found in OURS
        if not in_annex(found.module) and not in_annex(found.target) and not hands_on(found)
        if not (found.lazy and found[:2] in UPWARD)
        if floor(found.target) > floor(found.module)
    ]
    expect_none(wrong)


@pytest.mark.parametrize("annex", ANNEXES)
def test_annexes_stand_alone(annex: str) -> None:
    allowed = [annex, *ANNEXES[annex]]
    leaning = [found for found in OURS if below(found.module, annex)]
    expect_none([found for found in leaning if not any(below(found.target, room) for room in allowed)])


def test_only_parallel_and_distributed_join_tensors_to_comm() -> None:
    leaning = [found for found in OURS if below(found.target, "disttorch.comm")]
    allowed = ["disttorch.comm", *JOINERS]
    expect_none([found for found in leaning if not any(below(found.module, room) for room in allowed)])


def test_nothing_but_the_command_leans_on_the_launcher() -> None:
    """... and its other names, which are PyTorch's."""
    names = ("launcher", "distributed.run", "distributed.launch", "distributed.launcher", "distributed.elastic")
    doors = [f"disttorch.{name}" for name in names]
    leaning = [found for found in OURS if below(found.target, "disttorch.launcher")]
    expect_none([found for found in leaning if not any(below(found.module, door) for door in doors)])


def test_cupy_is_imported_in_few_places() -> None:
    found = [found for found in IMPORTS if below(found.target, "cupy")]
    expect_none([one for one in found if one.module not in CUPY or not one.lazy])


def test_only_what_is_installed_is_imported_with_the_module() -> None:
    allowed = INSTALLED | sys.stdlib_module_names | {"disttorch"}
    wrong = [found for found in IMPORTS if not found.lazy and found.target.partition(".")[0] not in allowed]
    expect_none(wrong)


def test_comm_knows_no_pickle() -> None:
    picklers = {"pickle", "marshal", "shelve", "cloudpickle", "dill"}
    wrong = [found for found in IMPORTS if below(found.module, "disttorch.comm") and found.target in picklers]
    wrong = [found for found in wrong if found.module != "disttorch.comm.testing"]  # for a test's own processes
    expect_none(wrong)


def test_no_circles() -> None:
    """Between files, at import time; a folder that hands on its own files is no circle."""
    sorter: TopologicalSorter[str] = TopologicalSorter({module: set() for module in MODULES})
    for found in OURS:
        if not found.lazy and not below(found.module, found.target):
            sorter.add(found.module, found.target)
    try:
        sorter.prepare()
    except CycleError as error:
        pytest.fail("circle: " + " <- ".join(error.args[1]))


def test_import_disttorch_loads_no_more_than_it_needs() -> None:
    code = "import sys, disttorch; print(*sorted(sys.modules), sep='\\n')"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    loaded = set(run.stdout.split())
    assert "disttorch" in loaded
    unwanted = ["disttorch.comm", "disttorch.launcher", "disttorch.vision", "cupy", "PIL", "zmq", "click", "torch"]
    assert [name for name in unwanted if name in loaded] == []


def test_a_file_is_read_in_one_sitting() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in FILES}
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST} == {}
