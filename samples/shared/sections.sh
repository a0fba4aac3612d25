#!/bin/sh
# sections.sh DIR: package synopses and their sections as train.jsonl, valid.jsonl and test.jsonl, from this machine's own
# package lists. Does nothing when they are there.
set -eu
here=$(dirname "$0") data=$1
[ -s "$data/train.jsonl" ] && exit 0
rm -rf "$data.new"
mkdir -p "$data.new"
apt-cache dumpavail | LC_ALL=C awk -v out="$data.new" -f "$here/sections.awk"
if [ ! -s "$data.new/train.jsonl" ]; then
    echo "sections.sh: apt-cache dumpavail lists no packages; run apt-get update" >&2
    exit 1
fi
rm -rf "$data"
mv "$data.new" "$data"
