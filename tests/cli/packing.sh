#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# packing.sh FIRN GOLDEN: a packed run learns as a padded one does, resumes with the same bytes, and refuses what it cannot do.
. "$(dirname "$0")/setup.sh"
i=0
while [ $i -lt 24 ]; do
    echo "{\"text\": \"$(printf 'word %.0s' $(seq 1 $((1 + i * 7 % 11))))$i\"}"
    i=$((i + 1))
done >train.jsonl
cat >recipe.yaml <<END
model: $golden/models/llama
task: causal_lm
output: out
device: cpu:exact
data: {train: train.jsonl, text: text}
method: {type: lora, r: 4, target_modules: all-linear}
train: {max_steps: 6, batch_size: 24, logging_steps: 1, learning_rate: 1e-2, max_length: 64, dropout: false}
END
losses() {
    sed -n 's/.*"loss": *\([0-9.e-]*\).*/\1/p' "$1/log.jsonl"
}
# all examples in one step either way: the same losses and norms, step by step
"$firn" train recipe.yaml >log 2>&1 || wrong "the padded run fails: $(cat log)"
"$firn" train recipe.yaml output=packed data.packing=true >log 2>&1 || wrong "the packed run fails: $(cat log)"
losses out >a
losses packed >b
[ "$(wc -l <a)" -ge 6 ] || wrong "no losses in the log"
paste a b | awk '{ d = $1 - $2; if (d < 0) d = -d; if (NF != 2 || d > 1e-4 * $1) exit 1 }' || wrong "losses differ: $(paste a b)"
cmp -s out/adapter/adapter_model.safetensors packed/adapter/adapter_model.safetensors || [ $? -eq 1 ] || wrong "no adapter"

# smaller batches: several a step, epochs that shuffle, an evaluation; killed and resumed with the same bytes
small="data.packing=true data.validation_split=0.2 batch_size=2 max_length=48 gradient_accumulation_steps=2 max_steps=9 save_steps=4"
"$firn" train recipe.yaml output=whole $small >log 2>&1 || wrong "small batches fail: $(cat log)"
sed -n '1s/.*"epoch": *\([0-9.]*\).*/\1/p' whole/log.jsonl | awk '{ exit !($1 > 0.3) }' || wrong "no more than two examples a batch"
"$firn" train recipe.yaml output=again $small >log 2>&1 || wrong "the second run fails"
cmp whole/adapter/adapter_model.safetensors again/adapter/adapter_model.safetensors || wrong "two runs differ"
rm -rf again/adapter again/summary.json again/report.html again/checkpoints/step-000009
[ -d again/checkpoints/step-000008 ] || wrong "no checkpoint to resume from: $(ls again/checkpoints)"
"$firn" train recipe.yaml output=again $small --resume >log 2>&1 || wrong "resuming fails: $(cat log)"
cmp whole/adapter/adapter_model.safetensors again/adapter/adapter_model.safetensors || wrong "a resumed run ends elsewhere"
"$firn" plan recipe.yaml data.packing=true >log 2>&1 || wrong "plan fails: $(cat log)"

"$firn" train recipe.yaml output=no data.packing=true 'method={type: prefix_tuning, num_virtual_tokens: 3}' >log 2>&1 &&
    wrong "a prefix is packed"
grep -q 'data.packing: expected a method that puts nothing in front of each example, got prefix_tuning' log || wrong "unclear: $(cat log)"
"$firn" train recipe.yaml output=no2 data.packing=true task=sequence_classification >log 2>&1 && wrong "a classifier is packed"
grep -q 'data.packing: expected task: causal_lm' log || wrong "unclear: $(cat log)"
[ $failed -eq 0 ]
