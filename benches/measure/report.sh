# shellcheck shell=bash
# Steps of a run, and the page that is written from what they left.
#
# A step is a command with a time limit. Whatever becomes of it is recorded and the run goes on. The page is written anew after each
# step, so that a run that is cut short leaves what it has.
#
# Uses here (the packed folder), work (a scratch folder) and folder (where results go), which its user sets. Sets steps_run, steps_failed, and for the last
# step step_result and step_seconds; its output is in $work/out and $work/err.

: "${here:?}" "${work:?}" "${folder:?}"
steps_run=0
steps_failed=0
step_result=""
step_seconds=0

# Milliseconds of a clock that only differences are taken of; whole seconds where the shell is older than that.
now() {
    local time=${EPOCHREALTIME:-}
    if [ -n "$time" ]; then
        time=${time%.*}${time#*.}
        printf '%s\n' "${time%???}"
    else
        printf '%s000\n' "$SECONDS"
    fi
}

# macOS has no `timeout`, and Windows has another one of that name: without a right one steps have no limit.
limiter=""
for candidate in timeout gtimeout; do
    if "$candidate" 5 true >/dev/null 2>&1; then
        limiter=$candidate
        break
    fi
done

# record NAME RESULT SECONDS NOTE
record() {
    printf '%s\t%s\t%s\t%s\n' "$@" >>"$work/steps.tsv"
    printf '  %s%s\n' "$2" "${4:+ ($4)}"
    write_page
}

# A step that is not run, and why: no failure.
leave_out() {
    printf '== %s\n' "$1"
    record "$1" "left out" "" "$2"
}

# run_step NAME LIMIT COMMAND...: runs it, keeps its output, sets step_result to `passed` or to what went wrong. Recording it is the
# caller's, who can read more out of the output.
run_step() {
    local name=$1 limit=$2 status=0 start took
    shift 2
    start=$(now)
    printf '== %s\n' "$name"
    if [ -n "$limiter" ]; then
        "$limiter" -k 10 "$limit" "$@" >"$work/out" 2>"$work/err" </dev/null || status=$?
    else
        "$@" >"$work/out" 2>"$work/err" </dev/null || status=$?
    fi
    took=$(($(now) - start))
    step_seconds=$((took / 1000)).$((took / 100 % 10))
    if [ "$status" = 0 ]; then
        step_result="passed"
    elif { [ "$status" = 124 ] || [ "$status" = 137 ]; } && [ -n "$limiter" ] && [ "$took" -ge $((limit * 1000)) ]; then
        step_result="over its limit of $limit s"
    elif [ "$status" -gt 128 ]; then
        step_result="ended by signal $((status - 128))"
    else
        step_result="FAILED with status $status"
    fi
    {
        printf '== %s: %s after %s s\n' "$name" "$step_result" "$step_seconds"
        cat "$work/out"
        if [ -s "$work/err" ]; then
            printf -- '-- messages\n'
            cat "$work/err"
        fi
        printf '\n'
    } >>"$folder/log.txt"
    steps_run=$((steps_run + 1))
    if [ "$status" != 0 ]; then
        steps_failed=$((steps_failed + 1))
        # The end of what it said, for who is watching.
        tail -n 3 "$work/err" | sed 's/^/    /'
    fi
}

# What looked like success and was none: counts as a failure.
refuse_step() {
    if [ "$step_result" = passed ]; then steps_failed=$((steps_failed + 1)); fi
    step_result=$1
}

flat() {
    LC_ALL=C awk -f "$here/json.awk" "$1"
}

# The value at a path of a JSON file, or nothing: json_get FILE 0.device.name
json_get() {
    flat "$1" 2>/dev/null | awk -F'\t' -v path="$2" '$1 == path { print $2 }'
}

# Sets pages' words apart from the table's own bars.
cells() {
    sed 's/|/\\|/g'
}

# Functions that the tables below share.
# shellcheck disable=SC2016 # awk's own dollars
common_awk='
    function bytes(b,    i) {
        split("B KiB MiB GiB TiB", unit, " ")
        for (i = 1; b >= 1023.5 && i < 5; i++) b /= 1024
        return sprintf(b >= 100 || i == 1 ? "%.0f %s" : "%.3g %s", b, unit[i])
    }
    function seconds(s) {
        if (s == "" || s == "null") return "-"
        if (s < 1e-3) return sprintf("%.3g us", s * 1e6)
        if (s < 1) return sprintf("%.3g ms", s * 1e3)
        return sprintf("%.3f s", s)
    }
    function figure(x) { return x == "" || x == "null" ? "-" : sprintf("%.3g", x) }
    function word(x) { return x == "" || x == "null" ? "-" : x }
'

demos_table() {
    printf '\n## Demonstrations\n\n'
    printf 'Seconds are from the first launch to the results in the hands of the CPU. Each was verified by an independent computation.\n\n'
    printf '| demo | data | device memory | factor | seconds | in kernels | data a second | to the device | back | passes | verified |\n'
    printf '|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|\n'
    flat "$folder/demos.jsonl" | awk -F'\t' "$common_awk"'
        {
            dot = index($1, ".")
            n = substr($1, 1, dot - 1); name = substr($1, dot + 1)
            v[n, name] = $2
            if (name ~ /^moved\.host_to_device\./) up[n] += $2
            if (name ~ /^moved\.device_to_host\./) down[n] += $2
            if (n + 1 > rows) rows = n + 1
        }
        END {
            for (n = 0; n < rows; n++) {
                data = v[n, "bytes_bound"]; memory = v[n, "device_memory"]; total = v[n, "seconds.total"]
                # In brackets, since a bare > would write to a file.
                printf("| %s | %s | %s | %.2f | %s | %s | %s | %s | %s | %d | %s |\n", v[n, "name"], bytes(data), bytes(memory),
                    memory > 0 ? data / memory : 0, seconds(total), seconds(v[n, "seconds.kernel"]),
                    total > 0 ? sprintf("%.3g GB", data / total / 1e9) : "-", bytes(up[n]), bytes(down[n]), v[n, "passes"],
                    v[n, "verified"] == "true" ? "yes" : "NO")
            }
        }'
}

bench_table() {
    printf '\n## gmem bench\n\n'
    # shellcheck disable=SC2016
    printf 'Ratios are ours over the baseline, both run in turn in one process; less is better. `bench.html` has the plots.\n\n'
    printf '| id | case | figure | goal | ratio | ours | baseline | the baseline is | bytes | verified | note |\n'
    printf '|---|---|--:|--:|--:|--:|--:|---|--:|---|---|\n'
    flat "$folder/bench.json" | cells | awk -F'\t' "$common_awk"'
        $1 ~ /^0\.rows\./ {
            split($1, part, ".")
            n = part[3]; v[n, part[4]] = $2
            if (n + 1 > rows) rows = n + 1
        }
        END {
            for (n = 0; n < rows; n++) {
                unit_of = v[n, "unit"]
                shown = (n, "figure") in v ? figure(v[n, "figure"]) (unit_of == "" || unit_of == "x" ? "" : " " unit_of) : figure(v[n, "ratio"])
                printf "| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", v[n, "id"], v[n, "case"], shown,
                    figure(v[n, "goal"]), figure(v[n, "ratio"]), seconds(v[n, "ours_s"]), seconds(v[n, "baseline_s"]),
                    word(v[n, "baseline"]), bytes(v[n, "bytes"]), v[n, "verified"] == "true" ? "yes" : "NO", v[n, "note"]
            }
        }'
}

cuda_table() {
    printf '\n## CUDA on the same machine\n\n'
    # shellcheck disable=SC2016
    printf 'From inputs just written by the CPU to every result read by it (`managed.cu` says how). The data is that of all arrays.\n\n'
    printf '| case | variant | seconds | spread | data | data a second | verified |\n|---|---|--:|--:|--:|--:|---|\n'
    flat "$folder/cuda.jsonl" | cells | awk -F'\t' "$common_awk"'
        {
            dot = index($1, ".")
            n = substr($1, 1, dot - 1)
            v[n, substr($1, dot + 1)] = $2
            if (n + 1 > rows) rows = n + 1
        }
        END {
            for (n = 0; n < rows; n++) {
                if (v[n, "case"] == "") continue
                if (v[n, "skipped"] != "") {
                    printf "| %s | %s | - | - | - | - | not run: %s |\n", v[n, "case"], v[n, "variant"], v[n, "skipped"]
                    continue
                }
                printf "| %s | %s | %s | %.1f %% | %s | %s GB | %s |\n", v[n, "case"], v[n, "variant"], seconds(v[n, "seconds_median"]),
                    100 * v[n, "spread"], bytes(v[n, "bytes"]), figure(v[n, "gb_s"]), v[n, "verified"] == "true" ? "yes" : "NO"
            }
        }'
}

steps_table() {
    printf '\n## Steps\n\n| step | result | seconds | note |\n|---|---|--:|---|\n'
    if [ -s "$work/steps.tsv" ]; then
        cells <"$work/steps.tsv" | awk -F'\t' '{ printf "| %s | %s | %s | %s |\n", $1, $2, $3, $4 }'
    fi
}

# A file of results that cannot be read costs its own table only.
part() {
    if [ -s "$folder/$1" ]; then "$2" || printf '\n%s cannot be read.\n' "$1"; fi
}

write_page() {
    {
        cat "$work/head.md"
        if [ "$steps_failed" = 0 ]; then
            [ "$steps_run" = 1 ] && printf '\nThe one step that was run passed.\n' || printf '\nAll %d steps that were run passed.\n' "$steps_run"
        else
            printf '\n**%d of %d steps did not pass.**\n' "$steps_failed" "$steps_run"
        fi
        part bench.json bench_table
        part cuda.jsonl cuda_table
        part demos.jsonl demos_table
        steps_table
    } >"$work/page.md"
    cp "$work/page.md" "$folder/README.md"
}
