"""What small programs say, in words that do not depend on the library that runs them."""

import torch

import disttorch


def shown(value) -> str:
    """A value in words that do not depend on the library."""
    if isinstance(value, torch.Tensor | disttorch.Tensor):
        return str([round(v, 5) for v in value.detach().double().reshape(-1).tolist()]) + str(tuple(value.shape))
    if isinstance(value, tuple | list):
        return "(" + ", ".join(map(shown, value)) + ")"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {shown(v)}" for k, v in value.items()) + "}"
    return str(value).replace("disttorch.nn.", "torch.nn.")


class Log(list):
    def __call__(self, *values):
        self.append(" ".join(map(shown, values)))

    def error(self, function):
        """What a call raises."""
        try:
            function()
        except Exception as e:
            self(type(e).__name__, str(e).strip("'\""))
        else:
            self("nothing raised")


def assert_same_words(program) -> None:
    """`program(library, log)` says the same with PyTorch and with disttorch."""
    wanted, found = Log(), Log()
    program(torch, wanted)
    program(disttorch, found)
    assert list(found) == list(wanted)
