#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# `firn generate` at its ends: prompts from everywhere, hostile ones, pipes and signals. generate.sh FIRN GOLDEN
set -u
firn=$1 golden=$2 failed=0
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
model=$golden/models/llama
generate() { "$firn" generate "$model" --device cpu "$@"; }
wrong() {
    echo "wrong: $1"
    failed=1
}
# expect CODE WORD COMMAND...: this exit code, and one line on stderr with the word in it (none for no word)
expect() {
    code=$1 word=$2
    shift 2
    "$@" >"$work/out" 2>"$work/err"
    got=$?
    lines=$(wc -l <"$work/err")
    [ "$got" = "$code" ] || wrong "$* ended with $got, not $code: $(cat "$work/err")"
    if [ -n "$word" ]; then
        { [ "$lines" = 1 ] && grep -q -- "$word" "$work/err"; } || wrong "$* said: $(cat "$work/err")"
    else
        [ "$lines" = 0 ] || wrong "$* said: $(cat "$work/err")"
    fi
}

# one prompt, from three places, is one answer
expect 0 "" generate --prompt 'The snow' --max-new-tokens 20 --temperature 1
cp "$work/out" "$work/first"
[ "$(tail -c 1 "$work/out" | od -A n -t x1 | tr -d ' ')" = 0a ] || wrong "the answer does not end its line"
printf 'The snow' >"$work/prompt"
expect 0 "" generate --file "$work/prompt" --max-new-tokens 20 --temperature 1
cmp -s "$work/out" "$work/first" || wrong "--file and --prompt differ"
expect 0 "" generate --prompt 'The snow' --max-new-tokens 20 --temperature 1 --seed 43
cmp -s "$work/out" "$work/first" && wrong "another seed gives the same text"

# lines, one of them empty; the answers do not depend on the batch
printf 'The snow\n\nfalls\r\non hills, and again and again' >"$work/lines"
for n in 1 3 8; do
    expect 0 "" sh -c '"$1" generate "$2" --device cpu --max-new-tokens 20 --temperature 1 --batch-size '$n' <"$3"' - \
        "$firn" "$model" "$work/lines"
    [ "$n" = 1 ] && cp "$work/out" "$work/answers"
    cmp -s "$work/out" "$work/answers" || wrong "a batch of $n gives other answers"
done
[ "$(wc -l <"$work/answers")" = 4 ] || wrong "4 lines have $(wc -l <"$work/answers") answers"
expect 0 "" generate --json --max-new-tokens 3 --prompt 'a "b"'
grep -q '^{"prompt":"a \\"b\\"","text":".*","finish":"length","prompt_tokens":[0-9]*,"new_tokens":3,"ids":\[[0-9,]*\]}$' \
    "$work/out" || wrong "--json wrote $(cat "$work/out")"
expect 0 "" sh -c '"$1" generate "$2" --device cpu </dev/null' - "$firn" "$model"
[ -s "$work/out" ] && wrong "no lines have an answer"
expect 0 "" generate --max-new-tokens 0 --prompt a

# a stop string that is longer than the text
expect 0 "" generate --prompt 'The snow' --max-new-tokens 20 --temperature 1 --stop "$(printf '%0500d' 0)"
cmp -s "$work/out" "$work/first" || wrong "a stop string that does not come changes the text"

# hostile prompts
long=$(printf '%0500d' 0)
expect 1 "the prompt: expected at most 128 tokens" generate --prompt "$long"
expect 1 "the prompt: expected UTF-8" generate --prompt "$(printf 'a\377b')"
expect 2 "max-new-tokens" generate --prompt a --max-new-tokens -1
expect 2 "top-p" generate --prompt a --top-p 0
expect 2 "together" generate --prompt a --file b
expect 1 "b: " generate --file "$work/b"
expect 1 "task" "$firn" generate "$golden/models/bert" --prompt a --device cpu
expect 1 "line 2: expected UTF-8" sh -c 'printf "a\n\303\nb\n" | "$1" generate "$2" --device cpu --max-new-tokens 2' - "$firn" "$model"
[ "$(wc -l <"$work/out")" = 1 ] || wrong "lines before a wrong one have no answer"

# conversations and templates: what was trained is what is asked
cat >"$work/chat.jsonl" <<'END'
{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "ab"}], "q": "a", "a": "ab"}
{"messages": [{"role": "user", "content": "c"}, {"role": "assistant", "content": "cd"}], "q": "c", "a": "cd"}
END
for kind in chat templated; do
    texts='messages: messages, chat: llama3'
    [ $kind = templated ] && texts='template: "Q: {q}\nA: {a}", completion: a'
    cat >"$work/$kind.yaml" <<END
model: $model
task: causal_lm
data: {train: $work/chat.jsonl, $texts}
method: {type: lora, r: 8, lora_alpha: 16, target_modules: all-linear, modules_to_save: [lm_head]}
train: {max_steps: 60, batch_size: 2, max_length: 64, learning_rate: 1e-2, seed: 1}
output: $work/$kind
device: cpu
END
    "$firn" train "$work/$kind.yaml" >/dev/null 2>"$work/err" || wrong "$kind does not train: $(cat "$work/err")"
    printf 'a\nc\n' >"$work/ask"
    expect 0 "" sh -c '"$1" generate "$2" --device cpu --adapter "$3" --max-new-tokens 9 --'$kind' <"$4"' - \
        "$firn" "$model" "$work/$kind/adapter" "$work/ask"
    [ "$(tr -d ' ' <"$work/out" | tr '\n' ' ')" = "ab cd " ] || wrong "$kind answers $(cat "$work/out")"
    expect 0 "" "$firn" eval "$work/$kind.yaml" --adapter "$work/$kind/adapter" --data "$work/chat.jsonl" --generate
    grep -q '^generated match *1.0000$' "$work/out" || wrong "$kind is evaluated as $(cat "$work/out")"
done
expect 0 "" "$firn" eval "$work/chat.yaml" --data "$work/chat.jsonl" --generate --json
grep -q '"generated_match": 0.0' "$work/out" || wrong "the untrained model matches: $(cat "$work/out")"
expect 0 "" generate --adapter "$work/chat/adapter" --chat --prompt '[{"role": "user", "content": "c"}]' --max-new-tokens 9
[ "$(cat "$work/out")" = cd ] || wrong "messages are answered with $(cat "$work/out")"
expect 0 "" generate --adapter "$work/templated/adapter" --templated --prompt '{"q": "a"}' --max-new-tokens 9
[ "$(cat "$work/out")" = " ab" ] || wrong "fields are answered with $(cat "$work/out")"
expect 1 "chat format" generate --chat --prompt a
expect 1 "tool" generate --adapter "$work/chat/adapter" --chat --prompt '[{"role": "tool", "content": "c"}]'
expect 2 "template" generate --adapter "$work/chat/adapter" --templated --prompt a
expect 2 "system" generate --system a --prompt a

# a reader that has enough
yes a | head -n 400 >"$work/many"
timeout 60 sh -c '{ "$1" generate "$2" --device cpu --max-new-tokens 100 --batch-size 1 <"$3"; echo $? >"$4"; } | head -n 1 >/dev/null' - \
    "$firn" "$model" "$work/many" "$work/code" 2>"$work/err"
[ "$(cat "$work/code")" = 1 ] || wrong "a closed pipe gives $(cat "$work/code")"
[ -s "$work/err" ] && wrong "a closed pipe says $(cat "$work/err")"

# the same of `firn classify`, and lines from files
cat >"$work/labels.jsonl" <<'END'
{"text": "yes a", "label": "yes"}
{"text": "no b", "label": "no"}
END
cat >"$work/classify.yaml" <<END
model: $golden/models/bert
task: sequence_classification
data: {train: $work/labels.jsonl, template: "is {text} so"}
method: {type: lora, r: 4}
train: {max_steps: 40, batch_size: 2, max_length: 16, learning_rate: 1e-2, seed: 1}
output: $work/classify
device: cpu
END
"$firn" train "$work/classify.yaml" >/dev/null 2>"$work/err" || wrong "no training: $(cat "$work/err")"
classify() { "$firn" classify "$golden/models/bert" --adapter "$work/classify/adapter" --device cpu "$@"; }
printf 'yes a\nno b\n' >"$work/ask"
expect 0 "" classify "$work/ask" "$work/ask"
[ "$(cut -f 1 "$work/out" | tr '\n' ' ')" = "yes no yes no " ] || wrong "files are answered with $(cat "$work/out")"
expect 1 "none.txt: cannot open" classify "$work/none.txt"
expect 1 "line 2: expected UTF-8" sh -c 'printf "yes a\n\303\n" | "$1" classify "$2" --adapter "$3" --device cpu' - \
    "$firn" "$golden/models/bert" "$work/classify/adapter"
[ "$(cut -f 1 "$work/out")" = yes ] || wrong "lines before a wrong one have no label"
timeout 60 sh -c 'yes "no b" | { "$1" classify "$2" --adapter "$3" --device cpu; echo $? >"$4"; } | head -n 1 >"$5"' - \
    "$firn" "$golden/models/bert" "$work/classify/adapter" "$work/code" "$work/out" 2>"$work/err"
[ "$(cut -f 1 "$work/out") $(cat "$work/code")" = "no 1" ] || wrong "classify in a pipe: $(cat "$work/out" "$work/code")"
[ -s "$work/err" ] && wrong "classify in a closed pipe says $(cat "$work/err")"

# signals: what is written stays, exit code 3
for name in INT TERM; do
    mkfifo "$work/in.$name"
    : >"$work/out"
    "$firn" generate "$model" --device cpu --batch-size 1 --max-new-tokens 5 \
        <"$work/in.$name" >"$work/out" 2>"$work/err" &
    id=$!
    exec 3>"$work/in.$name"
    echo snow >&3
    for i in $(seq 200); do
        [ -s "$work/out" ] && break
        sleep 0.05
    done
    kill -s $name $id
    wait $id
    code=$?
    exec 3>&-
    [ "$code" = 3 ] || wrong "SIG$name gives $code"
    [ "$(wc -l <"$work/out")" = 1 ] || wrong "SIG$name takes an answer away"
    [ -s "$work/err" ] && wrong "SIG$name says $(cat "$work/err")"
done
exit $failed
