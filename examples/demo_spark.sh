#!/usr/bin/env bash
# The main job on the sample data, on Spark here (local[*]), and without it beside: examples/demo_spark.sh [FOLDER] [NOTIF_REC].
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-demo-spark} program=${2:-notif-rec} as_of=2026-11-22T00:00:00Z
export NOTIF_REC_CONFIG=sample_data/notif_rec.yml

rm -rf "$folder"
mkdir -p "$folder"
for engine in local spark; do
    export NOTIF_REC_STORE=$folder/$engine/.notif_rec
    printf '\n$ notif-rec run --as-of %s --engine %s\n' "$as_of" "$engine"
    "$program" run --as-of "$as_of" -o "$folder/$engine/lists" --engine "$engine"
    "$program" audit --json > "$folder/$engine/audit.json"
    cp "$folder/$engine"/lists/*/*.csv "$folder/$engine"
done
for file in "$folder"/local/*.csv "$folder"/local/audit.json; do
    cmp "$file" "$folder/spark/${file##*/}"
done
printf '\nidentical to local: %s sends\n' "$(cut -d, -f1 "$folder"/spark/*.csv | grep -v '^send_key$' | sort -u | wc -l)"
