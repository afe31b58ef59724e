"""What is no tensor is refused by name, with PyTorch's text; what tensors are asked."""

import numpy as np
import pytest

import disttorch

NAMES = """
sum prod mean amax amin aminmax argmax argmin reshape flatten squeeze permute t clone conj sort unique nonzero flip
diagonal diag tril triu trace is_complex is_floating_point real imag view_as_real view_as_complex diff cov unbind relu
max exp matmul median mode nansum argsort count_nonzero fliplr rot90 tile diagflat corrcoef histc abs_ neg_ numel
get_device is_nonzero is_signed is_inference is_conj is_neg all any var std_mean cumsum logsumexp topk transpose detach
gather index_select select chunk hsplit unsqueeze dot outer kron equal lerp masked_fill take
roll multinomial nan_to_num logit full_like frexp unsqueeze_copy zero_ alpha_dropout addmv istft
""".split()
MORE = {"matmul": [disttorch.ones(2)], "flip": [[0]], "permute": [(0,)], "tile": [(2,)], "reshape": [(1, 2)]}
ONE, INT, PLACES = (disttorch.ones(2),), (1,), (0, disttorch.ones(2))
MORE |= dict.fromkeys(["dot", "outer", "kron", "equal", "take"], ONE) | {"masked_fill": (*ONE, 0.0), "lerp": ONE * 2}
MORE |= dict.fromkeys(["cumsum", "logsumexp", "topk", "chunk", "hsplit", "unsqueeze", "roll"], INT)
MORE |= dict.fromkeys(["multinomial", "full_like", "unsqueeze_copy", "istft"], INT) | {
    "addmv": ONE * 2,
    "alpha_dropout": (0.5, True),
}
MORE |= {"gather": PLACES, "index_select": PLACES, "select": (0, 0), "transpose": (0, 0)}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [[1.0, 2.0], np.ones(2)], ids=["list", "ndarray"])
def test_what_is_no_tensor_is_named(name, value):
    kind = "numpy.ndarray" if isinstance(value, np.ndarray) else "list"
    text = rf"^{name}\(\): argument 'input' \(position 1\) must be Tensor, not {kind}$"
    with pytest.raises(TypeError, match=text):
        getattr(disttorch, name)(value, *MORE.get(name, []))


def test_lists_of_what_is_no_tensor_are_told_where():
    for function in (disttorch.atleast_1d, disttorch.column_stack, disttorch.broadcast_tensors):
        with pytest.raises(TypeError, match=r"^expected Tensor as element 1 in argument 0, but got float$"):
            function([disttorch.ones(1), 2.0])


def test_questions():
    x = disttorch.ones(2, 3)
    assert disttorch.numel(x) == x.numel() == x.nelement() == 6
    assert disttorch.get_device(x) == -1
    assert x.is_signed()
    assert not disttorch.is_signed(x.bool())
    assert disttorch.is_same_size(x, x * 2)
    assert not x.is_same_size(x[0])
    assert disttorch.tensor([[2]]).is_nonzero()
    assert not disttorch.is_nonzero(disttorch.tensor(0.0))
    with pytest.raises(RuntimeError, match="Boolean value of Tensor with more than one value is ambiguous"):
        disttorch.is_nonzero(x)
    with disttorch.inference_mode():
        assert disttorch.is_inference(x * 2)
    assert disttorch.typename(x) == "torch.FloatTensor"
