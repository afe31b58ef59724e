"""Mixed precision: what autocast casts, and how the scaler scales."""

import pickle

import pytest

import disttorch
from disttorch import nn
from disttorch.amp import GradScaler, autocast, custom_bwd, custom_fwd


def test_products_run_in_16_bits():
    a, layer = disttorch.randn(2, 3), nn.Linear(3, 4)
    with autocast("cpu", dtype=disttorch.bfloat16):
        assert (a @ a.t()).dtype is disttorch.bfloat16
        out = layer(a)
        assert out.dtype is disttorch.bfloat16
        assert nn.functional.softmax(out, -1).dtype is disttorch.bfloat16  # in float32 on CUDA devices only
        assert nn.functional.cross_entropy(out, disttorch.tensor([0, 1])).dtype is disttorch.float32
        with autocast("cpu", enabled=False):
            assert (a @ a.t()).dtype is disttorch.float32
    assert (a @ a.t()).dtype is disttorch.float32
    out.float().sum().backward()
    assert layer.weight.grad.dtype is disttorch.float32


def test_each_type_of_device_for_itself(simulated_devices):
    simulated_devices(1)
    here, there = disttorch.ones(2, 2), disttorch.ones(2, 2, device="cuda")
    with autocast("cuda"):
        assert disttorch.is_autocast_enabled()
        assert not disttorch.is_autocast_enabled("cpu")
        assert (here @ here).dtype is disttorch.float32
        assert (there @ there).dtype is disttorch.float16
        assert (there @ there).softmax(0).dtype is disttorch.float32
        with autocast("cpu"):
            assert (here @ here).dtype is disttorch.bfloat16
            assert (there @ there).dtype is disttorch.float16
        with autocast("cuda", enabled=False):
            assert (there @ there).dtype is disttorch.float32
    assert not disttorch.is_autocast_enabled()


def test_where_it_cannot_be(simulated_devices):
    simulated_devices(0)
    a = disttorch.ones(2, 2)
    with pytest.warns(UserWarning, match="CUDA is not available"), autocast("cuda"):
        assert (a @ a).dtype is disttorch.float32
    with pytest.warns(UserWarning, match="In CPU autocast, but the target dtype is not supported"):
        autocast("cpu", dtype=disttorch.float32)
    with pytest.raises(RuntimeError, match="at start of device string: abc"):
        autocast("abc")
    with pytest.raises(RuntimeError, match="unsupported autocast device_type 'meta'"):
        autocast("meta")


def test_without_a_with():
    a = disttorch.ones(2, 2)
    disttorch.set_autocast_dtype("cpu", disttorch.float16)
    disttorch.set_autocast_enabled("cpu", True)
    try:
        assert disttorch.is_autocast_cpu_enabled()
        assert disttorch.get_autocast_cpu_dtype() is disttorch.float16
        assert (a @ a).dtype is disttorch.float16
    finally:
        disttorch.set_autocast_enabled("cpu", False)
        disttorch.set_autocast_dtype("cpu", disttorch.bfloat16)
    assert (a @ a).dtype is disttorch.float32


def test_as_a_decorator_and_at_the_top_level():
    @disttorch.autocast("cpu", dtype=disttorch.bfloat16)
    def product(a):
        return a @ a

    assert product(disttorch.ones(2, 2)).dtype is disttorch.bfloat16


def test_a_training_step_with_a_scaler(simulated_devices):
    simulated_devices(1)
    model = nn.Linear(2, 1).cuda()
    optimizer = disttorch.optim.SGD(model.parameters(), lr=0.1)
    scaler = GradScaler("cuda", init_scale=8.0, growth_interval=2)
    x = disttorch.ones(1, 2, device="cuda")
    before = model.weight.detach().clone()
    for _ in range(2):
        optimizer.zero_grad()
        scaler.scale(model(x).sum()).backward()
        assert model.weight.grad.tolist() == [[8, 8]]
        scaler.unscale_(optimizer)
        assert model.weight.grad.tolist() == [[1, 1]]
        nn.utils.clip_grad_norm_(model.parameters(), 100.0)
        scaler.step(optimizer)
        scaler.update()
        scaler.get_scale()
        if _ == 0:
            assert scaler.get_scale() == 8
    assert scaler.get_scale() == 16
    assert disttorch.allclose(model.weight, before - 0.2)


def test_infinite_gradients_are_skipped(simulated_devices):
    simulated_devices(1)
    p = nn.Parameter(disttorch.ones(1, device="cuda"))
    optimizer = disttorch.optim.SGD([p], lr=1.0)
    scaler = GradScaler("cuda", init_scale=4.0)
    scaler.scale((p * float("inf")).sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    assert p.item() == 1
    assert scaler.get_scale() == 2
    state = scaler.state_dict()
    other = GradScaler("cuda")
    other.load_state_dict(state)
    assert other.get_scale() == 2


def test_a_disabled_scaler_does_nothing():
    scaler = GradScaler("cuda", enabled=False)
    loss = disttorch.ones(1)
    assert scaler.scale(loss) is loss
    assert scaler.get_scale() == 1


def test_unscaling_twice_is_an_error(simulated_devices):
    simulated_devices(1)
    p = nn.Parameter(disttorch.ones(1, device="cuda"))
    optimizer, scaler = disttorch.optim.SGD([p], lr=1.0), GradScaler("cuda")
    scaler.scale(p.sum()).backward()
    scaler.unscale_(optimizer)
    with pytest.raises(RuntimeError, match="already been called on this optimizer"):
        scaler.unscale_(optimizer)


@pytest.mark.parametrize(("kind", "wanted"), [("LSTM", "bfloat16"), ("RNN", "bfloat16"), ("GRU", "float32")])
def test_recurrent_networks_under_autocast(kind, wanted):
    network = getattr(disttorch.nn, kind)(3, 4)
    with disttorch.autocast("cpu"):
        y, _ = network(disttorch.ones(2, 1, 3))
    assert y.dtype is getattr(disttorch, wanted)
    y.float().sum().backward()
    assert network.weight_ih_l0.grad.dtype is disttorch.float32
    assert network(disttorch.ones(2, 1, 3))[0].dtype is disttorch.float32


def test_a_scaler_that_has_scaled_nothing():
    scaler, o = GradScaler("cpu"), disttorch.optim.SGD([disttorch.ones(1, requires_grad=True)], 0.1)
    for attempt, call in {"step": lambda: scaler.step(o), "unscale_": lambda: scaler.unscale_(o)}.items():
        with pytest.raises(AssertionError, match=f"^Attempted {attempt} but _scale is None"):
            call()
    with pytest.raises(AssertionError, match=r"^Attempted update but"):
        scaler.update()


@pytest.fixture
def trained():
    """(scaler, optimizer) after a backward."""
    p = nn.Parameter(disttorch.ones(2))
    scaler = GradScaler("cpu", init_scale=4.0)
    scaler.scale(p.sum()).backward()
    return scaler, disttorch.optim.SGD([p], 0.1)


def test_the_order_of_a_scalers_calls(trained):
    scaler, optimizer = trained
    scaler.step(optimizer)
    with pytest.raises(RuntimeError, match=r"step\(\) has already been called since the last update\(\)"):
        scaler.step(optimizer)
    with pytest.raises(RuntimeError, match=r"unscale_\(\) is being called after step\(\)"):
        scaler.unscale_(optimizer)
    with pytest.raises(AssertionError, match="may only be pickled at the beginning of an iteration"):
        pickle.dumps(scaler)
    scaler.update()
    assert pickle.loads(pickle.dumps(scaler)).get_scale() == 4
    with pytest.raises(AssertionError, match="No inf checks were recorded prior to update"):
        scaler.update()
    with pytest.raises(RuntimeError, match="Closure use is not currently supported"):
        scaler.step(optimizer, closure=lambda: None)
    with pytest.raises(ValueError, match="outputs must be a Tensor or an iterable of Tensors"):
        scaler.scale(3)


def test_a_scaler_wants_gradients_that_are_wider_than_float16(trained):
    scaler, _ = trained
    p = nn.Parameter(disttorch.ones(2, dtype=disttorch.float16))
    optimizer = disttorch.optim.SGD([p], 0.1)
    with pytest.raises(AssertionError, match="No inf checks were recorded for this optimizer"):
        scaler.step(optimizer)
    scaler.update(2.0)
    p.grad = disttorch.ones(2, dtype=disttorch.float16)
    with pytest.raises(ValueError, match="Attempting to unscale FP16 gradients"):
        scaler.unscale_(optimizer)


def test_a_scalers_settings_can_be_changed(trained):
    scaler, optimizer = trained
    scaler.set_growth_factor(3.0)
    scaler.set_backoff_factor(0.25)
    scaler.set_growth_interval(1)
    scaler.step(optimizer)
    scaler.update()
    assert (scaler.get_scale(), scaler.get_backoff_factor()) == (12, 0.25)


def test_a_scaler_for_a_device_that_is_not_there_is_disabled():
    with pytest.warns(UserWarning, match="CUDA is not available"):
        scaler = GradScaler()
    assert not scaler.is_enabled()
    assert scaler.get_scale() == 1


def test_a_functions_backward_runs_under_the_autocast_of_its_forward():
    class Product(disttorch.autograd.Function):
        @staticmethod
        @custom_fwd(device_type="cpu")
        def forward(ctx, a, b):
            ctx.save_for_backward(b)
            return a @ b

        @staticmethod
        @custom_bwd(device_type="cpu")
        def backward(ctx, g):
            (b,) = ctx.saved_tensors
            return g @ b.t(), None  # bfloat16 and float32

    a = disttorch.ones(2, 2, requires_grad=True)
    with autocast("cpu"):
        inside = Product.apply(a, disttorch.ones(2, 2))
    inside.sum().backward()
    assert a.grad.tolist() == [[2, 2], [2, 2]]
    outside = Product.apply(a, disttorch.ones(2, 2))
    with autocast("cpu"):
        g = disttorch.autograd.grad(outside.sum(), a)[0]
    assert g.dtype is disttorch.float32


def test_inputs_are_cast_where_autocast_is_on():
    class Kinds(disttorch.autograd.Function):
        @staticmethod
        @custom_fwd(device_type="cpu", cast_inputs=disttorch.bfloat16)
        def forward(ctx, a):
            return a * 1

    a = disttorch.ones(2)
    assert Kinds.apply(a).dtype is disttorch.float32
    with autocast("cpu"):
        assert Kinds.apply(a).dtype is disttorch.bfloat16


def test_regions_inside_take_the_dtype_of_those_around():
    a = disttorch.ones(2, 2)
    with autocast("cpu", dtype=disttorch.float16, cache_enabled=False):
        assert not disttorch.is_autocast_cache_enabled()
        with autocast("cpu", enabled=False):
            assert disttorch.get_autocast_dtype("cpu") is disttorch.float16
            with autocast("cpu"):
                assert (a @ a).dtype is disttorch.float16
    assert disttorch.get_autocast_dtype("cpu") is disttorch.bfloat16
    assert disttorch.is_autocast_cache_enabled()


def test_functions_can_be_pickled_once_casts_stand_in_front_of_them():
    with autocast("cpu"):
        pass
    functions = disttorch.einsum, disttorch.matmul, disttorch.softmax, disttorch.nn.functional.linear
    assert all(pickle.loads(pickle.dumps(f)) is f for f in functions)


def test_a_scaler_whose_ranks_share_what_they_found(simulated_devices):
    """Sharded training overrides the private methods: gradients overflow if they do on any rank."""
    simulated_devices(2)

    class Sharded(GradScaler):
        def _unscale_grads_(self, optimizer, inv_scale, found_inf, allow_fp16):
            found = super()._unscale_grads_(optimizer, inv_scale, found_inf, True)
            seen.append(sorted((str(device), flag.item()) for device, flag in found.items()))
            for flag in found.values():
                flag.fill_(elsewhere[-1])
            return found

    seen, elsewhere = [], []
    parameters = [nn.Parameter(disttorch.ones(2, device=f"cuda:{i}", dtype=disttorch.float16)) for i in range(2)]
    optimizer = disttorch.optim.SGD(parameters, lr=1.0)
    scaler = Sharded("cuda", init_scale=4.0, growth_interval=1)
    for on_another_rank, scale in ((0, 8.0), (1, 4.0)):
        elsewhere.append(on_another_rank)
        optimizer.zero_grad()
        loss = sum(p.float().sum().to("cuda:0") for p in parameters)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        assert parameters[0].grad.tolist() == [1, 1]
        scaler.update()
        assert scaler.get_scale() == scale
    assert seen == [[("cuda:0", 0), ("cuda:1", 0)]] * 2
    assert [p.tolist() for p in parameters] == [[0, 0]] * 2


def test_what_a_scaler_does_to_gradients_and_its_scale():
    gradients = [disttorch.tensor([2.0, 4.0]), disttorch.tensor([[8.0]], dtype=disttorch.float16)]
    found = disttorch.zeros(())
    disttorch._amp_foreach_non_finite_check_and_unscale_(gradients, found, disttorch.tensor(0.5))
    assert [g.tolist() for g in gradients] == [[1, 2], [[4]]]
    assert found == 0
    gradients[1][0] = float("nan")
    disttorch._amp_foreach_non_finite_check_and_unscale_(gradients, found, disttorch.tensor(2.0))
    assert found == 1
    scale, good = disttorch.tensor(8.0), disttorch.tensor(1, dtype=disttorch.int32)
    assert disttorch._amp_update_scale_(scale, good, found * 0, 2.0, 0.5, 3) is scale
    assert (scale, good) == (8, 2)
    disttorch._amp_update_scale_(scale, good, found * 0, 2.0, 0.5, 3)
    assert (scale, good) == (16, 0)
    disttorch._amp_update_scale_(scale, good, found, 2.0, 0.25, 3)
    assert (scale, good) == (4, 0)
    scale.fill_(3e38)
    disttorch._amp_update_scale_(scale, good, found * 0, 2.0, 0.5, 1)  # it would be infinite
    assert (scale.item(), good.item()) == (disttorch.tensor(3e38).item(), 0)


def test_a_scaler_is_pickled_between_steps():
    p = disttorch.ones(2, requires_grad=True)
    optimizer, scaler = disttorch.optim.SGD([p], lr=0.1), GradScaler("cpu", init_scale=4.0, growth_interval=1)
    scaler.scale(p.sum()).backward()
    scaler.unscale_(optimizer)
    with pytest.raises(AssertionError, match="may only be pickled at the beginning of an iteration"):
        pickle.dumps(scaler)
    scaler.step(optimizer)
    scaler.update()
    other = pickle.loads(pickle.dumps(scaler))
    assert other.get_scale() == scaler.get_scale() == 8
    assert other.state_dict() == scaler.state_dict()
