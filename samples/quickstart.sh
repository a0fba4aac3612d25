#!/bin/sh
# From a fresh machine to a trained adapter: installs, builds, fetches a 22-million-parameter BERT, makes a data
# set from this machine's own package lists, trains LoRA on it, and says how well it did.
#   --epochs N    passes over the data (3)          --device D   auto, cpu, vulkan:0 ... (auto)
#   --seed N      of shuffling and initial values   --quick      a minute: few examples, one epoch
# FIRN_MODEL=DIR uses another BERT in the Hugging Face layout.
set -eu
cd "$(dirname "$0")/.."

epochs=3 device=auto seed=1 quick=false
while [ $# -gt 0 ]; do
    case "$1" in
    --epochs) epochs=$2; shift 2 ;;
    --device) device=$2; shift 2 ;;
    --seed) seed=$2; shift 2 ;;
    --quick) quick=true; shift ;;
    *) sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    esac
done

work=build/quickstart
./tests/run.sh --build
mkdir -p "$work"

model=${FIRN_MODEL:-$work/minilm} data=$work/data
[ -n "${FIRN_MODEL:-}" ] || samples/shared/minilm.sh "$model"
samples/shared/sections.sh "$data"
if $quick; then
    epochs=1
    mkdir -p "$work/quick"
    head -n 320 "$data/train.jsonl" >"$work/quick/train.jsonl"
    head -n 64 "$data/valid.jsonl" >"$work/quick/valid.jsonl"
    head -n 128 "$data/test.jsonl" >"$work/quick/test.jsonl"
    data=$work/quick
fi

mkdir -p runs
n=1
while ! mkdir "runs/quickstart-$n" 2>/dev/null; do n=$((n + 1)); done
run=runs/quickstart-$n
cat >"$work/recipe-$n.yaml" <<RECIPE
model: $model
task: sequence_classification
data: {train: $data/train.jsonl, validation: $data/valid.jsonl, test: $data/test.jsonl, text: text, label: label}
method: {type: lora, r: 8, lora_alpha: 16, target_modules: [query, value]}
train: {num_train_epochs: $epochs, batch_size: 32, max_length: 64, learning_rate: 1e-3, lr_scheduler_type: linear,
        max_grad_norm: 1.0, seed: $seed}
output: $run
device: $device
RECIPE

accuracy() { sed -n 's/.*"accuracy": *\([0-9.]*\).*/\1/p' | head -n 1; }
before=$(build/firn eval "$work/recipe-$n.yaml" --json | accuracy)
start=$(date +%s)
build/firn train "$work/recipe-$n.yaml"
seconds=$(($(date +%s) - start))
after=$(build/firn eval "$work/recipe-$n.yaml" --adapter "$run/adapter" --json | accuracy)

cat <<TABLE

  accuracy on $(wc -l <"$data/test.jsonl") held-out packages
  before training   $(awk "BEGIN { printf \"%5.1f\", 100 * ${before:-0} }") %
  after $epochs epochs    $(awk "BEGIN { printf \"%5.1f\", 100 * ${after:-0} }") %
  training time     $seconds s on $device

  adapter  $run/adapter
  report   $run/report.html
  try it   echo "play chess against the computer" | build/firn classify $model --adapter $run/adapter

  in Python, with Hugging Face PEFT:
    from transformers import AutoModelForSequenceClassification
    from peft import PeftModel
    base = AutoModelForSequenceClassification.from_pretrained("$model", num_labels=$(sed 's/.*"label": "\(.*\)"}$/\1/' "$data/train.jsonl" | sort -u | wc -l))
    model = PeftModel.from_pretrained(base, "$run/adapter")
TABLE
