#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# tasks.sh FIRN GOLDEN: prompts of several tasks in one run, by table and by shared encoder: trained, resumed to the bit,
# evaluated, a task added without touching the others, and every rule of templates.
. "$(dirname "$0")/setup.sh"
run() {
    "$firn" "$@" >out 2>&1 || { wrong "firn $*"; tail -n 3 out; }
}
loss_of() { sed -n 's/.*"loss": *\([0-9.]*\).*/\1/p' "$1" | tail -n 1; }

i=0
while [ $i -lt 16 ]; do
    echo "{\"taskname\": \"mood\", \"context\": \"the room was $i and warm\", \"answer\": \" good\"}"
    echo "{\"taskname\": \"topic\", \"head\": \"first $i\", \"tail\": \"and then\", \"answer\": \"thing\"}"
    i=$((i + 1))
done >both.jsonl
grep mood both.jsonl >mood.jsonl
sed -n 's/"topic"/"third"/p' both.jsonl >third.jsonl
mood='  - {taskname: mood, prompt_template: "<|VIRTUAL_PROMPT_0|> {context} so<|VIRTUAL_PROMPT_1|>{answer}",
     total_virtual_tokens: 5, virtual_token_splits: [3, 2], truncate_field: context, answer_only_loss: true, answer_field: answer}'
topic='  - {taskname: topic, prompt_template: "{head}<|VIRTUAL_PROMPT_1|> {tail}<|VIRTUAL_PROMPT_0|>: {answer}",
     total_virtual_tokens: 5, virtual_token_splits: [1, 4], init_text: "which topic"}'
recipe() { # METHOD DATA TASKS
    cat <<END
model: $golden/models/gpt2
task: causal_lm
output: whole
device: cpu
data: {train: $2, validation: $2}
method: {$1}
train: {max_steps: 6, batch_size: 4, save_steps: 2, learning_rate: 3e-2, max_length: 32, save_total_limit: 9}
tasks:
$3
END
}

for method in multitask_prompt 'multitask_ptuning, encoder_hidden_size: 7' 'multitask_ptuning, encoder: mlp'; do
    rm -rf whole killed added
    recipe "type: $method" both.jsonl "$mood
$topic" >recipe.yaml
    run train recipe.yaml
    mkdir -p killed/checkpoints
    cp -r whole/checkpoints/step-000002 whole/checkpoints/step-000004 killed/checkpoints/
    run train recipe.yaml output=killed --resume
    cmp whole/adapter/adapter_model.safetensors killed/adapter/adapter_model.safetensors || wrong "$method: resumed differs"
    for task in mood topic; do
        grep -q "prompt_table.$task.weight" whole/adapter/adapter_model.safetensors || wrong "$method: no table of $task"
    done
    "$firn" eval recipe.yaml --adapter whole/adapter --data both.jsonl --json >metrics 2>err || { wrong "$method: eval"; cat err; }
    last=$(sed -n 's/.*"eval_loss": *\([0-9.]*\).*/\1/p' whole/log.jsonl | tail -n 1)
    awk -v a="$(loss_of metrics)" -v b="$last" 'BEGIN { exit !(a > 0 && (a - b) ^ 2 < (1e-5 * b) ^ 2) }' ||
        wrong "$method: eval $(loss_of metrics), last evaluation $last"

    # a later task, by the other way of training; the earlier tables stay as they are
    recipe "type: multitask_prompt, add_to: whole/adapter" third.jsonl "$(echo "$topic" | sed 's/topic/third/')" >later.yaml
    run train later.yaml output=added
    recipe "type: multitask_prompt" mood.jsonl "$mood" >mood.yaml
    for adapter in whole added; do
        "$firn" eval mood.yaml --adapter $adapter/adapter --data mood.jsonl --json >$adapter.json 2>err || { wrong "$method: eval of $adapter"; cat err; }
    done
    [ -n "$(loss_of whole.json)" ] && [ "$(loss_of whole.json)" = "$(loss_of added.json)" ] || wrong "$method: an earlier task changed"
    "$firn" eval later.yaml --adapter added/adapter --data third.jsonl >out 2>&1 || { wrong "$method: eval of the later task"; cat out; }
    "$firn" eval later.yaml --adapter whole/adapter --data third.jsonl >out 2>&1 && wrong "$method: a task that is not there"
    grep -q 'third' out || { wrong "$method: the missing task is not named"; cat out; }
    recipe "type: multitask_prompt, add_to: whole/adapter" mood.jsonl "$mood" >twice.yaml
    "$firn" train twice.yaml output=twice >out 2>&1 && wrong "$method: a task twice"
    grep -q 'taskname' out || { wrong "$method: a task twice is not named"; cat out; }
done

# generation: lines are filled into their task's template, and answered as the evaluation's greedy tokens say
recipe 'type: multitask_prompt' both.jsonl "$mood
$topic" >ask.yaml
run train ask.yaml output=ask max_steps=400 save_steps=400 learning_rate=1e-1
"$firn" eval ask.yaml --adapter ask/adapter --data mood.jsonl --json >metrics 2>err || { wrong "eval before asking"; cat err; }
sed 's/, "answer": .*/}/; s/.*"context": "\(.*\)"}/\1/' mood.jsonl >words
sed 's/, "answer": .*/}/' mood.jsonl >objects
"$firn" generate "$golden/models/gpt2" --device cpu --adapter ask/adapter --task mood --max-new-tokens 8 --json <words >by_task 2>err ||
    { wrong "generate --task"; cat err; }
"$firn" generate "$golden/models/gpt2" --device cpu --adapter ask/adapter --max-new-tokens 8 --json --batch-size 3 <objects >by_line 2>err ||
    { wrong "generate with tasks of lines"; cat err; }
ids() { sed -n 's/.*\("ids":.*\)}/\1/p' "$1"; }
[ "$(ids by_task)" = "$(ids by_line)" ] && [ "$(wc -l <by_task)" = 16 ] || wrong "--task and taskname differ"
found=$(grep -c '"text":" good".*"finish":"end"' by_task)
said=$(sed -n 's/.*"exact_match": *\([0-9.]*\).*/\1/p' metrics)
awk -v found="$found" -v said="$said" 'BEGIN { exit !(said != "" && found == 16 * said && found > 0) }' ||
    { wrong "generate has $found answers right, eval says $said of 16"; head -n 2 by_task; }
asked() { # WORD FLAG ...
    word=$1
    shift
    "$firn" generate "$golden/models/gpt2" --device cpu "$@" >out 2>&1 && wrong "taken: $word"
    [ "$(wc -l <out)" = 1 ] && grep -q "$word" out || { wrong "not said: $word"; cat out; }
}
asked 'taskname' --adapter ask/adapter --prompt 'some words'
asked '.--task: expected a task of the adapter, got none' --adapter ask/adapter --prompt x --task none
asked 'several fields' --adapter ask/adapter --prompt x --task topic
asked 'MULTITASK' --prompt x --task mood

refused() { # WORD DATA TASKS
    recipe 'type: multitask_prompt' "$2" "$3" >bad.yaml
    "$firn" train bad.yaml output=bad >out 2>&1 && wrong "taken: $1"
    [ "$(wc -l <out)" = 1 ] && grep -q "$1" out || { wrong "not said: $1"; cat out; }
    rm -rf bad
}
change() { echo "$mood" | sed "$1"; }
refused 'tasks\[0\].virtual_token_splits: expected a sum of 5' both.jsonl "$(change 's/\[3, 2\]/[3, 3]/')"
refused 'tasks\[0\].prompt_template: expected 3 markers' mood.jsonl "$(change 's/\[3, 2\]/[3, 1, 1]/')"
refused 'tasks\[0\].prompt_template: expected each of' mood.jsonl "$(change 's/PROMPT_1/PROMPT_0/')"
refused 'tasks\[0\].total_virtual_tokens: expected 1 to 31' mood.jsonl "$(change 's/tokens: 5/tokens: 40/; s/\[3, 2\]/[20, 20]/')"
refused 'tasks\[0\].answer_field' mood.jsonl "$(change 's/, answer_field: answer//')"
refused 'tasks\[0\].truncate_field: expected another field' mood.jsonl "$(change 's/truncate_field: context/truncate_field: answer/')"
refused 'tasks\[0\].truncate_field: expected a field' mood.jsonl "$(change 's/truncate_field: context/truncate_field: story/')"
refused '{answer} at the end' mood.jsonl "$(change 's/{answer}"/{answer}."/')"
refused 'tasks\[0\].prompt_template: expected {field}' mood.jsonl "$(change 's/{context}/{context/; s/{answer}"/{answer"/')"
refused 'tasks\[0\].taskname' mood.jsonl "$(change 's/taskname: mood, //')"
refused 'did you mean prompt_template' mood.jsonl "$(change 's/prompt_template/prompt_templat/')"
refused 'tasks\[1\].taskname.*mood twice' mood.jsonl "$mood
$mood"
refused 'line 2: taskname: expected a task of the recipe, got topic' both.jsonl "$mood"
echo '{"taskname": "mood", "context": "x", "answer": "y", "extra": "z"}' >extra.jsonl
refused 'line 1: extra' extra.jsonl "$mood"
echo '{"taskname": "mood", "context": "x"}' >missing.jsonl
refused 'answer' missing.jsonl "$mood"
refused 'tasks: expected a list' mood.jsonl '  {taskname: mood}'

# what is too long gives way in the field that may, or is left out
long=$(awk 'BEGIN { for (i = 0; i < 60; i++) printf "word%d ", i }')
{ cat mood.jsonl; echo "{\"taskname\": \"mood\", \"context\": \"$long\", \"answer\": \" good\"}"; } >long.jsonl
recipe 'type: multitask_prompt' long.jsonl "$mood" >long.yaml
run train long.yaml output=cut
grep -q 'left out' out && wrong "the long context was not shortened"
recipe 'type: multitask_prompt' long.jsonl "$(change 's/truncate_field: context, //')" >long.yaml
run train long.yaml output=left
grep -q '1 of 17 examples' out || { wrong "the long example was not left out"; cat out; }

[ $failed = 0 ] || { echo "$failed failed"; exit 1; }
echo "all as expected"
