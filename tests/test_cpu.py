"""torch.cpu: a program for any accelerator runs on it."""

import disttorch as torch


def test_a_program_for_any_device():
    kind = torch.cpu
    kind.set_device(kind.current_device())
    done = kind.Event()
    with kind.stream(kind.Stream()):
        total = torch.ones(3, device=kind.current_device()).sum()
        done.record(kind.current_stream())
    kind.synchronize()
    assert (done.query(), total.item()) == (True, 3)
    assert (kind.is_available(), kind.is_initialized(), kind.device_count()) == (True, True, 1)


def test_the_older_autocast():
    with torch.cpu.amp.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype is torch.bfloat16
    assert not torch.cpu.amp.GradScaler(enabled=False).is_enabled()
