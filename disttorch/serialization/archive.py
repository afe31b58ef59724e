"""PyTorchFileReader: the records of a file that `save` wrote, one by one."""

import os
import zipfile
from typing import IO


class PyTorchFileReader:
    """Records of a file in PyTorch's zip format, by their names without the top folder: "data.pkl", "data/0".

    Raises RuntimeError for a record that is not there, zipfile.BadZipFile for another file.
    """

    def __init__(self, name_or_buffer: str | os.PathLike | IO[bytes]):
        self._zip = zipfile.ZipFile(name_or_buffer)
        self._names = {name.partition("/")[2]: name for name in self._zip.namelist()}

    def get_all_records(self) -> list[str]:
        return list(self._names)

    def has_record(self, name: str) -> bool:
        return name in self._names

    def get_record(self, name: str) -> bytes:
        """A record's bytes."""
        if name not in self._names:
            raise RuntimeError(f"PytorchStreamReader failed locating file {name}: file not found")
        return self._zip.read(self._names[name])
