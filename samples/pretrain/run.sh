#!/bin/sh
# A base model of one's own: trains a small GPT-2 and a small T5 from random weights on the long descriptions of packages,
# then tunes both in five ways for a task with a measurable answer: the section of a package by its description's first
# words. Leaves the bases and comparisons in runs/pretrain. A run that was stopped goes on.
#   --device D   auto, cpu, vulkan:0 ... (auto)      --quick   a minute: tiny models, few steps
set -eu
cd "$(dirname "$0")/../.."

device=auto quick=false
while [ $# -gt 0 ]; do
    case "$1" in
    --device) device=$2; shift 2 ;;
    --quick) quick=true; shift ;;
    *) sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    esac
done

./tests/run.sh --build
if ! command -v python3 >/dev/null; then
    as_root=''
    [ "$(id -u)" = 0 ] || as_root='sudo'
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends python3
fi
data=build/quickstart/data out=runs/pretrain
samples/shared/sections.sh "$data"
samples/shared/descriptions.sh "$data"

width=192 layers=4 vocabulary=2048 epochs=2 steps=0 sizes='[256, 2048]' seeds='[1, 2]' tune_steps=80
if $quick; then
    width=48 layers=2 vocabulary=420 steps=12 sizes='[64]' seeds='[1]' tune_steps=6
    out=build/quickstart/pretrain
    rm -rf "$out"
fi
mkdir -p "$out"
if [ ! -f "$out/section-test.jsonl" ]; then
    texts=$data/long.jsonl tests=$data/long-valid.jsonl
    if $quick; then
        head -n 300 "$texts" >"$out/long.jsonl"
        head -n 48 "$tests" >"$out/long-valid.jsonl"
        texts=$out/long.jsonl tests=$out/long-valid.jsonl
    fi
    for model in gpt2 t5; do
        python3 samples/pretrain/make_tokenizer.py "$texts" "$out/$model-config" $vocabulary
    done
    ln -sf "$(realpath "$texts")" "$out/texts.jsonl"
    LC_ALL=C awk -v out="$out" -v kind=train -v words=24 -f samples/pretrain/tasks.awk "$texts"
    LC_ALL=C awk -v out="$out" -v kind=test -v words=24 -f samples/pretrain/tasks.awk "$tests"
fi
cat >"$out/gpt2-config/config.json" <<JSON
{"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "vocab_size": $vocabulary, "n_positions": 256,
 "n_embd": $width, "n_layer": $layers, "n_head": 4, "activation_function": "gelu_new", "resid_pdrop": 0.0,
 "embd_pdrop": 0.0, "attn_pdrop": 0.0, "layer_norm_epsilon": 1e-5, "initializer_range": 0.02, "bos_token_id": 0,
 "eos_token_id": 0, "pad_token_id": 1, "tie_word_embeddings": true}
JSON
cat >"$out/t5-config/config.json" <<JSON
{"model_type": "t5", "architectures": ["T5ForConditionalGeneration"], "vocab_size": $vocabulary, "d_model": $width,
 "d_kv": $((width / 4)), "d_ff": $((width * 2)), "num_layers": $((layers - 1)), "num_decoder_layers": $((layers - 1)),
 "num_heads": 4, "relative_attention_num_buckets": 32, "relative_attention_max_distance": 128, "dropout_rate": 0.0,
 "layer_norm_epsilon": 1e-6, "feed_forward_proj": "gated-gelu", "pad_token_id": 1, "eos_token_id": 0,
 "decoder_start_token_id": 1, "tie_word_embeddings": true, "is_encoder_decoder": true}
JSON

# pretrain MODEL TASK DATA: from random weights, every tensor trained
pretrain() {
    [ -f "$out/$1-random/model.safetensors" ] || build/firn init "$out/$1-config" --task "$2" --out "$out/$1-random"
    cat >"$out/$1.yaml" <<RECIPE
model: $out/$1-random
task: $2
data: $3
method: {type: full}
train: {num_train_epochs: $epochs, max_steps: $steps, batch_size: 32, max_length: 160, max_target_length: 96,
        learning_rate: 2e-3, lr_scheduler_type: cosine, warmup_steps: 0.05, weight_decay: 0.1, max_grad_norm: 1.0, seed: 1,
        save_steps: 100}
output: $out/$1
device: $device
RECIPE
    build/firn train "$out/$1.yaml" --resume
}
echo "== a small GPT-2 from random weights"
pretrain gpt2 causal_lm "{train: $out/texts.jsonl, text: text}"
echo "== a small T5 from random weights: the second half of a description from its first"
pretrain t5 seq2seq_lm "{train: $out/halves-train.jsonl, validation: $out/halves-test.jsonl, source: source, target: target}"

# tune MODEL TASK: the section of a package, by five methods
tune() {
    cat >"$out/$1-tune.yaml" <<RECIPE
model: $out/$1/adapter
task: $2
data: {train: $out/section-train.jsonl, test: $out/section-test.jsonl, prompt: prompt, completion: answer}
method:
  - {name: full, type: full, train: {learning_rate: 5e-4}}
  - {name: LoRA, type: lora, r: 8, lora_alpha: 16, target_modules: all-linear, train: {learning_rate: 3e-3}}
  - {name: prefix, type: prefix_tuning, num_virtual_tokens: 20, train: {learning_rate: 3e-2}}
  - {name: prompt, type: prompt_tuning, num_virtual_tokens: 20, train: {learning_rate: 1e-1}}
  - {name: p-tuning, type: p_tuning, num_virtual_tokens: 20, encoder_hidden_size: $width, train: {learning_rate: 3e-3}}
train: {num_train_epochs: 2, batch_size: 16, max_length: 96, max_target_length: 8, lr_scheduler_type: linear,
        max_grad_norm: 1.0, save_steps: 0, eval_steps: 1000000}
compare: {seeds: $seeds, sizes: $sizes, min_steps: $tune_steps}
output: $out/$1-tune
device: $device
RECIPE
    build/firn compare "$out/$1-tune.yaml" --resume
}
echo "== five methods on the small GPT-2"
tune gpt2 causal_lm
echo "== five methods on the small T5"
tune t5 seq2seq_lm
