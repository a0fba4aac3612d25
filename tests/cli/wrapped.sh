#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# wrapped.sh FIRN GOLDEN [DEVICE]: every method that wraps layers trains from a recipe, goes on from a checkpoint to the
# same bytes, and measures the same from its files.
. "$(dirname "$0")/setup.sh"

cp -r "$golden/models/bert" model && chmod -R u+w model
sed -i 's/"hidden_dropout_prob": *[0-9.]*/"hidden_dropout_prob": 0.1/' model/config.json
i=0
while [ $i -lt 24 ]; do
    echo "{\"text\": \"example $i of $((i * i)) words and more\", \"label\": \"class $((i % 3))\"}"
    i=$((i + 1))
done >train.jsonl

# check NAME METHOD: a run of 12 steps, the same from the checkpoint at 6, and the adapter's own measurement
check() {
    cat >"$1.yaml" <<END
model: model
task: sequence_classification
output: $1
device: "$device"
data: {train: train.jsonl, validation: train.jsonl}
method: $2
train: {max_steps: 12, batch_size: 4, gradient_accumulation_steps: 2, save_steps: 6, logging_steps: 12, save_total_limit: 9,
        eval_steps: 12, learning_rate: 5e-3, max_grad_norm: 0.5, max_length: 16}
END
    "$firn" train "$1.yaml" >"$1.log" 2>&1 || { cat "$1.log"; wrong "$1: training"; return; }
    mkdir -p "$1-again/checkpoints"
    cp -r "$1/checkpoints/step-000006" "$1-again/checkpoints/"
    written=$(stat -c %y "$1-again/checkpoints/step-000006/trainable.safetensors")
    "$firn" train "$1.yaml" output="$1-again" --resume >"$1.log" 2>&1 || { cat "$1.log"; wrong "$1: going on"; return; }
    [ "$(stat -c %y "$1-again/checkpoints/step-000006/trainable.safetensors")" = "$written" ] ||
        wrong "$1: started anew instead of going on"
    for file in adapter_model.safetensors adapter_config.json; do
        cmp "$1/adapter/$file" "$1-again/adapter/$file" || wrong "$1: $file differs after going on"
    done
    "$firn" eval "$1.yaml" --adapter "$1/adapter" --json >"$1.json" 2>"$1.err" || { cat "$1.err"; wrong "$1: eval"; return; }
    want=$(sed -n 's/.*"eval_loss": *\([0-9.e+-]*\).*/\1/p' "$1/log.jsonl" | tail -n 1)
    got=$(sed -n 's/.*"loss": *\([0-9.e+-]*\).*/\1/p' "$1.json" | head -n 1)
    awk -v a="$want" -v b="$got" 'BEGIN { d = a - b; if (d < 0) d = -d; exit !(a != "" && b != "" && d <= 2e-5 * (1 + a)) }' ||
        wrong "$1: loss $got from its files, $want at the end of training"
    echo "$1: $want"
}

check ia3 '{type: ia3}'
check dora '{type: lora, r: 3, use_dora: true, lora_dropout: 0.1, target_modules: all-linear}'
check dora_table '{type: lora, r: 3, use_dora: true, target_modules: [word_embeddings, query]}'
check pissa '{type: lora, r: 3, init_lora_weights: pissa, lora_dropout: 0.1}'
check pissa_iterated '{type: lora, r: 3, init_lora_weights: pissa_niter_4, use_rslora: true}'
check olora '{type: lora, r: 3, init_lora_weights: olora}'
check orthogonal '{type: lora, r: 4, init_lora_weights: orthogonal}'
check plus '{type: lora, r: 3, loraplus_lr_ratio: 8}'
check vera '{type: vera, r: 5, vera_dropout: 0.1}'
check adalora '{type: adalora, init_r: 4, target_r: 2, tinit: 2, tfinal: 4, deltaT: 2, total_step: 12, lora_dropout: 0.1}'
check adalora_late '{type: adalora, init_r: 4, target_r: 1, tinit: 1, tfinal: 8, total_step: 12}'

# several adapters of any kind on one base: lines for each of them mixed, the answers of each alone
kinds='ia3 dora pissa vera adalora'
adapters=''
: >lines
for kind in $kinds; do
    cp -r $kind/adapter "one-$kind"
    adapters="$adapters --adapter one-$kind"
done
i=0
while [ $i -lt 20 ]; do
    for kind in $kinds; do
        printf 'one-%s\ttext %s of many\n' $kind $i >>lines
        echo "text $i of many" >>"lines-$kind"
    done
    i=$((i + 1))
done
alone=''
for kind in $kinds; do
    "$firn" classify model --device "$device" --adapter "one-$kind" <"lines-$kind" >"alone-$kind" || wrong "classify with $kind"
    alone="$alone alone-$kind"
done
# shellcheck disable=SC2086
"$firn" classify model --device "$device" $adapters --batch-size 3 <lines >mixed || wrong "classify with several adapters"
# shellcheck disable=SC2086
paste -d '\n' $alone >wanted
# label and probability, whose last printed digit may round either way
same_answers() {
    paste "$1" "$2" | awk -F'\t' '{ d = $2 - $4; if (NF != 4 || $1 != $3 || d > 2e-4 || d < -2e-4) exit 1 }'
}
same_answers wanted mixed || wrong "several adapters on one base answer otherwise than each alone"
same_answers alone-ia3 alone-dora && wrong "all adapters answer alike: the comparison proves nothing"
printf 'one-xyz\ttext\n' | "$firn" classify model --adapter one-ia3 --adapter one-dora >out 2>err && wrong "an unknown name is taken"
grep -q 'line 1: expected .*one-ia3, one-dora, got one-xyz' err || wrong "an unknown name: $(cat err)"

# and of generation, where the cache is shared too
if [ -d "$golden/cases/llama-lora/adapter_final" ]; then
    cp -r "$golden/cases/llama-lora/adapter_final" first
    cp -r "$golden/cases/llama-prefix/adapter_final" second
    say() { "$firn" generate "$golden/models/llama" --device "$device" --max-new-tokens 8 "$@"; }
    printf 'one\nthree or more\n' | say --adapter first >a || wrong "generate with the first"
    printf 'two of them\n' | say --adapter second >b || wrong "generate with the second"
    printf 'first\tone\nsecond\ttwo of them\nfirst\tthree or more\n' | say --adapter first --adapter second >c ||
        wrong "generate with both"
    { sed -n 1p a; cat b; sed -n 2p a; } | cmp - c || wrong "two adapters generate otherwise than each alone"
    # half of an adapter twice is the adapter
    cp -r first twin
    "$firn" combine --adapter first --adapter twin --weight 0.5 --weight 0.5 --out sum >out 2>err || wrong "combine: $(cat err)"
    grep -q '"r": 8' sum/adapter_config.json || wrong "ranks do not add up: $(grep '"r"' sum/adapter_config.json)"
    printf 'one\nthree or more\n' | say --adapter sum | cmp - a || wrong "a sum of halves says something else"
    "$firn" combine --adapter first --adapter one-ia3 --out none >out 2>err && wrong "an adapter of another kind is summed"
    grep -q 'peft_type: expected LORA, got "IA3"' err || wrong "another kind: $(cat err)"
    [ -e none ] && wrong "a refused sum leaves something"
fi

[ $failed = 0 ]
