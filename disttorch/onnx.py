"""torch.onnx: models are not written as ONNX graphs."""

from typing import Any


def is_in_onnx_export() -> bool:
    """False: nothing is ever exported."""
    return False


def export(model: Any, *args: Any, **settings: Any) -> None:
    """NotImplementedError: there is no graph to write."""
    raise NotImplementedError(
        "torch.onnx.export: models run as Python here and have no graph to export. Save the state, "
        "torch.save(model.state_dict(), f), load it into the model's class under PyTorch, and export there."
    )
