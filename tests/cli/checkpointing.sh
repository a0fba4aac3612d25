#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# checkpointing.sh FIRN GOLDEN: what is computed again gives the bits of what was kept, and memory_limit picks a way that fits.
. "$(dirname "$0")/setup.sh"

cp -r "$golden/models/bert" model && chmod -R u+w model
sed -i 's/"\(hidden_dropout_prob\|attention_probs_dropout_prob\)": *[0-9.]*/"\1": 0.1/' model/config.json
i=0
while [ $i -lt 24 ]; do
    echo "{\"text\": \"example $i of $((i * i)) words and more\", \"label\": \"class $((i % 3))\"}"
    i=$((i + 1))
done >train.jsonl
cat >recipe.yaml <<'END'
model: model
task: sequence_classification
output: out
device: cpu
data: {train: train.jsonl, validation: train.jsonl}
method: {type: lora, r: 4, lora_dropout: 0.1, target_modules: all-linear}
train: {max_steps: 4, batch_size: 8, logging_steps: 4, learning_rate: 1e-2, max_length: 16}
END
adapter=adapter/adapter_model.safetensors
for level in none layer nested; do
    "$firn" train recipe.yaml output=$level gradient_checkpointing=$level >log 2>&1 || { cat log; wrong "$level fails"; }
    cmp none/$adapter $level/$adapter || wrong "$level changes the adapter"
done
"$firn" train recipe.yaml output=true gradient_checkpointing=true >log 2>&1 || wrong "true is not understood"
"$firn" train recipe.yaml output=seeded seed=7 >log 2>&1
cmp -s none/$adapter seeded/$adapter && wrong "another seed gives the same adapter: the comparison proves nothing"

bytes() {
    "$firn" plan recipe.yaml --json "$@" | sed -n 's/.*"all_bytes": \([0-9]*\).*/\1/p'
}
none=$(bytes) layer=$(bytes gradient_checkpointing=layer) nested=$(bytes gradient_checkpointing=nested)
small=$(bytes gradient_checkpointing=nested batch_size=1 gradient_accumulation_steps=8)
[ "$layer" -lt "$none" ] && [ "$nested" -le "$layer" ] && [ "$small" -lt "$nested" ] ||
    wrong "bytes do not fall: $none $layer $nested $small"
says() {
    "$firn" plan recipe.yaml --json memory_limit="$1" >plan.json 2>log || wrong "no plan within $1: $(cat log)"
    shift
    for word; do
        grep -q "$word" plan.json || wrong "expected $word, got $(cat plan.json)"
    done
}
says "$none" '"gradient_checkpointing": "none"' '"batch_size": 8' '"gradient_accumulation_steps": 1'
says "$small" '"batch_size": 1' '"gradient_accumulation_steps": 8'
"$firn" plan recipe.yaml memory_limit=$((small - 1)) >log 2>&1 && wrong "a limit below every plan passes"
grep -q "$small bytes at least" log || wrong "the error lacks the figure: $(cat log)"

"$firn" train recipe.yaml output=fitted memory_limit="$small" device=cpu:exact >log 2>&1 || wrong "does not fit: $(cat log)"
grep -q 'memory: [48] micro-batches of [12] a step, gradient_checkpointing' log || wrong "the choice is not said: $(cat log)"
"$firn" train recipe.yaml output=never memory_limit=1000 >log 2>&1 && wrong "trains within 1000 bytes"
grep -q 'memory_limit' log || wrong "the error does not name the key"
[ $failed -eq 0 ]
