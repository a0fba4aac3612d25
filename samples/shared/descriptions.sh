#!/bin/sh
# descriptions.sh DIR: the long descriptions of packages, from the lists of this machine's own package sources (read into
# DIR/lists, the machine's lists stay as they are). Writes, for the packages that sections.sh takes:
#   outside.jsonl  the first paragraph and the section, for the packages of test.jsonl
#   long.jsonl     name, section and whole description, for those of train.jsonl; long-valid.jsonl for those of valid.jsonl
# Does nothing when they are there.
set -eu
here=$(dirname "$0") data=$1
[ -s "$data/outside.jsonl" ] && exit 0
mkdir -p "$data/lists/partial"
echo "reading the long descriptions of packages"
apt-get -q -o Dir::State::Lists="$(realpath "$data/lists")" -o Dir::Cache="$(realpath "$data/lists")" \
    -o Acquire::Languages=en -o APT::Sandbox::User= update >"$data/update.log" 2>&1 || { cat "$data/update.log"; exit 1; }
for list in "$data"/lists/*Translation-en*; do
    [ -f "$list" ] && /usr/lib/apt/apt-helper cat-file "$list"
done >"$data/translations"
if [ ! -s "$data/translations" ]; then
    echo "descriptions.sh: the package sources have no English descriptions" >&2
    exit 1
fi
mkdir -p "$data/long.new"
{
    apt-cache dumpavail
    echo
    echo '== translations'
    cat "$data/translations"
} | LC_ALL=C awk -v out="$data/long.new" -f "$here/descriptions.awk"
rm -rf "$data/lists" "$data/translations" "$data/update.log"
mv "$data"/long.new/*.jsonl "$data"
rmdir "$data/long.new"
