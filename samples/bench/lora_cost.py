#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What LoRA on all linear layers adds to a step, and what DoRA adds to LoRA.

    lora_cost.py [--firn build/firn] [--device cpu] [--rank 16] [--quick] [--json FILE]

The step without an adapter is one whose only adapter has rank 1 and sits on the first layer's query, key and value: the gradient
then passes through every layer above, so that it needs the same backward products of the frozen weights as LoRA everywhere. The
two take turns step by step (`firn bench train --against`); the ratio is the median over neighbours.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

from versus_pytorch import BERT, LLAMA

CASES = [("minilm 32 x 64", BERT, "sequence_classification", 32, 64, "[query, key, value]"),
         ("llama 512 wide, 1 x 128", LLAMA, "causal_lm", 1, 128, "[q_proj, k_proj, v_proj]"),
         ("llama 512 wide, 1 x 512", LLAMA, "causal_lm", 1, 512, "[q_proj, k_proj, v_proj]")]


def ratio(args, folder, case, method, against):
    _, _, task, batch, length, _ = case
    out = subprocess.run([args.firn, "bench", "train", "--device", args.device, "--model", folder, "--task", task, "--batch",
                          str(batch), "--length", str(length), "--method", method, "--against", against, "--repeat",
                          str(args.pairs), "--seconds", str(args.seconds), "--no-peaks", "--json"], check=True,
                         capture_output=True, text=True).stdout
    return json.loads(out)["ratio"]


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--firn", default=os.path.join(here, "..", "..", "build", "firn"))
    ap.add_argument("--device", default="cpu")
    ap.add_argument("--rank", type=int, default=16)
    ap.add_argument("--pairs", type=int, default=15)
    ap.add_argument("--seconds", type=float, default=120, help="no more pairs after so long")
    ap.add_argument("--case", help="only cases whose name contains this")
    ap.add_argument("--quick", action="store_true", help="a smoke test: one case, three pairs")
    ap.add_argument("--json", help="also write the ratios here")
    args = ap.parse_args()
    if args.quick:
        args.pairs, args.seconds = 3, 0.1
    result = []
    for case in [c for c in CASES if args.case is None or args.case in c[0]][:1 if args.quick else None]:
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "config.json"), "w") as f:
                json.dump(case[1], f)
            lora = "{type: lora, r: %d, lora_alpha: 16, target_modules: all-linear}" % args.rank
            dora = "{type: lora, r: %d, lora_alpha: 16, target_modules: all-linear, use_dora: true}" % args.rank
            none = "{type: lora, r: 1, layers_to_transform: [0], target_modules: %s}" % case[5]
            for name, method, against in (("LoRA r %d to none" % args.rank, lora, none), ("DoRA to LoRA", dora, lora)):
                r = ratio(args, folder, case, method, against)
                print("%-26s %-18s %.3f in core time (middle half %.3f .. %.3f), %.3f in wall time, %d pairs"
                      % (case[0], name, r["core"], r["core_low"], r["core_high"], r["wall"], r["pairs"]), flush=True)
                result.append(dict(case=case[0], what=name, device=args.device, **r))
    if args.json:
        with open(args.json, "w") as f:
            json.dump(result, f, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
