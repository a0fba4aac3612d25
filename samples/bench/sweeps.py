#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How the cost of a training step grows with tokens, width, rank and batch: `firn bench train` over a range of each, and plots.

    sweeps.py [--firn build/firn] [--device cpu] [--device vulkan:0] [--data FILE] [--out docs/plots] [--quick] [--plot-only]

A Llama shape with random weights (no file is needed), LoRA on all linear layers. Times are processor seconds of all threads on
devices that run on the processor, which do not depend on who else uses the machine; wall seconds elsewhere. Figures are added to
--data device by device, so that runs on several machines meet in one plot. Only Python's standard library is used.
"""
import argparse
import atexit
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
BASE = dict(length=128, width=512, rank=16, batch=1)
RANGES = dict(length=[32, 64, 128, 256, 512, 1024], width=[128, 256, 512, 1024], rank=[1, 4, 16, 64, 256], batch=[1, 2, 4, 8])
TITLES = dict(length="tokens of one sequence", width="width of the model (channels)", rank="rank of LoRA on all linear layers",
              batch="sequences of 128 tokens")
# Line colours that are told apart on white and on black, and by people who do not see red and green.
COLOURS = ["#0a7ec2", "#d9730d", "#8a63d2", "#2a9d5c"]


def config(width):
    return dict(architectures=["LlamaForCausalLM"], model_type="llama", hidden_size=width,
                intermediate_size=(width * 11 // 4 + 7) // 8 * 8, num_hidden_layers=4, num_attention_heads=width // 64,
                num_key_value_heads=max(1, width // 128), vocab_size=4096, max_position_embeddings=4096, rms_norm_eps=1e-5,
                rope_theta=10000.0, hidden_act="silu", tie_word_embeddings=False, initializer_range=0.02,
                attention_bias=False, mlp_bias=False)


def measure(args, device, point):
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "config.json"), "w") as f:
            json.dump(config(point["width"]), f)
        method = "{type: lora, r: %d, lora_alpha: 16, target_modules: all-linear}" % point["rank"]
        command = [args.firn, "bench", "train", "--device", device, "--model", folder, "--task", "causal_lm", "--batch",
                   str(point["batch"]), "--length", str(point["length"]), "--method", method, "--repeat", str(args.repeat),
                   "--seconds", str(args.seconds), "--no-peaks", "--json"]
        answer = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    row, kinds = answer["rows"][0], answer["bytes"]
    return dict(point, core_seconds=row["core_seconds"], seconds=row["seconds"], activations=kinds["activations"],
                bytes=sum(v for k, v in kinds.items() if k != "allocated"), name=answer["name"])


def sweep(args, device):
    """Points that two ranges share are measured once."""
    seen, result = {}, {}
    for axis, values in RANGES.items():
        values = values[:2] if args.quick else values
        for value in values:
            point = dict(BASE, **{axis: value})
            key = tuple(sorted(point.items()))
            if key not in seen:
                seen[key] = measure(args, device, point)
                print("%-10s %-7s %5d: %8.4f core s, %8.4f s, %7.1f MiB of activations" % (
                    device, axis, value, seen[key]["core_seconds"], seen[key]["seconds"], seen[key]["activations"] / 2**20),
                    flush=True)
            result.setdefault(axis, []).append(seen[key])
    return result


def ticks(low, high):
    """1, 2 and 5 times powers of ten."""
    out, decade = [], math.floor(math.log10(low))
    while 10.0 ** decade <= high * 1.001:
        out += [m * 10.0 ** decade for m in (1, 2, 5) if low * 0.999 <= m * 10.0 ** decade <= high * 1.001]
        decade += 1
    return out


def short(x):
    return "%g" % (float("%.3g" % x))


def plot(path, title, x_name, y_name, lines):
    """Straight lines on two logarithmic axes; `lines`: name -> [(x, y)]. A dashed line shows growth in proportion."""
    w, h, left, right, top, bottom = 640, 380, 72, 24, 44, 56
    xs = [x for points in lines.values() for x, _ in points]
    ys = [y for points in lines.values() for _, y in points]
    x0, x1, y0, y1 = min(xs), max(xs), min(ys) / 1.25, max(ys) * 1.25
    px = lambda x: left + (w - left - right) * (math.log(x / x0) / math.log(x1 / x0) if x1 > x0 else 0.5)
    py = lambda y: h - bottom - (h - top - bottom) * (math.log(y / y0) / math.log(y1 / y0))
    out = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" font-family="sans-serif" font-size="13">' % (w, h),
           "<title>%s</title>" % title,
           "<style>text{fill:#1f2328}.grid{stroke:#8c959f;stroke-opacity:.35}.same{stroke:#8c959f;stroke-dasharray:5 4}"
           "@media(prefers-color-scheme:dark){text{fill:#e6edf3}}</style>",
           '<text x="%d" y="24" font-size="15">%s</text>' % (left, title)]
    for y in ticks(y0, y1):
        out.append('<line class="grid" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/><text x="%d" y="%.1f" text-anchor="end">%s</text>'
                   % (left, w - right, py(y), py(y), left - 8, py(y) + 4, short(y)))
    for x in sorted(set(xs)):
        out.append('<line class="grid" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/><text x="%.1f" y="%d" text-anchor="middle">%s</text>'
                   % (px(x), px(x), top, h - bottom, px(x), h - bottom + 18, short(x)))
    out.append('<text x="%d" y="%d" text-anchor="middle">%s</text>' % ((left + w - right) // 2, h - 14, x_name))
    out.append('<text transform="translate(18 %d) rotate(-90)" text-anchor="middle">%s</text>' % ((top + h - bottom) // 2, y_name))
    for i, (name, points) in enumerate(lines.items()):
        points, colour = sorted(points), COLOURS[i % len(COLOURS)]
        xa, ya = points[-1]  # in proportion: from the last point down to the left edge or the bottom
        xb = max(points[0][0], xa * y0 / ya)
        out.append('<line class="same" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>' % (px(xa), py(ya), px(xb), py(ya * xb / xa)))
        out.append('<polyline fill="none" stroke="%s" stroke-width="2" points="%s"/>'
                   % (colour, " ".join("%.1f,%.1f" % (px(x), py(y)) for x, y in points)))
        for x, y in points:
            out.append('<circle cx="%.1f" cy="%.1f" r="3.5" fill="%s"><title>%s: %s, %s</title></circle>'
                       % (px(x), py(y), colour, name, short(x), short(y)))
        out.append('<text x="%d" y="%d" style="fill:%s">%s</text>' % (left + 10, top + 18 + 18 * i, colour, name))
    out.append("</svg>")
    with open(path, "w") as f:
        f.write("\n".join(out) + "\n")


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--firn", default=os.path.join(HERE, "..", "..", "build", "firn"))
    ap.add_argument("--device", action="append", help="may be given several times; default cpu")
    ap.add_argument("--data", default=os.path.join(HERE, "..", "..", "docs", "plots", "sweeps.json"))
    ap.add_argument("--out", default=os.path.join(HERE, "..", "..", "docs", "plots"))
    ap.add_argument("--repeat", type=int, default=10)
    ap.add_argument("--seconds", type=float, default=3.0, help="no more runs of a point after so long")
    ap.add_argument("--most", type=int, default=1 << 20, help="leave out points of more tokens, ranks or channels")
    ap.add_argument("--quick", action="store_true", help="a smoke test: two points an axis, files in a temporary folder")
    ap.add_argument("--plot-only", action="store_true", help="measure nothing")
    args = ap.parse_args()
    if args.quick:
        args.out = tempfile.mkdtemp()
        args.data = os.path.join(args.out, "sweeps.json")
        atexit.register(shutil.rmtree, args.out)
    for axis in RANGES:
        RANGES[axis] = [v for v in RANGES[axis] if v <= args.most]
    data = {}
    if os.path.exists(args.data):
        with open(args.data) as f:
            data = json.load(f)
    os.makedirs(args.out, exist_ok=True)
    for device in [] if args.plot_only else args.device or ["cpu"]:
        data[device] = sweep(args, device)
        with open(args.data, "w") as f:
            json.dump(data, f, indent=1, sort_keys=True)
            f.write("\n")
    key = "core_seconds"
    for axis in RANGES:
        lines = {device: [(p[axis], p[key]) for p in axes.get(axis, [])] for device, axes in data.items()}
        lines = {device: points for device, points in lines.items() if len(points) > 1}
        if lines:
            plot(os.path.join(args.out, "step-%s.svg" % axis), "One LoRA step against %s" % TITLES[axis], TITLES[axis],
                 "processor seconds a step", lines)
    lines = {device: [(p["length"], p["activations"] / 2**20) for p in axes.get("length", [])] for device, axes in data.items()}
    lines = {device: points for device, points in lines.items() if len(points) > 1}
    if lines:
        plot(os.path.join(args.out, "memory-length.svg"), "Activations and workspace against tokens", TITLES["length"],
             "MiB, as planned and allocated", lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
