"""What `pip install` puts down, seen from a wheel in a fresh environment and another working directory."""

import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
DATA = PYPROJECT["tool"]["setuptools"]["package-data"]
pytestmark = [pytest.mark.slow, pytest.mark.deadline(180)]


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=110)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy of the tracked folders, so that the checkout gets no build/ folder."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("disttorch", "comm", "launcher", "pyproject.toml", "README.md", "LICENSE"):
        subprocess.run(["cp", "-r", ROOT / name, source / name], check=True)
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", out]
    built = run(sys.executable, "-m", "pip", "wheel", *options, source, cwd=out)
    assert built.returncode == 0, built.stderr
    return next(out.glob("disttorch-*.whl"))


@pytest.fixture(scope="module")
def fresh(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a new environment with the wheel installed; the dependencies are borrowed from this one."""
    home = tmp_path_factory.mktemp("fresh")
    venv.create(home, symlinks=True)
    into = ["--python", home / "bin" / "python", "install", "--no-deps", "--no-index"]
    installed = run(sys.executable, "-m", "pip", *into, wheel, cwd=home)
    assert installed.returncode == 0, installed.stderr
    # A .pth file's folder is searched last, and its own .pth files (an editable disttorch's, say) are not read.
    site = next(home.glob("lib/python*/site-packages"))
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return home / "bin"


def python(fresh: Path, code: str, cwd: Path) -> str:
    done = run(fresh / "python", "-c", code, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("module", ["disttorch", "disttorch.comm", "disttorch.launcher", "disttorch.vision"])
def test_import_from_elsewhere(fresh: Path, tmp_path: Path, module: str) -> None:
    place = python(fresh, f"import {module}; print({module}.__file__)", tmp_path)
    assert Path(place).is_relative_to(fresh.parent)


@pytest.mark.parametrize("module", ["comm", "launcher"])
def test_the_rooms_are_not_installed_bare(fresh: Path, wheel: Path, module: str) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert not [name for name in names if name.startswith(f"{module}/")]
    assert [name for name in names if name.startswith(f"disttorch/{module}/")]
    assert not list(fresh.parent.glob(f"lib/python*/site-packages/{module}"))


def test_the_command_tells_its_version(fresh: Path, tmp_path: Path) -> None:
    done = run(fresh / "disttorch", "--version", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert PYPROJECT["project"]["version"] in done.stdout


def test_import_loads_neither_comm_nor_launcher_nor_cupy(fresh: Path, tmp_path: Path) -> None:
    loaded = python(fresh, "import sys, disttorch; print(*sys.modules)", tmp_path).split()
    unwanted = {"disttorch.comm", "disttorch.launcher", "cupy", "zmq", "click"}
    assert "disttorch" in loaded
    assert unwanted.isdisjoint(loaded)


def test_digits_come_with_the_wheel(fresh: Path, wheel: Path, tmp_path: Path) -> None:
    packed = {info.filename: info.file_size for info in zipfile.ZipFile(wheel).infolist()}
    assert 0 < packed["disttorch/vision/datasets/digits.npz"] < 200_000
    assert packed["disttorch/vision/datasets/DIGITS.md"] > 0
    code = "from disttorch.vision.datasets import Digits; print(len(Digits(train=True)) + len(Digits(train=False)))"
    assert python(fresh, code, tmp_path) == "1797"


def test_the_wheel_holds_every_package_and_nothing_else(wheel: Path) -> None:
    packed = {name.rpartition("/")[0] for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".py")}
    assert packed == {package.replace(".", "/") for package in packages()}


def test_every_package_folder_is_listed() -> None:
    assert PYPROJECT["tool"]["setuptools"]["packages"] == packages()


def test_every_data_file_is_listed() -> None:
    listed = {f"{package}/{name}" for package, names in DATA.items() for name in names}
    there = {
        f"{package}/{path.name}"
        for package in packages()
        for path in folder(package).iterdir()
        if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    assert there == listed


def test_one_version() -> None:
    import disttorch

    assert disttorch.__version__ == PYPROJECT["project"]["version"]


def folder(package: str) -> Path:
    mapping = PYPROJECT["tool"]["setuptools"]["package-dir"]
    home = max((name for name in mapping if f"{package}.".startswith(f"{name}.")), key=len)
    return ROOT / mapping[home] / package[len(home) :].lstrip(".").replace(".", "/")


def packages() -> list[str]:
    """Every folder with an __init__.py in the three source trees, as an import name."""
    found = []
    for name, place in PYPROJECT["tool"]["setuptools"]["package-dir"].items():
        for path in (ROOT / place).rglob("__init__.py"):
            found.append(".".join([name, *path.parent.relative_to(ROOT / place).parts]))
    return sorted(found)
