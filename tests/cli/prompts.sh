#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# prompts.sh FIRN GOLDEN: prompts, prefixes and p-tuning from a recipe: trained, resumed to the bit, trained further,
# evaluated, asked for labels and text, and refused where they do not fit.
. "$(dirname "$0")/setup.sh"
run() {
    "$firn" "$@" >out 2>&1 || { wrong "firn $*"; tail -n 3 out; }
}

cp -r "$golden/models/bert" bert && cp -r "$golden/models/llama" llama && chmod -R u+w bert llama || exit 1
i=0
while [ $i -lt 24 ]; do
    echo "{\"text\": \"example $i of $((i * i)) words\", \"label\": \"class $((i % 2))\"}"
    i=$((i + 1))
done >train.jsonl
recipe() { # MODEL TASK METHOD
    cat <<END
model: $1
task: $2
output: whole
device: cpu
data: {train: train.jsonl, validation: train.jsonl}
method: {$3}
train: {max_steps: 6, batch_size: 4, save_steps: 2, learning_rate: 1e-2, max_length: 16, save_total_limit: 9}
END
}

try() { # NAME MODEL TASK METHOD
    rm -rf whole killed further
    recipe "$2" "$3" "$4" >recipe.yaml
    run train recipe.yaml
    # as a run leaves things when it is killed after its second checkpoint
    mkdir -p killed/checkpoints
    cp -r whole/checkpoints/step-000002 whole/checkpoints/step-000004 killed/checkpoints/
    cp whole/recipe.yaml killed/
    run train recipe.yaml output=killed --resume
    cmp whole/adapter/adapter_model.safetensors killed/adapter/adapter_model.safetensors || wrong "$1: resumed differs"
    rm -f killed/adapter/firn.json
    run train recipe.yaml output=killed --resume
    cmp whole/adapter/adapter_model.safetensors killed/adapter/adapter_model.safetensors || wrong "$1: finished twice differs"
    [ -e whole/adapter/state.safetensors ] && wrong "$1: the adapter holds a state"
    from=whole/adapter
    [ -d whole/checkpoints/step-000006 ] && from=whole/checkpoints/step-000006
    run train recipe.yaml output=further start_from="$from" max_steps=2
    cmp -s whole/adapter/adapter_model.safetensors further/adapter/adapter_model.safetensors && wrong "$1: further training does nothing"
    # the finished adapter says what the training's last evaluation said
    "$firn" eval recipe.yaml --adapter whole/adapter --data train.jsonl --json >metrics 2>err || { wrong "$1: eval"; cat err; }
    awk -v name="$1" '
        FNR == 1 { file++ }
        match($0, /"(eval_)?loss": *[0-9.]+/) {
            value = substr($0, RSTART, RLENGTH)
            if (file == 1 && value !~ /eval_/) next
            sub(/.*: */, "", value)
            if (file == 1) last = value; else here = value
        }
        END { d = last - here; if (last == "" || here == "" || d > 1e-5 * last || d < -1e-5 * last) {
                  print "FAILED: " name ": eval " here ", last evaluation " last; exit 1 } }' whole/log.jsonl metrics ||
        failed=$((failed + 1))
    if [ "$3" = sequence_classification ]; then
        echo 'example 3' | "$firn" classify "$2" --adapter whole/adapter >answer 2>&1 || { wrong "$1: classify"; cat answer; }
        grep -q '^class [01]' answer || wrong "$1: no label"
    else
        "$firn" generate "$2" --adapter whole/adapter --prompt 'example 3' --max-new-tokens 4 >answer 2>&1 ||
            { wrong "$1: generate"; cat answer; }
    fi
}

for model in bert:sequence_classification llama:causal_lm llama:sequence_classification; do
    task=${model#*:} model=${model%:*}
    for method in prefix_tuning 'prefix_tuning, prefix_projection: true, encoder_hidden_size: 7' prompt_tuning \
        'prompt_tuning, init: text, init_text: "which class is it"' p_tuning \
        'p_tuning, encoder: lstm, encoder_hidden_size: 5, encoder_dropout: 0.2'; do
        try "$model $task $method" "$model" "$task" "type: $method, num_virtual_tokens: 3"
    done
done
try "bert v2" bert sequence_classification "type: p_tuning_v2, pre_seq_len: 3"

# what does not fit: one line that names the key
refused() { # WORD METHOD [override ...]
    word=$1
    rm -rf whole
    recipe bert sequence_classification "$2" >recipe.yaml
    shift 2
    "$firn" train recipe.yaml "$@" >out 2>&1
    code=$?
    [ $code = 1 ] || [ $code = 2 ] || wrong "$word: exit $code"
    [ "$(wc -l <out)" = 1 ] && grep -q "$word" out || { wrong "$word"; cat out; }
    [ -e whole/adapter ] && wrong "$word: something was written"
}
refused 'num_virtual_tokens' 'type: prompt_tuning'
refused 'num_virtual_tokens' 'type: prompt_tuning, num_virtual_tokens: 100000'
refused 'max_position_embeddings.*virtual' 'type: prefix_tuning, num_virtual_tokens: 5000'
refused 'prompt_tuning_init_text' 'type: prompt_tuning, num_virtual_tokens: 3, init: text'
refused 'prefix_projection' 'type: prefix_tuning, num_virtual_tokens: 3, prefix_projektion: true'
recipe bert sequence_classification 'type: p_tuning, num_virtual_tokens: 3' >recipe.yaml
rm -rf whole && run train recipe.yaml && cp -r whole/adapter saved
refused 'start_from: expected a checkpoint' 'type: p_tuning, num_virtual_tokens: 3' start_from=saved
refused 'nowhere.*cannot open' 'type: prompt_tuning, num_virtual_tokens: 3' start_from=nowhere

# hard prompts train nothing, and are measured like the others: words in front, or a template
hard() { # METHOD
    cat <<END
model: llama
task: causal_lm
output: nowhere
data: {train: train.jsonl, completion: label, $2}
method: {type: hard$1}
train: {max_length: 32}
END
}
lossy() { # NAME RECIPE
    "$firn" eval "$2" --data train.jsonl --json >metrics 2>err || { wrong "hard $1"; cat err; }
    sed -n 's/.*"loss": *\([0-9.]*\).*/\1/p' metrics
}
hard '' 'prompt: text' >plain.yaml
hard ', text: "which class is it"' 'prompt: text' >words.yaml
hard ', template: "which class is it {text} {label}"' 'text: text' >template.yaml
hard '' 'template: "which class is it {text} {label}"' >data.yaml
plain=$(lossy plain plain.yaml) words=$(lossy words words.yaml) template=$(lossy template template.yaml)
[ -n "$plain" ] && [ -n "$words" ] && [ "$plain" != "$words" ] || wrong "hard words change nothing: $plain, $words"
[ -n "$template" ] && [ "$template" = "$(lossy data data.yaml)" ] || wrong "a template of the method is not that of data"
"$firn" train words.yaml >out 2>&1 && wrong "a hard prompt was trained"
[ "$(wc -l <out)" = 1 ] && grep -q 'method.type.*firn eval' out || { wrong "hard is not refused well"; cat out; }

[ $failed = 0 ] || { echo "$failed failed"; exit 1; }
echo "all as expected"
