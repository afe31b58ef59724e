"""Train a LeNet on the handwritten digits that come with the package.

The same script, with the same losses,

alone              python examples/train_digits.py
on two workers     disttorch run --nproc-per-node 2 examples/train_digits.py
on four devices    DISTTORCH_SIM_DEVICES=4 python examples/train_digits.py --data-parallel
"""

import argparse
import os
import sys

import disttorch as torch
import disttorch.distributed as dist
from disttorch import nn
from disttorch.nn import functional as F
from disttorch.utils.data import DataLoader, Subset, TensorDataset
from disttorch.utils.data.distributed import DistributedSampler
from disttorch.vision.datasets import Digits


class LeNet(nn.Module):
    """LeCun et al., "Gradient-based learning applied to document recognition" (1998)."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(16 * 5 * 5, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x):  # (N, 1, 32, 32)
        x = F.avg_pool2d(torch.tanh(self.conv1(x)), 2)  # (N, 6, 14, 14)
        x = F.avg_pool2d(torch.tanh(self.conv2(x)), 2)  # (N, 16, 5, 5)
        x = torch.tanh(self.fc1(x.flatten(1)))
        return self.fc3(torch.tanh(self.fc2(x)))  # (N, 10)


def digits(train: bool) -> TensorDataset:
    """The pictures as (N, 1, 32, 32) between -1 and 1, resized from 8x8 for LeNet, and their labels."""
    found = Digits(train=train)
    images = torch.from_numpy(found.data).unsqueeze(1).float() / 127.5 - 1
    return TensorDataset(F.interpolate(images, size=(32, 32), mode="bilinear"), torch.tensor(found.targets))


def average(value: float, world: int) -> float:  # over the workers
    total = torch.tensor(value, dtype=torch.float64)
    if world > 1:
        dist.all_reduce(total, dist.ReduceOp.AVG)
    return total.item()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--batch-size", type=int, default=32, help="pictures in a step, of all workers (default 32)")
    parser.add_argument("--lr", type=float, default=0.25, help="at first; it falls along a cosine")
    parser.add_argument("--data-parallel", action="store_true", help="one process, a replica on every visible device")
    args = parser.parse_args()
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    clear = "\r\033[K" if rank == 0 and sys.stderr.isatty() else ""
    if args.batch_size % world:
        parser.error(f"--batch-size {args.batch_size} cannot be shared by {world} workers")
    if world > 1:
        dist.init_process_group()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    net = LeNet().to(device)
    if args.data_parallel:
        net = nn.DataParallel(net)
    elif world > 1:
        net = nn.parallel.DistributedDataParallel(net)
    optimizer = torch.optim.SGD(net.parameters(), lr=args.lr)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, args.epochs)
    train, test = digits(train=True), digits(train=False)
    sampler = DistributedSampler(train, num_replicas=world, rank=rank)
    loader = DataLoader(train, batch_size=args.batch_size // world, sampler=sampler, drop_last=True)
    test_loader = DataLoader(Subset(test, range(rank, len(test), world)), batch_size=100)
    for epoch in range(args.epochs):
        sampler.set_epoch(epoch)
        losses = []
        for step, (images, labels) in enumerate(loader, 1):
            loss = F.cross_entropy(net(images.to(device)), labels.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            if clear:  # a bar on a terminal, plain lines in a log
                bar = "█" * (40 * step // len(loader))
                print(f"\repoch {epoch + 1:2} |{bar:<40}| loss {losses[-1]:.4f}", end="", file=sys.stderr)
        scheduler.step()
        with torch.no_grad():
            correct = sum((net(x.to(device)).argmax(1).cpu() == y).sum().item() for x, y in test_loader)
        mean, accuracy = average(sum(losses) / len(losses), world), average(correct * world / len(test), world)
        if rank == 0:
            print(f"{clear}epoch {epoch + 1:2}: loss {mean:.4f}, test accuracy {accuracy:.1%}", flush=True)
    if world > 1:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
