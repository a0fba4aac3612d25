#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# init.sh FIRN GOLDEN: a model made from a config.json is the same for one seed, another for another, and trains.
. "$(dirname "$0")/setup.sh"
set -e
cp -r "$golden/models/llama" llama && chmod -R u+w llama
rm llama/model.safetensors
"$firn" init llama --out a --seed 1 >/dev/null
"$firn" init llama --out b --seed 1 >/dev/null
"$firn" init llama --out c --seed 2 >/dev/null
cmp -s a/model.safetensors b/model.safetensors || fail "one seed gives two models"
cmp -s a/model.safetensors c/model.safetensors && fail "two seeds give one model"
"$firn" init llama --out a >out 2>&1 && fail "it wrote over a model"
grep -q 'holds something already' out || fail "it does not say why"
for i in 1 2 3 4 5 6 7 8; do echo "{\"text\": \"the same few words again $i\"}"; done >text.jsonl
cat >recipe.yaml <<'RECIPE'
model: a
task: causal_lm
data: {train: text.jsonl}
method: {type: full}
train: {max_steps: 30, batch_size: 8, max_length: 32, learning_rate: 1e-2, lr_scheduler_type: constant, logging_steps: 1}
output: run
device: cpu
RECIPE
"$firn" train recipe.yaml >/dev/null
# from about log(vocabulary) the loss falls below half
awk -F'"loss": *' '/"loss"/ { split($2, v, /[,}]/); if (!n++) first = v[1]; last = v[1] }
    END { exit !(first > 5 && last < first / 2) }' run/log.jsonl || { cat run/log.jsonl; fail "it does not learn"; }
