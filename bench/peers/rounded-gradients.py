#!/usr/bin/env python3
"""
What rounding gradients costs, over many seeds: the network and recipe of pytorch-training.py with gradients of sums in
float32, or in 8 bits at random as docs/training-step.md (section 5) has it, in both products of the backward pass or in one.
It is a simulation, in PyTorch and not in this repository's step, so that a GPU can train dozens of networks side by side. It
differs from that page in this: every element has noise of its own (there a word of a pixel is shared by its channels);
gradients of batch norm come from dy as it is stored, in bfloat16; what is stored is the gradient, not its integer; a graph's
first step has the unit that warming up left.

    python3 bench/peers/rounded-gradients.py data/cifar10 --arms float32,int8 --seeds 1,2,3,4 --epochs 20 --rate 3e-3

A seed gives each arm the same first weights and the same images in the same order; noise is one stream for a group, so that a
result belongs to its whole command line. A JSON line for each network, of its last epoch, then the difference of each arm to the
first, paired by seed, with its 95 % interval (Student's t). On a GPU (--device cuda) the steps of a group of networks are one graph,
each on a stream of its own.
"""
import argparse
import importlib.util
import json
import math
import os
import statistics
import time

import torch
from torch.nn import functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
SPEC = importlib.util.spec_from_file_location("pytorch_training", os.path.join(HERE, "pytorch-training.py"))
peer = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(peer)

# What a convolution's unit is at most, in root mean squares (docs/training-step.md 5).
CLIP = 32
# arm: which products of the backward pass take rounded gradients, and how these are rounded
ARMS = {
    "float32": (),
    "int8": ("inputs", "weights"),
    "int8-inputs": ("inputs",),
    "int8-weights": ("weights",),
}


class Rounding:
    """8 bits with a unit per layer: a dense layer's of this step, a convolution's of what the step before left."""

    def __init__(self, products, pool, is_dense, device):
        self.products, self.is_dense = products, is_dense
        self.share = pool * pool  # of a pooled map's window one position has a gradient
        self.unit = torch.zeros((), device=device)
        self.is_fresh = True

    def apply(self, dz):
        if self.is_dense or self.is_fresh:
            self.unit.copy_(dz.abs().amax().clamp(min=1e-30) / 127)
            self.is_fresh = False
        r = dz / self.unit
        rounded = torch.floor(r.clamp(-127, 127) + torch.rand_like(r)).clamp(-127, 127)
        result = rounded * self.unit
        if not self.is_dense:
            rms = (rounded.square().mean() * self.share).sqrt()
            largest = r.abs().amax()
            most = torch.where(rms > 0, torch.minimum(largest, CLIP * rms), largest)
            self.unit.copy_(torch.where(most > 0, self.unit * most / 127, self.unit))
        return result


class Products(torch.autograd.Function):
    """A convolution or dense layer whose backward pass takes rounded gradients where its arm says so."""

    @staticmethod
    def forward(ctx, x, w, rounding):
        ctx.save_for_backward(x, w)
        ctx.rounding = rounding
        return F.conv2d(x, w, padding=w.shape[2] // 2) if w.dim() == 4 else F.linear(x, w)

    @staticmethod
    def backward(ctx, dz):
        x, w = ctx.saved_tensors
        rounded = ctx.rounding.apply(dz)
        for_inputs = rounded if "inputs" in ctx.rounding.products else dz
        for_weights = rounded if "weights" in ctx.rounding.products else dz
        if w.dim() == 2:
            return for_inputs @ w, for_weights.t() @ x, None

        def products(d, inputs, weights):
            half = w.shape[2] // 2
            return torch.ops.aten.convolution_backward(
                d, x, w, None, [1, 1], [half, half], [1, 1], False, [0, 0], 1, [inputs, weights, False]
            )

        needs_inputs = ctx.needs_input_grad[0]
        if for_inputs is for_weights:
            dx, dw, _ = products(for_inputs, needs_inputs, True)
        else:
            dx = products(for_inputs, True, False)[0] if needs_inputs else None
            dw = products(for_weights, False, True)[1]
        return dx, dw, None


class StoredGradient(torch.autograd.Function):
    """Gradients of inputs lie in memory as bfloat16."""

    @staticmethod
    def forward(ctx, x):
        return x.view_as(x)

    @staticmethod
    def backward(ctx, d):
        return d.bfloat16().float()


class RoundedLayer(peer.Layer):
    rounding = None

    def forward(self, x):
        if self.rounding is None:
            return super().forward(x)
        w = peer.SignWeight.apply(self.weight) if self.latent else peer.RoundToIntegers.apply(self.weight * self.place)
        x = Products.apply(x if self.kernel else x.flatten(1), w, self.rounding)
        if self.pool:
            x = F.max_pool2d(x, 2)
        return StoredGradient.apply(self.norm(x))


class Images:
    """An epoch of a seed's training images, which all its arms see, step by step."""

    def __init__(self, seed, pixels, labels, args):
        self.seed, self.all, self.all_labels, self.batch = seed, pixels, labels, args.batch
        self.pixels, self.labels = torch.empty_like(pixels), torch.empty_like(labels)
        self.rows = torch.arange(args.batch, device=pixels.device)

    def shuffle(self, epoch):
        order = torch.randperm(len(self.all), generator=torch.Generator().manual_seed(1000 * self.seed + epoch + 500))
        order = order.to(self.all.device)
        self.pixels.copy_(peer.augment(self.all[order], torch.Generator().manual_seed(1000 * self.seed + epoch)))
        self.labels.copy_(self.all_labels[order])

    def at(self, step):
        rows = self.rows + step * self.batch
        return self.pixels[rows], self.labels[rows]


class Run:
    """One network of one arm and seed, whose step reads and writes the same memory each time."""

    def __init__(self, arm, images, args):
        self.arm, self.images = arm, images
        device = args.device
        torch.manual_seed(images.seed)
        self.network = peer.Network(args.width, args.dense or 8 * args.width, args.input)
        for layer in self.network.layers:
            layer.__class__ = RoundedLayer
            layer.place = None if layer.place is None else layer.place.to(device)
        self.network.to(device)
        if ARMS[arm]:
            for layer in self.network.layers:
                layer.rounding = Rounding(ARMS[arm], 2 if layer.pool else 1, not layer.kernel, device)
        self.parameters = list(self.network.parameters())
        of_weights = {id(layer.weight): layer for layer in self.network.layers}
        self.rates = [
            args.rate * of_weights[id(p)].rate_scale if id(p) in of_weights and of_weights[id(p)].latent else args.float_rate
            for p in self.parameters
        ]
        self.latent = [layer.weight for layer in self.network.layers if layer.latent]
        self.first = [torch.zeros_like(p) for p in self.parameters]
        self.second = [torch.zeros_like(p) for p in self.parameters]
        self.wrong = torch.zeros((), dtype=torch.int64, device=device)
        self.input = args.input

    def planes(self, pixels):
        return peer.planes(pixels, self.input)

    def step(self, at, numbers):
        """`at`: number of the step in its epoch; `numbers`: the rate's factor over Adam's first correction, and the second's root."""
        pixels, labels = self.images.at(at)
        torch.backends.cudnn.allow_tf32 = True  # sums of +-1 and bytes are exact in it
        torch.backends.cuda.matmul.allow_tf32 = True
        scores = self.network(self.planes(pixels))
        loss = F.cross_entropy(scores, labels)
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
        gradients = list(torch.autograd.grad(loss, self.parameters))
        with torch.no_grad():
            torch._foreach_mul_(self.first, 0.9)
            torch._foreach_add_(self.first, gradients, alpha=0.1)
            torch._foreach_mul_(self.second, 0.999)
            torch._foreach_addcmul_(self.second, gradients, gradients, 0.001)
            below = torch._foreach_sqrt(self.second)
            for p, m, b, rate in zip(self.parameters, self.first, below, self.rates):
                p.sub_(m / b.div_(numbers[1]).add_(1e-8) * (numbers[0] * rate))
            for w in self.latent:
                w.clamp_(-1, 1)
            self.wrong += (scores.argmax(1) != labels).sum()

    def error(self, pixels, labels):
        self.network.eval()
        with torch.no_grad():
            found = torch.cat([self.network(self.planes(pixels[at : at + 500])).argmax(1) for at in range(0, len(pixels), 500)])
        return 100 * float((found != labels).float().mean())


class Together:
    """Steps of a group of runs: on a GPU one graph, made once and replayed."""

    def __init__(self, runs, numbers, steps, mode):
        self.runs, self.numbers, self.steps = runs, numbers, steps
        self.done = torch.zeros((), dtype=torch.int64, device=numbers.device)
        self.streams = [torch.cuda.Stream() for _ in runs] if mode == "streams" else None
        self.graph = None
        if mode == "eager":
            return
        # Detached: what a clone keeps of autograd belongs to another stream, and capturing would fail.
        kept = [[t.detach().clone() for t in run.parameters + list(run.network.buffers())] for run in runs]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self.all_steps()
        torch.cuda.current_stream().wait_stream(side)
        torch.cuda.synchronize()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.all_steps()
        with torch.no_grad():
            self.done.zero_()
            for run, tensors in zip(runs, kept):
                for t, before in zip(run.parameters + list(run.network.buffers()), tensors):
                    t.copy_(before)
                for t in run.first + run.second:
                    t.zero_()
                run.wrong.zero_()

    def all_steps(self):
        # Not self.numbers[self.done], which would read the number on the host.
        at, numbers = self.done % self.steps, self.numbers.index_select(0, self.done.view(1))[0]
        if self.streams is None:
            for run in self.runs:
                run.step(at, numbers)
        else:
            here = torch.cuda.current_stream()
            for run, stream in zip(self.runs, self.streams):
                stream.wait_stream(here)
                with torch.cuda.stream(stream):
                    run.step(at, numbers)
            for stream in self.streams:
                here.wait_stream(stream)
        self.done += 1

    def step(self):
        if self.graph:
            self.graph.replay()
        else:
            self.all_steps()


def train(wanted, args, pixels, labels, test):
    steps = len(pixels) // args.batch
    total = args.epochs * steps
    images = {seed: Images(seed, pixels, labels, args) for seed in {seed for _, seed in wanted}}
    runs = [Run(arm, images[seed], args) for arm, seed in wanted]
    numbers = [[peer.factor_at(t, total) / (1 - 0.9**t), math.sqrt(1 - 0.999**t)] for t in range(1, total + 1)]
    begun = time.time()
    for epoch in range(args.epochs):
        for one in images.values():
            one.shuffle(epoch)
        if epoch == 0:
            for run in runs:
                run.network.train()
            together = Together(runs, torch.tensor(numbers, device=args.device), steps, args.mode)
        for run in runs:
            run.wrong.zero_()
        for _ in range(steps):
            together.step()
        if args.verbose:
            shares = [round(100 * int(run.wrong) / (steps * args.batch), 2) for run in runs]
            print(json.dumps({"epoch": epoch + 1, "train": shares, "seconds": round(time.time() - begun, 1)}), flush=True)
    for run in runs:
        peer.calibrate(run.network, (run.planes(run.images.at(i)[0]) for i in range(min(20, steps))))
        line = {"arm": run.arm, "seed": run.images.seed, "train": 100 * int(run.wrong) / (steps * args.batch), "test": run.error(*test)}
        yield {**line, "seconds": round(time.time() - begun, 1)}


def student(freedom):
    """97.5 % quantile of Student's t (Cornish-Fisher; within 1 % from 3 degrees of freedom on)."""
    z = 1.959964
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2) + (
        3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)


def summary(lines, arms):
    """Differences of each arm's errors to the first arm's, paired by seed, with their 95 % intervals."""
    by = {(one["arm"], one["seed"]): one for one in lines}
    for arm in arms[1:]:
        for key in ("test", "train"):
            pairs = [one[key] - by[arms[0], one["seed"]][key] for one in lines if one["arm"] == arm and (arms[0], one["seed"]) in by]
            if len(pairs) < 2:
                continue
            mean, error = statistics.mean(pairs), statistics.stdev(pairs) / math.sqrt(len(pairs))
            wide = student(len(pairs) - 1) * error
            yield {"arm": arm, "against": arms[0], "of": key, "pairs": len(pairs), "difference": round(mean, 3),
                   "interval": [round(mean - wide, 3), round(mean + wide, 3)]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--arms", default="float32,int8", help="of " + ", ".join(ARMS))
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--side-by-side", type=int, default=8, help="networks in one graph")
    parser.add_argument("--seconds", type=float, default=math.inf, help="begin no group after so many")
    parser.add_argument("--limit", type=int, default=45000, help="training images")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--dense", type=int)
    parser.add_argument("--input", choices=["bit-slices", "8-bit"], default="bit-slices")
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--float-rate", type=float, default=5e-3)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--mode", choices=["streams", "graph", "eager"], default="streams" if torch.cuda.is_available() else "eager",
                        help="one graph with a stream for each network, one graph, or none")
    parser.add_argument("--verbose", action="store_true", help="a line for each epoch")
    args = parser.parse_args()
    begun = time.time()
    names = [[f"data_batch_{i}" for i in range(1, 6)], ["test_batch"]]
    (pixels, labels), test = ([torch.from_numpy(a).to(args.device) for a in peer.read_batches(args.data, n)] for n in names)
    pixels, labels = pixels[: args.limit], labels[: args.limit]
    arms = args.arms.split(",")
    wanted = [(arm, int(seed)) for seed in args.seeds.split(",") for arm in arms]
    lines = []
    for at in range(0, len(wanted), args.side_by_side):
        if time.time() - begun > args.seconds:
            print(json.dumps({"left": len(wanted) - at}))
            break
        for line in train(wanted[at : at + args.side_by_side], args, pixels, labels, test):
            print(json.dumps(line), flush=True)
            lines.append(line)
    for line in summary(lines, arms):
        print(json.dumps(line))


if __name__ == "__main__":
    main()
