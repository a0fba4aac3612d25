#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# resume.sh FIRN GOLDEN: a run that is killed again and again and resumed ends with the bytes of an
# undisturbed one; two runs never share an output; a finished run stays as it is.
. "$(dirname "$0")/setup.sh"

# dropout, several epochs and accumulation: everything that a checkpoint has to bring back
cp -r "$golden/models/bert" model && chmod -R u+w model
sed -i 's/"\(hidden_dropout_prob\|attention_probs_dropout_prob\)": *[0-9.]*/"\1": 0.1/' model/config.json
grep -q '"hidden_dropout_prob": 0.1' model/config.json || wrong "the model has no dropout"
i=0
while [ $i -lt 30 ]; do
    echo "{\"text\": \"example $i of $((i * i)) words and more\", \"label\": \"class $((i % 3))\"}"
    i=$((i + 1))
done >train.jsonl
cat >recipe.yaml <<'END'
model: model
task: sequence_classification
output: whole
device: cpu
data: {train: train.jsonl, validation: train.jsonl}
method: {type: lora, r: 4, lora_alpha: 8, lora_dropout: 0.1, target_modules: [query, value]}
train: {max_steps: 60, batch_size: 4, gradient_accumulation_steps: 2, save_steps: 2, logging_steps: 4,
        eval_steps: 10, learning_rate: 1e-3, warmup_steps: 0.1, max_length: 16}
END
now_ms() { date +%s%N | sed 's/......$//'; }
same() {
    cmp "whole/adapter/adapter_model.safetensors" "$1/adapter/adapter_model.safetensors" || wrong "$2: the adapter differs"
}

start=$(now_ms)
"$firn" train recipe.yaml >whole.log 2>&1 || { cat whole.log; exit 1; }
took=$(($(now_ms) - start))
"$firn" train recipe.yaml output=twin >twin.log 2>&1 || { cat twin.log; wrong "the second run fails"; }
same twin "the same recipe twice"
"$firn" train recipe.yaml output=checked --check 2 >checked.log 2>&1 || { cat checked.log; wrong "the checked run fails"; }
grep -q '^check: [1-9][0-9]* operations agree with cpu:exact' checked.log || wrong "nothing was checked: $(cat checked.log)"
same checked "checked step by step"
"$firn" train recipe.yaml output=seeded seed=7 >/dev/null 2>&1
cmp -s whole/adapter/adapter_model.safetensors seeded/adapter/adapter_model.safetensors &&
    wrong "another seed gives the same adapter: the comparison proves nothing"

# killed at random moments; a machine so fast that nothing is hit gets shorter waits
seed=${FIRN_SEED:-$(date +%s)}
hits=0 try=1
while [ $hits -lt 3 ] && [ $try -le 5 ]; do
    rm -rf killed
    hits=0 resumed=0 k=1
    while [ $k -le 10 ]; do
        [ -n "$(ls killed/checkpoints 2>/dev/null | grep '^step-')" ] && resumed=$((resumed + 1))
        "$firn" train recipe.yaml output=killed --resume >killed.log 2>&1 &
        other=$!
        sleep "$(awk -v s=$((seed + 100 * try + k)) -v t=$took -v div=$try \
            'BEGIN { srand(s); printf "%.3f", t / 1000 / div * (0.02 + 0.2 * rand()) }')"
        if kill -9 $other 2>/dev/null; then hits=$((hits + 1)); fi
        wait $other 2>/dev/null
        other=''
        [ -e killed/adapter/firn.json ] && break
        k=$((k + 1))
    done
    try=$((try + 1))
done
"$firn" train recipe.yaml output=killed --resume >killed.log 2>&1 || { cat killed.log; wrong "the resumed run fails"; }
echo "killed $hits times (seed $seed), $resumed of the starts went on from a checkpoint"
[ $hits -ge 3 ] || wrong "the run was too fast to be killed three times"
same killed "killed and resumed"

# a polite stop: exit code 3, a checkpoint, and the same end
"$firn" train recipe.yaml output=stopped >stopped.log 2>&1 &
other=$!
while kill -0 $other 2>/dev/null && ! ls stopped/checkpoints 2>/dev/null | grep -q '^step-'; do sleep 0.01; done
kill -TERM $other 2>/dev/null
wait $other
code=$?
other=''
if [ $code = 3 ]; then
    [ -e stopped/adapter/firn.json ] && wrong "a stopped run looks finished"
    cp -r stopped torn
    "$firn" train recipe.yaml output=stopped learning_rate=0.5 --resume >stopped.log 2>&1 &&
        wrong "another recipe goes on with the checkpoint"
    "$firn" train recipe.yaml output=stopped --resume >stopped.log 2>&1 || { cat stopped.log; wrong "resuming a stopped run"; }
    same stopped "stopped and resumed"
    # the newest checkpoint is damaged: the one before it does
    newest=$(ls torn/checkpoints | grep '^step-' | sort | tail -n 1)
    printf 'x' | dd of="torn/checkpoints/$newest/trainable.safetensors" bs=1 seek=2000 conv=notrunc 2>/dev/null
    "$firn" train recipe.yaml output=torn --resume >torn.log 2>torn.err || { cat torn.err; wrong "resuming beside a broken checkpoint"; }
    grep -q "$newest is broken" torn.err || wrong "the broken checkpoint $newest is not named: $(cat torn.err)"
    same torn "resumed from an older checkpoint"
else
    wrong "SIGTERM: exit code $code, not 3"
    cat stopped.log
fi

# two runs, one output
"$firn" train recipe.yaml output=shared max_steps=1000000 >shared.log 2>&1 &
other=$!
while kill -0 $other 2>/dev/null && ! ls shared/checkpoints 2>/dev/null | grep -q '^step-'; do sleep 0.01; done
for flags in --resume --overwrite ''; do
    # shellcheck disable=SC2086
    "$firn" train recipe.yaml output=shared $flags >second.log 2>&1
    code=$?
    case $code in
    1 | 2) grep -q shared second.log || wrong "a second run ($flags) does not name the output: $(cat second.log)" ;;
    *) wrong "a second run ($flags) on the same output: exit code $code" ;;
    esac
done
"$firn" train recipe.yaml output=shared --resume 2>&1 | grep -q 'another run is writing there' ||
    wrong "a second run does not say that another is writing"
kill -0 $other 2>/dev/null || { cat shared.log; wrong "the first run died of the second"; }
kill -9 $other
wait $other 2>/dev/null
other=''

# a finished run stays as it is
list() { find whole -type f -printf '%p %s %T@ ' -exec cksum {} \; | sort; }
list >before
"$firn" train recipe.yaml --resume >again.log 2>&1 || { cat again.log; wrong "--resume on a finished run"; }
list >after
cmp -s before after || { diff before after; wrong "--resume changed a finished run"; }
"$firn" train recipe.yaml learning_rate=0.5 --resume >again.log 2>&1 && wrong "--resume on a finished run of another recipe"
grep -q 'whole/recipe.yaml: train.learning_rate: differs' again.log || { cat again.log; wrong "it does not name what differs"; }
list >after
cmp -s before after || { diff before after; wrong "a refused --resume changed a finished run"; }

[ $failed = 0 ]
