#!/usr/bin/env bash
# The main job on the sample data: examples/demo.sh [FOLDER] [NOTIF_REC]. Everything it writes lies in FOLDER (demo by default).
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-demo} program=${2:-notif-rec} as_of=2026-11-22T00:00:00Z
export NOTIF_REC_CONFIG=sample_data/notif_rec.yml NOTIF_REC_STORE=$folder/.notif_rec

step() {
    printf '\n$ notif-rec %s\n' "$*"
    "$program" "$@"
}

rm -rf "$folder/.notif_rec" "$folder/lists"
mkdir -p "$folder"
step ingest users sample_data/users.csv
step ingest items sample_data/items.csv
step ingest suppressions sample_data/suppressions.csv
step ingest events sample_data/events-*.csv.gz sample_data/events-*.csv --max-rejects 3
step train --as-of "$as_of"
step plan --as-of "$as_of"
step apply latest -o "$folder/lists"
step audit
step status

printf '\nThe top of each list:\n'
for list in "$folder"/lists/*/*.csv; do
    printf '\n%s (%s rows)\n' "$list" "$(($(wc -l < "$list") - 1))"
    head -4 "$list" | cut -d, -f2-8,14-
done
