#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The same LoRA training steps in firn and in PyTorch + PEFT, in turns, and the ratio of their times.

    versus_pytorch.py [--firn build/firn] [--device cpu] [--threads N] [--memory] [--quick] [--json FILE]

Weights are random on both sides (a model is only a config.json), tokens too; float32, AdamW, gradient norm cut to 1.
Processor time is compared (all threads of a process), because it does not depend on who else uses the machine; wall
times are printed beside it. Threads of PyTorch that wait for others of their kind spin, which counts as processor time: on
a machine that others use too, --threads 1 is what is fair to PyTorch. --memory compares the peak resident bytes of whole
processes instead, each fresh (what importing torch takes is named). On a CUDA device (--torch-device cuda) wall times are compared. Rounds take turns: firn,
PyTorch, firn, ... and the medians of the rounds are held against each other.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

BERT = dict(architectures=["BertForSequenceClassification"], model_type="bert", hidden_size=384, intermediate_size=1536,
            num_hidden_layers=6, num_attention_heads=12, vocab_size=30522, max_position_embeddings=512, type_vocab_size=2,
            hidden_act="gelu", layer_norm_eps=1e-12, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
            initializer_range=0.02, pad_token_id=0)
LLAMA = dict(architectures=["LlamaForCausalLM"], model_type="llama", hidden_size=512, intermediate_size=1408,
             num_hidden_layers=8, num_attention_heads=8, num_key_value_heads=4, vocab_size=4096,
             max_position_embeddings=2048, rms_norm_eps=1e-5, rope_theta=10000.0, hidden_act="silu",
             tie_word_embeddings=False, initializer_range=0.02, attention_bias=False, mlp_bias=False)
QV = dict(r=8, lora_alpha=16)
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
CASES = [
    ("minilm 32 x 64", BERT, "sequence_classification", 32, 64, dict(QV, target_modules=["query", "value"])),
    ("llama 512 wide, 1 x 128", LLAMA, "causal_lm", 1, 128, dict(QV, target_modules=["q_proj", "v_proj"])),
    ("llama 512 wide, 1 x 512", LLAMA, "causal_lm", 1, 512, dict(QV, target_modules=["q_proj", "v_proj"])),
    ("llama 512 wide, 1 x 128, r 16, all linear", LLAMA, "causal_lm", 1, 128, dict(r=16, lora_alpha=16, target_modules=ALL)),
]


def firn_command(args, folder, task, batch, length, lora, seconds, repeat):
    method = "{type: lora, r: %d, lora_alpha: %d, target_modules: [%s]}" % (lora["r"], lora["lora_alpha"],
                                                                          ", ".join(lora["target_modules"]))
    return [args.firn, "bench", "train", "--device", args.device, "--model", folder, "--task", task, "--batch", str(batch),
            "--length", str(length), "--method", method, "--seconds", str(seconds), "--repeat", str(repeat), "--no-peaks",
            "--json"]


def firn(args, folder, task, batch, length, lora, seconds):
    out = subprocess.run(firn_command(args, folder, task, batch, length, lora, seconds, 50), check=True, capture_output=True,
                         text=True).stdout
    answer = json.loads(out)
    row = answer["rows"][0]
    bytes_all = sum(v for k, v in answer["bytes"].items() if k != "allocated")
    return dict(wall=row["seconds"], cpu=row["core_seconds"], bytes=bytes_all)


def peak(command):
    """Peak resident bytes of a process (ru_maxrss is in KiB on Linux)."""
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    if status != 0:
        raise RuntimeError("%s failed" % command[:3])
    return usage.ru_maxrss * 1024


def compare_memory(args, cases):
    me = [sys.executable, os.path.abspath(__file__), "--threads", str(args.threads)]
    empty = peak(me + ["--one-step", "none"])
    print("PyTorch with transformers and peft imported, no model: %.0f MB" % (empty / 1e6))
    for name, config, task, batch, length, lora in cases:
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "config.json"), "w") as f:
                json.dump(config, f)
            ours = peak(firn_command(args, folder, task, batch, length, lora, 0, 3))
        theirs = peak(me + ["--one-step", name])
        print("%-44s firn %7.0f MB, PyTorch %7.0f MB (%.0f above its imports)" % (name, ours / 1e6, theirs / 1e6,
                                                                              (theirs - empty) / 1e6), flush=True)


class Torch:
    """One case, kept between rounds."""

    def __init__(self, args, config, task, batch, length, lora):
        import peft
        import torch
        import transformers
        self.torch, self.device = torch, args.torch_device
        torch.manual_seed(1)
        cfg = transformers.AutoConfig.for_model(**config)
        cfg._attn_implementation = "sdpa"
        if task == "causal_lm":
            base = transformers.AutoModelForCausalLM.from_config(cfg)
        else:
            cfg.num_labels = 2
            base = transformers.AutoModelForSequenceClassification.from_config(cfg)
        kind = "CAUSAL_LM" if task == "causal_lm" else "SEQ_CLS"
        self.model = peft.get_peft_model(base.float(), peft.LoraConfig(task_type=kind, **lora)).to(self.device).train()
        self.params = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self.params, lr=1e-4, weight_decay=0.0)
        ids = torch.randint(0, config["vocab_size"], (batch, length), device=self.device)
        labels = ids if task == "causal_lm" else torch.randint(0, 2, (batch,), device=self.device)
        self.batch = dict(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels)
        self.step()

    def step(self):
        loss = self.model(**self.batch).loss
        loss.backward()
        self.torch.nn.utils.clip_grad_norm_(self.params, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return float(loss.detach())

    def measure(self, seconds):
        wall, cpu = [], []
        begin = time.perf_counter()
        while len(wall) < 3 or time.perf_counter() - begin < seconds:
            w, c = time.perf_counter(), time.process_time()
            self.step()
            cpu.append(time.process_time() - c)
            wall.append(time.perf_counter() - w)
        return dict(wall=statistics.median(wall), cpu=statistics.median(cpu))


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--firn", default=os.path.join(here, "..", "..", "build", "firn"))
    ap.add_argument("--device", default="cpu")
    ap.add_argument("--torch-device", default="cpu")
    ap.add_argument("--threads", type=int, default=0, help="of PyTorch; 0: as many as firn may use")
    ap.add_argument("--rounds", type=int, default=5)
    ap.add_argument("--seconds", type=float, default=2.0, help="a side and a round")
    ap.add_argument("--case", help="only cases whose name contains this")
    ap.add_argument("--memory", action="store_true", help="compare peak memory instead of time")
    ap.add_argument("--one-step", help=argparse.SUPPRESS)
    ap.add_argument("--quick", action="store_true", help="a smoke test: two cases, one round")
    ap.add_argument("--json", help="also write the figures here")
    args = ap.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        import peft
        import torch
        import transformers
    except ImportError as missing:
        print("skipped: %s is not installed; this comparison needs torch, transformers and peft" % missing.name)
        return 0
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(args.threads or len(os.sched_getaffinity(0)))
    if args.one_step is None:
        print("torch %s, transformers %s, peft %s, %d threads" % (torch.__version__, transformers.__version__,
                                                                peft.__version__, torch.get_num_threads()))
    if args.one_step is not None:
        for case in CASES:
            if case[0] == args.one_step:
                Torch(args, *case[1:]).step()
        return 0
    cases = [c for c in CASES if args.case is None or args.case in c[0]]
    if args.memory:
        compare_memory(args, cases)
        return 0
    if args.quick:
        cases, args.rounds, args.seconds = cases[:2], 1, 0.1
    by = "wall" if args.torch_device != "cpu" else "cpu"
    results = []
    for name, config, task, batch, length, lora in cases:
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "config.json"), "w") as f:
                json.dump(config, f)
            other, ours, theirs = Torch(args, config, task, batch, length, lora), [], []
            for _ in range(args.rounds):
                ours.append(firn(args, folder, task, batch, length, lora, args.seconds))
                theirs.append(other.measure(args.seconds))
            mid = lambda rows, key: statistics.median(r[key] for r in rows)
            ratio = mid(theirs, by) / mid(ours, by)
            tokens = batch * length
            print("%-44s firn %8.1f, PyTorch %8.1f tokens a core second (%.1f, %.1f a second): %.2f times"
                  % (name, tokens / mid(ours, "cpu"), tokens / mid(theirs, "cpu"), tokens / mid(ours, "wall"),
                     tokens / mid(theirs, "wall"), ratio), flush=True)
            results.append(dict(case=name, ratio=ratio, firn=ours, pytorch=theirs))
    if args.json:
        with open(args.json, "w") as f:
            json.dump(results, f, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
