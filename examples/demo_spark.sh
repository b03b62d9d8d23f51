#!/usr/bin/env bash
# The main job on the sample data, on Spark here (local[*]), and the same without it: examples/demo_spark.sh [FOLDER] [NOTIF_REC].
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-demo-spark} program=${2:-notif-rec} as_of=2026-11-22T00:00:00Z
export NOTIF_REC_CONFIG=sample_data/notif_rec.yml NOTIF_REC_QUIET=1

whole_way() { # ENGINE: from files to applied lists in FOLDER/ENGINE
    export NOTIF_REC_STORE=$folder/$1/.notif_rec
    for table in users items suppressions; do
        "$program" ingest "$table" "sample_data/$table.csv" --engine "$1"
    done
    "$program" ingest events sample_data/events-*.csv.gz sample_data/events-*.csv --max-rejects 3 --engine "$1"
    "$program" train --as-of "$as_of" --engine "$1"
    "$program" plan --as-of "$as_of" --engine "$1"
    "$program" apply latest -o "$folder/$1/lists"
    "$program" audit
}

rm -rf "$folder"
mkdir -p "$folder"
for engine in local spark; do
    printf 'the main job with --engine %s …\n' "$engine"
    whole_way "$engine"
done
diff -r "$folder/local/lists" "$folder/spark/lists"
printf 'identical to local: %s sends\n' "$(NOTIF_REC_QUIET='' "$program" status | awk -F'\t' '$1 == "sends" {print $2}')"
