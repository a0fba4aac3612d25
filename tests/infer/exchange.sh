#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# An adapter, the model that it is merged into, and its way to GGUF and back say the same. exchange.sh FIRN GOLDEN
set -u
firn=$1 golden=$2 failed=0
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
model=$golden/models/llama adapter=$golden/cases/llama-lora/adapter_final
wrong() {
    echo "wrong: $1"
    failed=1
}
# answer NAME MODEL [FLAGS]: a long greedy answer, in $work/says.NAME
answer() {
    name=$1 base=$2
    shift 2
    "$firn" generate "$base" --device cpu:exact --prompt 'Snow falls on the hills' --max-new-tokens 40 --ignore-end "$@" \
        >"$work/says.$name" || wrong "$name has no answer"
}
# refused CODE WORD COMMAND...
refused() {
    code=$1 word=$2
    shift 2
    "$@" >/dev/null 2>"$work/err"
    got=$?
    { [ "$got" = "$code" ] && [ "$(wc -l <"$work/err")" = 1 ] && grep -q -- "$word" "$work/err"; } ||
        wrong "$* ended with $got: $(cat "$work/err")"
}

answer base "$model"
answer adapter "$model" --adapter "$adapter"
cmp -s "$work/says.base" "$work/says.adapter" && wrong "the adapter changes nothing"

"$firn" merge "$model" --adapter "$adapter" --out "$work/merged" --json >"$work/report" || wrong "it cannot be merged"
grep -q '"changed_tensors":14,"largest_change":0.07' "$work/report" || wrong "merge reports $(cat "$work/report")"
answer merged "$work/merged"
cmp -s "$work/merged/tokenizer.json" "$model/tokenizer.json" || wrong "the tokenizer is not copied"
cmp -s "$work/says.adapter" "$work/says.merged" || wrong "the merged model says something else"
refused 2 "empty or missing" "$firn" merge "$model" --adapter "$adapter" --out "$work/merged"
refused 1 "none.json\|adapter_config.json" "$firn" merge "$model" --adapter "$work/none" --out "$work/other"
[ -e "$work/other" ] && wrong "a merge that failed leaves files"

"$firn" export "$model" --adapter "$adapter" --out "$work/lora.gguf" >/dev/null || wrong "no GGUF"
"$firn" export "$model" --adapter "$work/lora.gguf" --to peft --out "$work/back" >/dev/null || wrong "no way back"
answer back "$model" --adapter "$work/back"
cmp -s "$work/says.adapter" "$work/says.back" || wrong "the way to GGUF and back changes the adapter"
refused 2 "nothing of this name" "$firn" export "$model" --adapter "$adapter" --out "$work/lora.gguf"
refused 2 "a GGUF file" "$firn" export "$model" --adapter "$adapter" --to peft --out "$work/x"
refused 1 "model_type" "$firn" export "$golden/models/bert" --adapter "$golden/cases/bert-lora/adapter_final" --out "$work/x"
exit $failed
