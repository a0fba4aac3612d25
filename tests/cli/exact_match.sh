#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# exact_match.sh FIRN GOLDEN: exact match of `firn eval` is what `firn generate` says word for word.
. "$(dirname "$0")/setup.sh"
set -e
for word in one two three four five six; do echo "{\"ask\": \"say $word:\", \"answer\": \" it is $word.\"}"; done >known.jsonl
{ cat known.jsonl; for word in seven eight; do echo "{\"ask\": \"say $word:\", \"answer\": \" never heard.\"}"; done; } >test.jsonl
cat >recipe.yaml <<RECIPE
model: $golden/models/llama
task: causal_lm
data: {train: known.jsonl, test: test.jsonl, prompt: ask, completion: answer}
method: {type: lora, r: 8, lora_alpha: 16, target_modules: all-linear}
train: {max_steps: 120, batch_size: 6, max_length: 48, learning_rate: 1e-2, lr_scheduler_type: constant}
output: run
device: cpu
RECIPE
value() {
    sed -n "s/.*\"$1\": *\([0-9.e+-]*\).*/\1/p"
}
"$firn" eval recipe.yaml --json >before.json
[ "$(value exact_match <before.json)" = 0.0 ] || fail "an untrained model answers: $(cat before.json)"
"$firn" train recipe.yaml >/dev/null
"$firn" eval recipe.yaml --adapter run/adapter --json >after.json
[ "$(value exact_match <after.json)" = 0.75 ] || fail "six of eight are known: $(cat after.json)"
"$firn" eval recipe.yaml --adapter run/adapter --data known.jsonl --json >known.json
[ "$(value token_accuracy <known.json)" = 1.0 ] || fail "all tokens are known: $(cat known.json)"
for word in one six; do
    "$firn" generate "$golden/models/llama" --adapter run/adapter --prompt "say $word:" --max-new-tokens 12 >said
    grep -qF "it is $word." said || fail "generate says: $(cat said)"
done
