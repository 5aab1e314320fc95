#!/usr/bin/env bash
# Measures gmem on this machine: see `usage` below. `pack.sh` makes the folder that this runs in.
# shellcheck source-path=SCRIPTDIR
set -euo pipefail
# Numbers with points, whatever the user's language.
export LC_ALL=C

here=${BASH_SOURCE[0]}
# Whoever calls it by a link means what the link leads to.
while [ -L "$here" ]; do
    to=$(readlink "$here")
    case $to in /*) here=$to ;; *) here=$(dirname "$here")/$to ;; esac
done
here=$(cd "$(dirname "$here")" && pwd)
# shellcheck source=machine.sh
. "$here/machine.sh"

usage() {
    cat <<'USAGE'
Usage: run.sh [OPTIONS] [OUT]

Runs gmem's tests on a GPU, its demonstrations at real sizes, `gmem bench`, and beside them CUDA's managed memory where nvcc is to
be had. Needs this folder and the GPU's driver, and neither a toolchain nor a network. Writes a page (README.md), bench.html, and what
they were made from into OUT/DATE-ADAPTER-BACKEND-DRIVER [default of OUT: here, in the current folder].

  --quick                     smaller data and shorter limits
  --skip STEP,...             leave out: tests, demos, bench, cuda
  --adapter NAME              vulkan, gl, metal, dx12, or a part of a name that `bin/gmem info` shows [default: the first]
  --device-memory-total SIZE  memory of the device, where it cannot be found out: 16GiB [a quarter of it is a budget of the demos]
  --limit SECONDS             the most that any one step may take
  --help

A step that fails is recorded and the others are run all the same.
Exit status: 0 when all passed, 1 when something did not, 2 for bad arguments or a folder that was not packed.
USAGE
}

refuse() {
    printf 'error: %s\n' "$1" >&2
    exit 2
}

quick="" skip="" adapter="" total="" most="" out=""
while [ $# -gt 0 ]; do
    case $1 in
        --quick) quick=yes ;;
        --skip | --adapter | --device-memory-total | --limit)
            [ $# -ge 2 ] || refuse "$1 needs a value: run.sh --help"
            case $1 in
                --skip) skip=$2 ;;
                --adapter) adapter=$2 ;;
                --device-memory-total) total=$(bytes_of "$2") || refuse "\`$2\` is not a size: write for example 16GiB" ;;
                --limit)
                    most=$2
                    case $most in "" | *[!0-9]* | 0*) refuse "--limit takes a number of seconds" ;; esac
                    ;;
            esac
            shift
            ;;
        --help | -h)
            usage
            exit 0
            ;;
        -*) refuse "\`$1\` is not known: run.sh --help" ;;
        *)
            [ -z "$out" ] || refuse "one folder for results, not both \`$out\` and \`$1\`"
            out=$1
            ;;
    esac
    shift
done
IFS=, read -r -a words <<<"$skip"
for word in ${words[@]+"${words[@]}"}; do
    case $word in
        tests | demos | bench | cuda) ;;
        *) refuse "there is no step \`$word\` to skip: tests, demos, bench, cuda" ;;
    esac
done
[ -x "$here/bin/gmem" ] || refuse "$here holds no gmem: pack.sh, in the source tree, makes the folder that this runs in"

skipped() {
    case ",$skip," in *",$1,"*) return 0 ;; esac
    return 1
}

# limit FULL QUICK: seconds that a step may take.
limit() {
    local seconds=$1
    if [ -n "$quick" ]; then seconds=$2; fi
    if [ -n "$most" ] && [ "$most" -lt "$seconds" ]; then seconds=$most; fi
    printf '%s\n' "$seconds"
}

gmem=$here/bin/gmem
choice=()
if [ -n "$adapter" ]; then choice=(--adapter "$adapter"); fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Where there is no session there is none, and EGL complains.
export XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-$work}"

# ---- the machine, and from it the folder's name

folder=$work # until it has its name
# shellcheck source=report.sh
. "$here/report.sh"

if ! "$gmem" info --json ${choice[@]+"${choice[@]}"} >"$work/info.json" 2>"$work/err"; then
    cat "$work/err" >&2
    printf 'error: gmem finds no such adapter here; %s info lists what there is\n' "$gmem" >&2
    exit 1
fi
flat "$work/info.json" >"$work/info.tsv"
fact() {
    awk -F'\t' -v path="0.$1" '$1 == path { print $2 }' "$work/info.tsv"
}
name=$(fact device.name) backend=$(fact device.backend)
if [ "$backend" = sim ] || [ -z "$backend" ]; then
    reason=$(fact device.reason)
    printf 'error: %s\n' "${reason:-there is no GPU adapter here that gmem can open: install a driver}" >&2
    exit 1
fi
# The entry of that adapter among all.
entry=$(awk -F'\t' -v name="$name" -v backend="$backend" '
    { split($1, part, ".") }
    part[2] == "adapters" && ((part[4] == "name" && $2 == name) || (part[4] == "backend" && $2 == backend)) {
        if (++matches[part[3]] == 2 && !found++) print part[3]
    }' "$work/info.tsv")
driver=$(fact "adapters.$entry.driver") kind=$(fact "adapters.$entry.kind")
if [ -z "$total" ]; then total=$(adapter_memory "$name"); fi

date=$(date -u +%Y-%m-%d)
# What stands in brackets is detail, and some drivers begin with the adapter's name again.
short=$(slug "${name%% (*}" 40)
version=$(slug "$(printf '%s' "$driver" | sed 's/([^)]*)//g')" 40)
version=${version#"$short"}
version=${version#-}
title=$date-$short-$backend${version:+-$version}
folder=${out:-.}/$title
number=2
while [ -e "$folder" ]; do
    folder=${out:-.}/$title-$number
    number=$((number + 1))
done
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
cp "$work/info.json" "$folder/info.json"
printf '%s\n' "$folder"

free=$(machine_memory_free)
row() {
    if [ -n "$2" ]; then printf '| %s | %s |\n' "$1" "$2" | sed 's/  */ /g'; fi
}
{
    printf '# gmem on %s (%s), %s\n\n| | |\n|---|---|\n' "$name" "$backend" "$date"
    row "started" "$(date -u '+%Y-%m-%d %H:%M UTC')"
    row "run" "$([ -n "$quick" ] && echo quick || echo full)${skip:+, without ${skip//,/, }}"
    row "gmem" "$(cat "$here/commit" 2>/dev/null || true)"
    row "adapter" "$name, $kind, by $backend"
    row "driver" "$driver"
    if [ "$total" -gt 0 ]; then row "device memory" "$(show_bytes "$total")"; fi
    row "largest binding" "$(show_bytes "$(fact "adapters.$entry.limits.storage_binding_bytes")")"
    row "card, PCIe generation and width, memory free (MiB)" \
        "$(adapter_nvidia "$name" driver_version,pcie.link.gen.current,pcie.link.width.current,memory.free)"
    row "host mechanism" "$(fact host.reason)"
    row "processor" "$(machine_processor), $(machine_cores) cores"
    row "memory" "$(show_bytes "$(machine_memory_total)"), $(show_bytes "$free") free"
    row "system" "$(machine_system)"
    if [ -s "$here/left-out" ]; then row "tests not packed" "$(paste -sd ';' "$here/left-out" | sed 's/;/; /g')"; fi
    if [ -z "$limiter" ]; then row "limits" "none: there is no \`timeout\` here"; fi
} >"$work/head.md"
{
    printf '%s\n' "$title"
    uname -srm
    if command -v nvidia-smi >/dev/null; then nvidia-smi 2>&1 || true; fi
    printf '\n'
} >"$folder/log.txt"
write_page

# ---- tests

run_tests() {
    local line packed seconds threads first note
    seconds=$(limit 900 300)
    threads=$(machine_cores)
    if [ "$threads" -gt 4 ]; then threads=4; fi
    # Tests know backends, not names.
    "$gmem" info --json --adapter "$backend" >"$work/first.json" 2>/dev/null || true
    first=$(json_get "$work/first.json" 0.device.name)
    note=""
    if [ "$first" != "$name" ]; then note="on $first, the first adapter of $backend"; fi
    while IFS= read -r line; do
        read -r -a packed <<<"$line"
        run_step "tests ${packed[0]}" "$seconds" env GMEM_TEST_ADAPTER="$backend" GMEM_TEST_COMMAND="$gmem" \
            GMEM_TEST_KERNELS="$here/kernels" "$here/tests/${packed[0]}" --show-output --test-threads "$threads" "${packed[@]:1}"
        # A test without its adapter passes, and has shown nothing.
        if grep -Eq '^skipped( in .*)?: (GMEM_TEST_ADAPTER is|no adapter|there is no adapter)' "$work/out" "$work/err" ||
            grep -Eq "^skipped in [^ ]*: $backend: " "$work/err"; then
            refuse_step "FAILED: without an adapter"
        fi
        record "tests ${packed[0]}" "$step_result" "$step_seconds" "$(test_note "$note")"
    done <"$here/tests/list"
}

# What a test program says of itself.
test_note() {
    local counts skips failed
    counts=$(awk '/^test result:/ { sub(/^test result: [A-Za-z]*\. /, ""); sub(/; 0 measured.*/, ""); print }' "$work/out" | paste -sd ';' -)
    skips=$(cat "$work/out" "$work/err" | grep -Ec '^skipped' || true)
    failed=$(awk '/^failures:$/ { names = "" ; on = 1; next } on && /^    [^ ]+$/ { names = names " " $1 } END { print names }' "$work/out")
    if [ "$skips" != 0 ]; then counts="$counts; $skips parts skipped, see the log"; fi
    printf '%s%s%s\n' "$counts" "${failed:+; failed:$failed}" "${1:+; $1}"
}

if skipped tests; then leave_out tests "as asked"; else run_tests; fi

# ---- demonstrations

# keep_rate DEMO SECONDS BYTES: how long it last took for how much.
keep_rate() {
    printf '%s %s\n' "$2" "$3" >"$work/rate-$1"
}
# bytes_in_time DEMO LIMIT: data that takes half of a limit at that rate; less where time grows faster than the data.
bytes_in_time() {
    local part=2
    if [ "$1" = pagerank ]; then part=6; fi
    awk -v limit="$2" -v part="$part" '{ printf "%.0f", $2 * limit / part / ($1 > 0 ? $1 : 0.1) }' "$work/rate-$1"
}

# demo NAME MEMORY DATA
demo() {
    local demo=$1 memory=$2 data=$3 seconds step
    seconds=$(limit 300 60)
    step="demo $demo, $(show_bytes "$data") in $(show_bytes "$memory")"
    rm -f "$work/report.json"
    run_step "$step" "$seconds" "$gmem" demo "$demo" --size "$data" --device-memory "$memory" ${choice[@]+"${choice[@]}"} \
        --report "$work/report.json"
    if [ -s "$work/report.json" ]; then
        tr '\n' ' ' <"$work/report.json" | sed 's/  */ /g' >>"$folder/demos.jsonl"
        printf '\n' >>"$folder/demos.jsonl"
        if [ "$(json_get "$work/report.json" 0.verified)" != true ]; then refuse_step "FAILED: not verified"; fi
    fi
    if [ "$step_result" = passed ]; then keep_rate "$demo" "$step_seconds" "$data"; fi
    record "$step" "$step_result" "$step_seconds" ""
}

run_demos() {
    local memory demo data bound seconds small=$((64 << 20)) budgets=$((1 << 30))
    seconds=$(limit 300 60)
    if [ "$total" -gt 0 ]; then
        budgets="$budgets $((total / 4))"
    else
        leave_out "demos in a quarter of the device" "its memory is not known: --device-memory-total"
    fi
    # The small ones show how long the large ones would take.
    for demo in triad heat histogram; do demo "$demo" "$small" $((4 * small)); done
    demo pagerank $((small / 8)) $((small / 2))
    for memory in $budgets; do
        for demo in triad heat pagerank histogram; do
            if [ ! -e "$work/rate-$demo" ]; then
                leave_out "demo $demo in $(show_bytes "$memory")" "the small one did not pass"
                continue
            fi
            data=$((4 * memory))
            free=$(machine_memory_free)
            # Data, what it is verified against, and the rest of the machine.
            bound=$((free / 3))
            if [ "$free" -gt 0 ] && [ "$data" -gt "$bound" ]; then data=$bound; fi
            bound=$(bytes_in_time "$demo" "$seconds")
            if [ "$data" -gt "$bound" ]; then data=$bound; fi
            # Its bins count to 2^32 - 1.
            if [ "$demo" = histogram ] && [ "$data" -ge $((1 << 32)) ]; then data=$(((1 << 32) - 1)); fi
            data=$((data >> 20 << 20))
            case $demo-$name in pagerank-llvmpipe*)
                if [ "$data" -gt $((96 << 20)) ]; then
                    leave_out "demo $demo in $(show_bytes "$memory")" \
                        "this driver leaves a loop after 65,535 rounds, and nodes of so large a graph have more edges"
                    continue
                fi
                ;;
            esac
            if [ "$data" -lt $((memory / 2)) ]; then
                leave_out "demo $demo in $(show_bytes "$memory")" "only $(show_bytes "$data") would fit the host's memory and the time"
                continue
            fi
            demo "$demo" "$memory" "$data"
        done
    done
}

if skipped demos; then leave_out demos "as asked"; else run_demos; fi

# ---- gmem bench

run_bench() {
    local seconds
    seconds=$(limit 2400 600)
    run_step "gmem bench" "$seconds" "$gmem" bench ${quick:+--quick} --json "$folder/bench.json" --html "$folder/bench.html" \
        ${choice[@]+"${choice[@]}"}
    # Not grep -q, which may end before what it reads from, and that is an error here.
    if [ "$step_result" = passed ] && ! flat "$folder/bench.json" | grep '^0\.rows\.0\.' >/dev/null; then refuse_step "FAILED: it left no rows"; fi
    record "gmem bench" "$step_result" "$step_seconds" ""
}

if skipped bench; then leave_out "gmem bench" "as asked"; else run_bench; fi

# ---- CUDA

find_nvcc() {
    local nvcc
    for nvcc in "$(command -v nvcc || true)" "${CUDA_HOME:-/nowhere}/bin/nvcc" /usr/local/cuda/bin/nvcc /opt/cuda/bin/nvcc /usr/local/cuda-*/bin/nvcc; do
        if [ -n "$nvcc" ] && [ -x "$nvcc" ]; then
            printf '%s\n' "$nvcc"
            return 0
        fi
    done
}

run_cuda() {
    local nvcc architecture index
    case $name in *NVIDIA*) ;; *)
        leave_out CUDA "no NVIDIA adapter"
        return 0
        ;;
    esac
    nvcc=$(find_nvcc)
    if [ -z "$nvcc" ]; then
        leave_out CUDA "there is no nvcc here"
        return 0
    fi
    # For the card itself where this nvcc knows it; else the driver compiles for it, which the round that does not count takes.
    architecture=sm_$(adapter_nvidia "$name" compute_cap | tr -d '. ')
    if ! "$nvcc" --list-gpu-code 2>/dev/null | grep -x "$architecture" >/dev/null; then architecture=""; fi
    run_step "build managed.cu" "$(limit 300 300)" "$nvcc" -O3 ${architecture:+-arch="$architecture"} -o "$work/managed" \
        "$here/cuda/managed.cu"
    record "build managed.cu" "$step_result" "$step_seconds" "$("$nvcc" --version | awk '/release/ { sub(/.*release /, ""); print "CUDA " $0 }')"
    [ "$step_result" = passed ] || return 0
    index=$(adapter_nvidia "$name" index)
    if [ -n "${CUDA_VISIBLE_DEVICES:-}" ]; then index=0; fi
    run_step "CUDA managed memory" "$(limit 900 300)" env CUDA_DEVICE_ORDER=PCI_BUS_ID "$work/managed" --device "${index:-0}" \
        --rounds "$([ -n "$quick" ] && echo 3 || echo 7)" --bytes "$([ -n "$quick" ] && echo $((1 << 28)) || echo $((1 << 30)))"
    # Whole lines only, should it have been stopped within one.
    grep '}$' "$work/out" >"$folder/cuda.jsonl" || true
    record "CUDA managed memory" "$step_result" "$step_seconds" ""
}

if skipped cuda; then leave_out CUDA "as asked"; else run_cuda; fi

write_page
printf '%s of %s steps passed: %s\n' "$((steps_run - steps_failed))" "$steps_run" "$folder/README.md"
[ "$steps_failed" = 0 ]
