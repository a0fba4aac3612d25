#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# resume.sh FIRN MODELS: a run that is killed at any time and resumed ends with the bytes of one that was not.
set -eu
firn=$(realpath "$1") models=$(realpath "$2")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
awk 'BEGIN { srand(7); for (i = 0; i < 240; i++) {
    s = ""; n = 1 + int(rand() * 12); for (k = 0; k < n; k++) s = s sprintf("%c", 97 + int(rand() * 26)) " ";
    printf "{\"text\": \"%s\", \"label\": \"%s\"}\n", s, i % 3 == 0 ? "a" : i % 3 == 1 ? "b" : "c" } }' >train.jsonl
cat >r.yaml <<R
model: $models/bert
task: sequence_classification
data: {train: train.jsonl, validation: train.jsonl}
method: {type: lora, r: 4, target_modules: [query, value]}
train: {num_train_epochs: 6, batch_size: 8, max_length: 32, learning_rate: 1e-2, save_steps: 7, seed: 3, gradient_accumulation_steps: 2}
output: whole
device: cpu
R
"$firn" train r.yaml >/dev/null
"$firn" train r.yaml output=again >/dev/null
cmp whole/adapter/adapter_model.safetensors again/adapter/adapter_model.safetensors

i=0
"$firn" train r.yaml output=killed >/dev/null 2>&1 &
pid=$!
while [ $i -lt 12 ]; do
    sleep "0.0$((i * 7 % 10))"
    kill -9 $pid 2>/dev/null || true
    wait $pid 2>/dev/null || true
    "$firn" train r.yaml output=killed --resume >/dev/null 2>&1 &
    pid=$!
    i=$((i + 1))
done
wait $pid || true
"$firn" train r.yaml output=killed --resume >/dev/null
cmp whole/adapter/adapter_model.safetensors killed/adapter/adapter_model.safetensors

# a finished run: exit code 0, nothing changes
before=$(ls -lR --time-style=full-iso killed/adapter killed/checkpoints | cksum)
"$firn" train r.yaml output=killed --resume >/dev/null
[ "$before" = "$(ls -lR --time-style=full-iso killed/adapter killed/checkpoints | cksum)" ]

# a checkpoint with a flipped byte is named and skipped; the result is the same
rm -r killed/adapter
newest=$(ls -d killed/checkpoints/step-* | tail -n 1)
printf 'X' | dd of="$newest/trainable.safetensors" bs=1 seek=900 conv=notrunc 2>/dev/null
"$firn" train r.yaml output=killed --resume >/dev/null 2>warned.txt
grep -q "is broken and is skipped" warned.txt
cmp whole/adapter/adapter_model.safetensors killed/adapter/adapter_model.safetensors

# another recipe is refused, and so is a second run on the same directory
rm -r killed/adapter
if "$firn" train r.yaml output=killed train.learning_rate=1e-3 --resume >/dev/null 2>&1; then exit 1; fi
"$firn" train r.yaml output=busy train.num_train_epochs=400 >/dev/null 2>&1 &
pid=$!
sleep 1
status=0
"$firn" train r.yaml output=busy train.num_train_epochs=400 --resume 2>refused.txt || status=$?
kill -TERM $pid
stopped=0
wait $pid || stopped=$?
[ "$status" = 1 ] && grep -q "another run" refused.txt
[ "$stopped" = 3 ] # a signal: a checkpoint is saved
[ -n "$(ls busy/checkpoints)" ]
echo "resume: all bytes equal"
