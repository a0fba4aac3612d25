#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# dry_run.sh FIRN GOLDEN: a dry run says what the run then is, finds what would stop it, and leaves nothing behind.
. "$(dirname "$0")/setup.sh"
set -e
i=0
while [ $i -lt 20 ]; do
    echo "{\"text\": \"word$((i % 4)) number $i\", \"label\": \"class $((i % 2))\"}"
    i=$((i + 1))
done >train.jsonl
head -n 6 train.jsonl >test.jsonl
cat >recipe.yaml <<RECIPE
model: $golden/models/bert
task: sequence_classification
data: {train: train.jsonl, validation: test.jsonl, test: test.jsonl}
method: {type: lora, r: 3, target_modules: [query]}
train: {num_train_epochs: 2, batch_size: 8, max_length: 16, save_steps: 2}
output: deep/down/run
device: cpu
RECIPE
number() { sed -n "s/^ *\"$1\": \([0-9]*\).*/\1/p" "$2"; }
"$firn" train recipe.yaml --dry-run --json >dry.json || fail "it does not run"
"$firn" train recipe.yaml --dry-run >dry.txt || fail "it does not print"
grep -q '^steps  *6, 3 an epoch, each of 1 x 8' dry.txt && grep -q ' 6 to validate on, 6 to test on, 2 labels' dry.txt || fail "it says: $(cat dry.txt)"
[ ! -e deep ] || fail "it wrote"
"$firn" train recipe.yaml >run.txt || fail "the run does not"
for key in trainable total steps examples; do
    [ "$(number $key dry.json)" = "$(number $key deep/down/run/summary.json)" ] || fail "$key: $(number $key dry.json) was said"
done
find deep -type f -exec cksum {} + | sort >before
for how in '' --overwrite --resume; do
    code=0
    # shellcheck disable=SC2086
    "$firn" train recipe.yaml --dry-run $how >dry.txt 2>&1 || code=$?
    find deep -type f -exec cksum {} + | sort | cmp -s - before || fail "--dry-run $how changed something"
    [ "$how" != '' ] || [ $code = 2 ] || fail "exit code $code for an output that holds something"
    [ "$how" = '' ] || [ $code = 0 ] || fail "--dry-run $how: $(cat dry.txt)"
done
grep -q 'is finished' dry.txt || fail "a finished run: $(cat dry.txt)"
rm -r deep/down/run/adapter
find deep -type f -exec cksum {} + | sort >before
"$firn" train recipe.yaml --dry-run --resume >dry.txt || fail "a run that stopped"
grep -q 'from step 4' dry.txt || fail "not where it would go on: $(cat dry.txt)"
find deep -type f -exec cksum {} + | sort | cmp -s - before || fail "looking at a checkpoint changed something"
refused() {
    if "$firn" train recipe.yaml --dry-run output=new "$@" >no.txt 2>&1; then fail "taken: $*"; fi
    [ ! -e new ] || fail "it wrote: $*"
}
refused train.learning_rat=1
refused method.target_modules=[nothing]
echo '{"text": "a", "label": "unheard of"}' >strange.jsonl
refused data.test=strange.jsonl
grep -q 'strange.jsonl' no.txt || fail "not the file: $(cat no.txt)"
refused data.validation=missing.jsonl
refused output=train.jsonl/run
