#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads what `firn conform --pipelines --json` printed for RADV, one file a device, and

    table.py --check FILE...          fails where a product or an attention kernel spills, where a kernel uses scratch memory,
                                      or where a loop that should multiply matrices on matrix units does not
    table.py --check-units FILE...    the same, and one of the devices must have used matrix units
    table.py --write FILE...          prints docs/isa.md

Loops are found in the instructions themselves: a branch to a label that stands before it.
"""
import collections
import json
import re
import sys

KINDS = (  # of an instruction, by its name; the first that fits
    ("matrix", re.compile(r"v_(wmma|swmmac|mfma)")),
    ("memory", re.compile(r"(buffer|global|flat|tbuffer)_")),
    ("scratch", re.compile(r"scratch_")),
    ("shared", re.compile(r"ds_")),
    ("fma", re.compile(r"v_(dual_)?(pk_)?(fma|fmac|mad|mac|dot)")),
    ("vector", re.compile(r"v_")),
    ("scalar", re.compile(r"s_")),
)


def kind(name):
    for word, pattern in KINDS:
        if pattern.match(name):
            return word
    return "other"


class Loop:
    def __init__(self, begin, end):
        self.begin, self.end, self.mix = begin, end, collections.Counter()


def loops_of(code):
    """Every loop, with the kinds of the instructions that are in it and in no loop inside it."""
    names, labels, branches = [], {}, []
    for line in code.splitlines():
        text = line.split(";")[0].strip()
        if re.fullmatch(r"BB\d+:", text):
            labels[text[:-1]] = len(names)
        elif text:
            names.append(text.split()[0])
            target = re.match(r"s_c?branch\w*\s+(BB\d+)", text)
            if target:
                branches.append((len(names) - 1, target.group(1)))
            if "::" in text:  # two in one instruction
                names.append(text.split("::")[1].split()[0])
    ends = {}
    for at, target in branches:
        if labels.get(target, at + 1) <= at:
            ends[labels[target]] = max(at, ends.get(labels[target], 0))
    loops = [Loop(begin, end) for begin, end in sorted(ends.items())]
    for i, name in enumerate(names):
        around = [loop for loop in loops if loop.begin <= i <= loop.end]
        if around:
            min(around, key=lambda loop: loop.end - loop.begin).mix[kind(name)] += 1
    return loops


class Pipeline:
    def __init__(self, record):
        self.kernel, self.shader, self.op = record["kernel"], record["shader"], record["op"]
        self.constants, self.error = record["constants"], record["error"]
        figures = collections.defaultdict(float, record["figures"])
        self.known = bool(record["figures"])
        self.vgprs, self.sgprs = int(figures["VGPRs"]), int(figures["SGPRs"])
        self.spills = int(figures["Spilled VGPRs"] + figures["Spilled SGPRs"])
        self.scratch, self.shared = int(figures["Scratch size"]), int(figures["LDS size"])
        self.waves = int(figures["Subgroups per SIMD"] or figures["Subgroups per SIMD "])
        self.bytes = int(figures["Code size"])
        self.loops = loops_of(record["code"])
        # the loop that the work is done in: the one with the most arithmetic
        self.hot = max(self.loops, key=lambda l: (l.mix["matrix"], l.mix["fma"], l.end - l.begin), default=None)

    def name(self):
        return f"{self.kernel} {self.constants}"


def read(path):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    data = json.loads(text[text.index("{") :])
    return data["name"], data["driver"], [Pipeline(p) for p in data["pipelines"]]


def is_heavy(p):
    return p.op.startswith(("matmul", "attention", "linear_loss"))


def faults(device, pipelines):
    if not pipelines or not all(p.known or p.error for p in pipelines):
        yield f"{device}: the driver says nothing of its pipelines"
    for p in pipelines:
        if p.error:
            yield f"{device}: {p.name()}: {p.error}"
        if p.scratch or (p.spills and is_heavy(p)):
            yield f"{device}: {p.name()}: {p.spills} registers spilled, {p.scratch} bytes of scratch memory"
        if "_coop" in p.shader and not (p.hot and p.hot.mix["matrix"]):
            yield f"{device}: {p.name()}: no matrix instruction in a loop"


LOOP = "BB0:\n\tv_wmma_f32_16x16x16_f16 v[0:7], v[8:15], v[16:23], v[0:7] ; 00\n\ts_cbranch_scc0 BB0 ; 00\n"


def prove():
    """A check that finds nothing wrong in what is wrong proves nothing."""
    def made(code, **figures):
        return Pipeline({"kernel": "matmul_x", "shader": "matmul_coop", "op": "matmul", "constants": [], "error": "",
                         "figures": {"VGPRs": 24, **figures}, "code": code})

    assert not list(faults("", [made(LOOP)]))
    for wrong in (made(LOOP, **{"Spilled VGPRs": 1}), made(LOOP, **{"Scratch size": 4}), made("BB0:\n\ts_endpgm ; 00\n"),
                  made(LOOP.replace("v_wmma", "v_fma")), made(LOOP.replace("BB0 ;", "BB1 ;") + "BB1:\n\ts_endpgm ; 00\n")):
        assert list(faults("", [wrong])), "a fault was not noticed"


def span(values):
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low}-{high}"


def mix_of(p):
    if p.hot is None:
        return "-"
    words = ("matrix", "fma", "vector", "scalar", "shared", "memory", "scratch")
    return ", ".join(f"{p.hot.mix[w]} {w}" for w in words if p.hot.mix[w])


def table(title, rows, head):
    print(f"\n{title}\n")
    print("| " + " | ".join(head) + " |")
    print("|" + " --- |" * len(head))
    for row in rows:
        print("| " + " | ".join(str(c) for c in row) + " |")


def by(pipelines, key):
    groups = collections.OrderedDict()
    for p in pipelines:
        groups.setdefault(key(p), []).append(p)
    return sorted(groups.items())


def write(devices):
    print("# What an AMD driver makes of firn's kernels\n")
    print("Written by `tests/isa/run.sh --write`; do not edit. Mesa's RADV compiles every kernel of `firn conform --pipelines` for a device")
    print("that is not there (`RADV_FORCE_FAMILY`), once for each set of constants that the cases of its operation ask for. Nothing was run:")
    print("these are registers and instructions, not speeds. VGPRs are the vector registers of a lane, waves the subgroups that then fit a SIMD at once,")
    print("shared the bytes of shared memory of a work group, hottest loop the instructions of the loop with the most arithmetic, without loops inside it (of the")
    print("pipeline with the most registers). A span is over the variants of types and constants.")
    for device, driver, pipelines in devices:
        print(f"\n## {device}\n")
        spilled = sum(p.spills > 0 for p in pipelines)
        print(f"{driver}. {len(pipelines)} pipelines, {spilled} with spilled registers, {sum(p.scratch > 0 for p in pipelines)} with scratch memory.")
        heavy = [p for p in pipelines if is_heavy(p)]
        head = ("kernel", "pipelines", "VGPRs", "waves", "shared", "spills", "code KiB", "hottest loop")
        for title, key, list_ in (
            ("Products and attention, a kernel a line:", lambda p: p.kernel, heavy),
            ("The rest, a shader a line:", lambda p: p.shader, [p for p in pipelines if not is_heavy(p)]),
        ):
            rows = []
            for name, group in by(list_, key):
                most = max(group, key=lambda p: (p.vgprs, p.bytes))
                rows.append((name, len(group), span([p.vgprs for p in group]), span([p.waves for p in group]),
                             span([p.shared for p in group]), sum(p.spills for p in group),
                             f"{max(p.bytes for p in group) / 1024:.1f}", mix_of(most)))
            table(title, rows, head)


def main():
    if len(sys.argv) < 3 or sys.argv[1] not in ("--check", "--check-units", "--write"):
        sys.exit(__doc__)
    prove()
    devices = [read(path) for path in sys.argv[2:]]
    if sys.argv[1] == "--write":
        write(devices)
        return
    bad = [fault for device, _, pipelines in devices for fault in faults(device, pipelines)]
    if sys.argv[1] == "--check-units" and not any("_coop" in p.shader for _, _, pipelines in devices for p in pipelines):
        bad.append("no device has matrix units that firn uses")
    for line in bad[:40]:
        print(line)
    for device, driver, pipelines in devices:
        print(f"{device} ({driver}): {len(pipelines)} pipelines read")
    print(f"{len(bad)} faults")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
