#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# compare.sh FIRN GOLDEN: a comparison that is killed and resumed ends with the figures of one that was not, takes new
# methods in, refuses results that other settings left, and runs with the settings that do best on validation data.
. "$(dirname "$0")/setup.sh"
set -e
i=0
while [ $i -lt 40 ]; do
    echo "{\"text\": \"word$((i % 4)) number $i\", \"label\": \"class $((i % 2))\"}"
    i=$((i + 1))
done >all.jsonl
head -n 24 all.jsonl >train.jsonl
tail -n 16 all.jsonl >test.jsonl
lora='{name: LoRA, type: lora, r: 2, target_modules: [query], train: {learning_rate: 1e-3}}'
full='{type: full}'
head='{type: head}'
recipe() {
    cat >"$1" <<RECIPE
model: $golden/models/bert
task: sequence_classification
data: {train: train.jsonl, test: test.jsonl}
method: [$2]
train: {num_train_epochs: 1, batch_size: 8, max_length: 16}
compare: {seeds: [1, 2], sizes: [8, 0], out_of_domain: all.jsonl, min_steps: 3}
output: $3
device: cpu
RECIPE
}
figures() {
    grep -E '"(method|size|seed|train|test|out_of_domain|trainable|adapter_bytes|memory_bytes|failure)"' "$1/compare.json"
}
recipe two.yaml "$lora, $full" whole
"$firn" compare two.yaml >whole.txt || fail "it does not run"
grep -q 'LoRA' whole.txt && grep -q 'Good on little data' whole.txt || fail "no table or no findings"
grep -q '<svg' whole/compare.html || fail "no plot"
[ -e whole/cells/full-all-seed2/result.json ] || fail "no result of the last cell"
[ ! -e whole/cells/full-all-seed2/adapter ] || fail "a trained model is left behind"

recipe cut.yaml "$lora, $full" cut
"$firn" compare cut.yaml >cut.txt 2>&1 &
pid=$!
while kill -0 $pid 2>/dev/null && [ ! -e cut/cells/full-8-seed1/result.json ]; do sleep 0.02; done
kill -9 $pid 2>/dev/null || true
wait $pid || true
"$firn" compare cut.yaml --resume >cut.txt || fail "it does not go on"
figures whole >a
figures cut >b
cmp -s a b || { diff a b; fail "a resumed comparison has other figures"; }

"$firn" compare two.yaml >again.txt 2>&1 && fail "it wrote into an output that holds something"
recipe more.yaml "$lora, $full, $head" whole
"$firn" compare more.yaml --resume >more.txt || fail "a method cannot be added"
grep -q '^head' more.txt || fail "the added method is not in the table"
"$firn" compare more.yaml --resume train.batch_size=4 >other.txt 2>&1 && fail "figures of other settings were taken"
grep -q 'other settings' other.txt || fail "it does not say what differs"

"$firn" compare more.yaml --resume compare.seeds=[1] >one.txt || fail "its own section cannot be set on the command line"
grep -q ', 1 seeds' one.txt || fail "the seeds of the command line are not taken"

recipe twins.yaml "$head, $head" twins
"$firn" compare twins.yaml >twins.txt 2>&1 && fail "two methods with one name"
grep -q 'two methods have this name' twins.txt || fail "it does not say that names must differ"
recipe wrong.yaml "$head, {type: lora, target_modules: [nothing]}" wrong
"$firn" compare wrong.yaml >wrong.txt 2>&1 && fail "a method without modules"
grep -q 'method\[1\].target_modules' wrong.txt || { cat wrong.txt; fail "it does not name the method"; }
[ ! -e wrong ] || fail "it wrote before it checked"

# settings with several values: a first step of 1e-9 learns nothing, so the best one is known
choosing='{name: LoRA, type: lora, target_modules: [query], train: {learning_rate: [1e-9, 2e-2]}, search: {r: [2]}}'
recipe search.yaml "$choosing, $head" chosen
sed -i 's/test: test.jsonl}/test: test.jsonl, validation: all.jsonl}/; s/sizes: .8, 0./sizes: [8, 16]/; s/min_steps: 3/min_steps: 30/' \
    search.yaml
"$firn" compare search.yaml >chosen.txt || fail "settings cannot be chosen"
grep -q 'LoRA, learning_rate: 1e-09 [0-9.]*, 0.02 \[[0-9.]*\]; the largest learning_rate tried' chosen.txt ||
    { cat chosen.txt; fail "the better rate is not chosen, or not shown"; }
[ "$(grep -c 'seed 0, trying' chosen.txt)" = 4 ] || fail "not every value is tried once a size with a seed of its own"
grep -q '"is_chosen": true' chosen/compare.json && grep -q 'How the settings were chosen' chosen/compare.html ||
    fail "page or figures do not say what was chosen"
grep -q '"learning_rate": 0.02' "chosen/cells/LoRA-8-seed1-learning_rate=0.02,r=2/result.json" || fail "the cells have another rate"
grep -q 'core_seconds' "chosen/cells/LoRA-8-seed1-learning_rate=0.02,r=2/result.json" || fail "core time is not measured"
sed -i 's/output: chosen/output: part/' search.yaml
"$firn" compare search.yaml >part.txt 2>&1 &
pid=$!
while kill -0 $pid 2>/dev/null && [ ! -e part/cells/LoRA-8-seed1-learning_rate=0.02,r=2/result.json ]; do sleep 0.02; done
kill -9 $pid 2>/dev/null || true
wait $pid || true
"$firn" compare search.yaml --resume >part.txt || fail "a search does not go on"
figures chosen >a
figures part >b
cmp -s a b || { diff a b; fail "a resumed search has other figures"; }
"$firn" compare search.yaml output=once compare.search_size=12 >once.txt || fail "one search for all sizes"
[ "$(grep -c '12 examples, seed 0, trying' once.txt)" = 2 ] || fail "one search for all sizes is not one"
refused() {
    "$firn" compare search.yaml output=no "$@" >no.txt 2>&1 && fail "taken: $*"
    [ ! -e no ] || fail "it wrote before it checked: $*"
}
refused compare.search_seeds=[2]
grep -q 'compare.search_seeds: expected seeds that compare.seeds does not have, got 2' no.txt || fail "seeds: $(cat no.txt)"
refused train.batch_size=[]
grep -q 'train.batch_size: expected a list of values' no.txt || fail "no values: $(cat no.txt)"
refused train.batch_size=[4,-4]
grep -q 'train.batch_size: expected' no.txt || fail "a wrong value: $(cat no.txt)"
refused train.batch_size=[4,4]
grep -q 'train.batch_size: expected each value once' no.txt || fail "twins: $(cat no.txt)"
sed -i 's/, validation: all.jsonl//' search.yaml
refused
grep -q 'data.validation: is required to choose' no.txt || fail "no validation data: $(cat no.txt)"
