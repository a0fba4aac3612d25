# SPDX-License-Identifier: Apache-2.0
"""loading.py FIRN GOLDEN: a model goes onto a device that copies (FIRN_CAPS=-unified) as a stream. The peak of resident memory,
against that of a model of nothing, is what the device holds and little more: no second copy, and no pages of the file stay.
On a driver on the CPU the device's memory is in that peak; a card's is not, so there a model may be larger than memory."""
import json
import os
import shutil
import subprocess
import sys
import tempfile

firn, golden = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
MIB = 1 << 20
SLACK = 96 * MIB  # a matrix as floats, the largest tensor's pages, what the driver makes of other kernels
RECIPE = """model: {model}
task: causal_lm
data: {{train: text.jsonl}}
method: {{type: lora, r: 2, lora_alpha: 2, target_modules: [q_proj]}}
train: {{max_steps: 1, batch_size: 1, max_length: 16}}
output: run-{model}-{quantization}
quantization: {quantization}
device: vulkan:0
"""


def peak(arguments):
    """Bytes of resident memory at most, by the kernel's account."""
    child = subprocess.Popen([firn, *arguments], stdout=subprocess.DEVNULL, env={**os.environ, "FIRN_CAPS": "-unified"})
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        sys.exit(f"FAILED: firn {' '.join(arguments)}: exit {child.returncode}")
    return usage.ru_maxrss * 1024


def make(name, **sizes):
    shutil.copytree(os.path.join(golden, "models/llama"), "source-" + name)
    os.chmod("source-" + name, 0o755)
    os.remove(f"source-{name}/model.safetensors")
    path = f"source-{name}/config.json"
    os.chmod(path, 0o644)
    with open(path) as f:
        config = json.load(f)
    config.update(sizes, dtype="bfloat16", torch_dtype="bfloat16", num_attention_heads=8, num_key_value_heads=8)
    with open(path, "w") as f:
        json.dump(config, f)
    subprocess.run([firn, "init", "source-" + name, "--out", name], check=True, stdout=subprocess.DEVNULL)


listed = json.loads(subprocess.run([firn, "devices", "--json"], check=True, stdout=subprocess.PIPE).stdout)
if not any(d["id"] == "vulkan:0" and not d.get("unusable") for d in (listed if isinstance(listed, list) else listed["devices"])):
    print("skipped: no vulkan:0")
    sys.exit(77)
work = tempfile.mkdtemp()
try:
    os.chdir(work)
    with open("text.jsonl", "w") as f:
        for i in range(4):
            f.write(json.dumps({"text": f"the same few words again {i}"}) + "\n")
    make("small", hidden_size=128, head_dim=16, intermediate_size=256, num_hidden_layers=3)
    make("large", hidden_size=1024, head_dim=128, intermediate_size=4096, num_hidden_layers=3)
    size = os.path.getsize("large/model.safetensors")
    for quantization in ["none", "nf4"]:
        rss, planned = {}, {}
        for model in ["small", "large"]:
            recipe = f"{model}-{quantization}.yaml"
            with open(recipe, "w") as f:
                f.write(RECIPE.format(model=model, quantization=quantization))
            plan = subprocess.run([firn, "plan", recipe, "--json", "train.gradient_checkpointing=none"], check=True,
                                  stdout=subprocess.PIPE).stdout
            planned[model] = json.loads(plan)["all_bytes"]
            rss[model] = peak(["train", recipe])
        more, most = rss["large"] - rss["small"], planned["large"] - planned["small"] + SLACK
        print(f"{quantization}: a file of {size / MIB:.0f} MiB, {planned['large'] / MIB:.0f} MiB planned: "
              f"{more / MIB:.0f} MiB more resident than with nothing, at most {most / MIB:.0f}")
        if planned["large"] - planned["small"] + SLACK > planned["large"] + size / 2:
            sys.exit("FAILED: the limit would hide a second copy")
        if more > most:
            sys.exit("FAILED: too much memory while loading")
finally:
    os.chdir("/")
    shutil.rmtree(work)
