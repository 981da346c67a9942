#!/usr/bin/env python3
"""
The recipe `modern` on CIFAR-10 in PyTorch, written from its description and not from this repository's code: what a
well-known framework reaches on the same images. Needs PyTorch and NumPy (Debian: python3-torch), nothing of cbnn.

    python3 bench/peers/pytorch-training.py data/cifar10 --epochs 20 --input bit-slices --checkpoint slices.pt
    python3 bench/peers/pytorch-training.py data/cifar10 --time 40 --width 64 --batch 50

The first prints a JSON line after every epoch and, at the end, the test error of the epoch with the best validation
error; run again, it goes on from its checkpoint. The second prints the milliseconds of that many training steps.
The folder holds the official batches, as cifar-10-batches-bin or as cifar-10-batches-py.
"""
import argparse
import json
import math
import os
import pickle
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

EPSILON = 1e-4


def read_batches(folder, names):
    """uint8 [n, 3, 32, 32] and labels [n]."""
    for python in (os.path.join(folder, "cifar-10-batches-py"), folder):
        if os.path.exists(os.path.join(python, "data_batch_1")):
            images, labels = [], []
            for name in names:
                with open(os.path.join(python, name), "rb") as file:
                    batch = pickle.load(file, encoding="bytes")
                images.append(batch[b"data"])
                labels.extend(batch[b"labels"])
            return np.concatenate(images).reshape(-1, 3, 32, 32), np.array(labels)
    for binary in (os.path.join(folder, "cifar-10-batches-bin"), folder):
        if os.path.exists(os.path.join(binary, "data_batch_1.bin")):
            rows = np.concatenate(
                [np.fromfile(os.path.join(binary, f"{n}.bin"), np.uint8).reshape(-1, 3073) for n in names]
            )
            return rows[:, 1:].reshape(-1, 3, 32, 32), rows[:, 0].astype(np.int64)
    raise SystemExit(f"{folder}: expected cifar-10-batches-bin or cifar-10-batches-py")


class SignWeight(torch.autograd.Function):
    @staticmethod
    def forward(ctx, w):
        return (w >= 0).float() * 2 - 1

    @staticmethod
    def backward(ctx, d):
        return d


class SignActivation(torch.autograd.Function):
    @staticmethod
    def forward(ctx, y):
        ctx.save_for_backward(y)
        return (y >= 0).float() * 2 - 1

    @staticmethod
    def backward(ctx, d):
        (y,) = ctx.saved_tensors
        return d * (y.abs() <= 1)


class RoundToIntegers(torch.autograd.Function):
    """-127..127, one scale per output, which the gradient takes as constant."""

    @staticmethod
    def forward(ctx, w):
        scale = w.abs().amax(dim=(1, 2, 3), keepdim=True).clamp(min=1e-30) / 127
        ctx.save_for_backward(scale)
        return torch.round(w / scale)

    @staticmethod
    def backward(ctx, d):
        return d / ctx.saved_tensors[0]


class Layer(nn.Module):
    """Weights, pooling, batch norm; the activation is the network's."""

    def __init__(self, inputs, outputs, kernel, pool, place):
        super().__init__()
        self.kernel, self.pool, self.place = kernel, pool, place
        fan_in, fan_out = inputs * kernel * kernel, outputs * kernel * kernel
        shape = (outputs, inputs, kernel, kernel) if kernel else (outputs, inputs)
        if not kernel:
            fan_in, fan_out = inputs, outputs
        self.latent = place is None
        limit = 1.0 if self.latent else math.sqrt(6 / (fan_in + fan_out))
        self.weight = nn.Parameter(torch.empty(shape).uniform_(-limit, limit))
        self.rate_scale = 1 / math.sqrt(1.5 / (fan_in + fan_out)) if self.latent else 1.0
        self.norm = nn.BatchNorm1d(outputs, eps=EPSILON) if not kernel else nn.BatchNorm2d(outputs, eps=EPSILON)

    def forward(self, x):
        w = SignWeight.apply(self.weight) if self.latent else RoundToIntegers.apply(self.weight * self.place)
        if self.kernel:
            x = F.conv2d(x, w, padding=self.kernel // 2)
            if self.pool:
                x = F.max_pool2d(x, 2)
        else:
            x = F.linear(x.flatten(1), w)
        return self.norm(x)


class Network(nn.Module):
    def __init__(self, width, dense, encoding):
        super().__init__()
        if encoding == "8-bit":
            place = torch.full((3,), 1 / 255)
        else:
            place = (2.0 ** torch.arange(8)).repeat(3) / 255
        layers, channels = [], len(place)
        for i, outputs in enumerate((width, width, 2 * width, 2 * width, 4 * width, 4 * width)):
            layers.append(Layer(channels, outputs, 3, i % 2 == 1, place.view(1, -1, 1, 1) if i == 0 else None))
            channels = outputs
        channels *= 16
        for outputs in (dense, dense, 10):
            layers.append(Layer(channels, outputs, 0, False, None))
            channels = outputs
        self.layers = nn.ModuleList(layers)

    def forward(self, x):
        for layer in self.layers[:-1]:
            x = SignActivation.apply(layer(x))
        return self.layers[-1](x)


def planes(pixels, encoding):
    """uint8 [n, 3, h, w] to what the first layer sees: 24 slices of +-1, channel by channel, lowest bit first; or 2x - 255."""
    if encoding == "8-bit":
        return pixels.float() * 2 - 255
    bits = (pixels.unsqueeze(2) >> torch.arange(8, dtype=torch.uint8, device=pixels.device).view(1, 1, 8, 1, 1)) & 1
    return bits.flatten(1, 2).float() * 2 - 1


def augment(pixels, generator, shift=4):
    """Mirrored or not, moved by up to `shift` pixels; the edge repeats."""
    n, _, h, w = pixels.shape
    rows = torch.arange(h) + torch.randint(-shift, shift + 1, (n, 1), generator=generator)
    columns = torch.arange(w) + torch.randint(-shift, shift + 1, (n, 1), generator=generator)
    mirrored = torch.randint(0, 2, (n, 1), generator=generator).bool()
    columns = columns.clamp(0, w - 1)
    columns = torch.where(mirrored, w - 1 - columns, columns)
    rows = rows.clamp(0, h - 1)
    at = (torch.arange(n).view(n, 1, 1, 1), torch.arange(3).view(1, 3, 1, 1), rows.view(n, 1, h, 1), columns.view(n, 1, 1, w))
    return pixels[tuple(index.to(pixels.device) for index in at)]


def calibrate(network, batches):
    """Mean of the statistics of some training batches, in place of running averages."""
    network.train()
    for layer in network.layers:
        layer.norm.reset_running_stats()
        layer.norm.momentum = None
    with torch.no_grad():
        for batch in batches:
            network(batch)


class Training:
    def __init__(self, args):
        self.args = args
        torch.manual_seed(args.seed)
        self.network = Network(args.width, args.dense or 8 * args.width, args.input)
        groups = []
        for layer in self.network.layers:
            groups.append({"params": [layer.weight], "peak": args.rate * layer.rate_scale if layer.latent else args.float_rate})
            groups.append({"params": list(layer.norm.parameters()), "peak": args.float_rate})
        self.optimizer = torch.optim.Adam(groups, lr=0.0, eps=1e-8)

    def step(self, images, labels, factor):
        self.network.train()
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * factor
        scores = self.network(images)
        loss = F.cross_entropy(scores, labels)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        with torch.no_grad():
            for layer in self.network.layers:
                if layer.latent:
                    layer.weight.clamp_(-1, 1)
        return float(loss), int((scores.argmax(1) == labels).sum())

    def error(self, pixels, labels):
        self.network.eval()
        wrong = 0
        with torch.no_grad():
            for start in range(0, len(pixels), 200):
                scores = self.network(planes(pixels[start : start + 200], self.args.input))
                wrong += int((scores.argmax(1) != labels[start : start + 200]).sum())
        return 100 * wrong / len(pixels)


def factor_at(step, total, warmup=200):
    ramp = min(warmup, total // 10)
    if step <= ramp:
        return step / ramp
    return 0.5 * (1 + math.cos(math.pi * (step - ramp) / (total - ramp + 1)))


def train(args):
    pixels, labels = (torch.from_numpy(a) for a in read_batches(args.data, [f"data_batch_{i}" for i in range(1, 6)]))
    test = [torch.from_numpy(a) for a in read_batches(args.data, ["test_batch"])]
    validation = pixels[-5000:], labels[-5000:]
    pixels, labels = pixels[:-5000], labels[:-5000]
    run = Training(args)
    epoch, best = 0, {"epoch": 0, "validation": 101.0, "test": None}
    if args.checkpoint and os.path.exists(args.checkpoint):
        saved = torch.load(args.checkpoint)
        run.network.load_state_dict(saved["network"])
        run.optimizer.load_state_dict(saved["optimizer"])
        epoch, best = saved["epoch"], saved["best"]
    steps = len(pixels) // args.batch
    while epoch < args.epochs:
        begun, loss_sum, correct = time.time(), 0.0, 0
        generator = torch.Generator().manual_seed(1000 * args.seed + epoch)
        order = torch.randperm(len(pixels), generator=generator)
        for i in range(steps):
            chosen = order[i * args.batch : (i + 1) * args.batch]
            batch = planes(augment(pixels[chosen], generator), args.input)
            factor = factor_at(epoch * steps + i + 1, args.epochs * steps)
            loss, right = run.step(batch, labels[chosen], factor)
            loss_sum, correct = loss_sum + loss, correct + right
        calibrate(
            run.network,
            (planes(augment(pixels[order[i * args.batch : (i + 1) * args.batch]], generator), args.input) for i in range(20)),
        )
        epoch += 1
        found = run.error(*validation)
        if found < best["validation"]:
            best = {"epoch": epoch, "validation": found, "test": run.error(*test)}
        line = {"epoch": epoch, "loss": loss_sum / steps, "train": 100 - 100 * correct / (steps * args.batch),
                "validation": found, "seconds": round(time.time() - begun, 1)}
        print(json.dumps(line), flush=True)
        if args.checkpoint:
            temporary = args.checkpoint + ".tmp"
            torch.save({"network": run.network.state_dict(), "optimizer": run.optimizer.state_dict(), "epoch": epoch, "best": best}, temporary)
            os.replace(temporary, args.checkpoint)
    print(json.dumps({"best": best, "input": args.input, "epochs": args.epochs, "seed": args.seed, "torch": torch.__version__}))


def measure(args):
    run = Training(args)
    images = planes(torch.randint(0, 256, (args.batch, 3, 32, 32), dtype=torch.uint8), args.input)
    labels = torch.randint(0, 10, (args.batch,))
    times, losses = [], []
    for _ in range(args.time):
        begun = time.perf_counter()
        losses.append(run.step(images, labels, 0.1)[0])
        times.append(1000 * (time.perf_counter() - begun))
    if not losses[-1] < losses[0]:
        raise SystemExit(f"the loss did not fall: {losses[0]} -> {losses[-1]}")
    times = sorted(times[3:])
    print(json.dumps({"torch": torch.__version__, "threads": torch.get_num_threads(), "width": args.width, "batch": args.batch,
                      "input": args.input, "median": times[len(times) // 2], "steps": len(times)}))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?")
    parser.add_argument("--time", type=int, help="only time this many steps, on made-up images")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--width", type=int, default=32, help="channels of the first two convolutions")
    parser.add_argument("--dense", type=int, help="units of the dense layers (default: 8 x width)")
    parser.add_argument("--input", choices=["bit-slices", "8-bit"], default="bit-slices")
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--rate", type=float, default=1e-2, help="of latent weights, times each layer's Glorot factor")
    parser.add_argument("--float-rate", type=float, default=5e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--checkpoint")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.time is not None and arguments.time < 4:
        parser.error("--time: expected at least 4 steps, of which the first three do not count")
    if arguments.time:
        measure(arguments)
    elif arguments.data:
        train(arguments)
    else:
        parser.error("expected the folder of CIFAR-10, or --time")


if __name__ == "__main__":
    main()
