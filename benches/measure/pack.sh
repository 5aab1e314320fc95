#!/usr/bin/env bash
# Packs what a machine with a GPU and no toolchain needs to measure gmem: see `usage` below.
set -euo pipefail
export LC_ALL=C

here=${BASH_SOURCE[0]}
# Whoever calls it by a link means what the link leads to.
while [ -L "$here" ]; do
    to=$(readlink "$here")
    case $to in /*) here=$to ;; *) here=$(dirname "$here")/$to ;; esac
done
here=$(cd "$(dirname "$here")" && pwd)
root=$(cd "$here/../.." && pwd)

usage() {
    cat <<'USAGE'
Usage: pack.sh [OUT_DIR]

Builds gmem and its GPU tests for release and puts them, stripped, into OUT_DIR [default: target/measure] with run.sh, the kernels
that tests read and the CUDA program; then into the archive OUT_DIR.tar.xz (.tar.gz, and much larger, where there is no xz, or where it
fails: it takes some 3 GiB of memory, and unpacking 0.4 GiB). On the machine to be measured:

  tar xf measure.tar.xz && measure/run.sh

That machine needs the same system and processor family, a C library no older than the one here, xz, and its GPU's driver.
USAGE
}

case ${1:-} in
    --help | -h)
        usage
        exit 0
        ;;
    -*)
        printf 'error: %s is not known: pack.sh --help\n' "$1" >&2
        exit 2
        ;;
esac
if [ $# -gt 1 ]; then
    printf 'error: one folder, not %s: pack.sh --help\n' "$#" >&2
    exit 2
fi
if ! command -v cargo >/dev/null; then
    printf 'error: there is no cargo here: pack on a machine with Rust, measure on any\n' >&2
    exit 1
fi
out=${1:-$root/target/measure}
# More than this is a nuisance to carry, or a sign of something packed by mistake.
most=$((64 << 20))

# What was packed here before is replaced; anything else is somebody's own.
mark=.packed-by-gmem
if [ -e "$out" ] && [ ! -e "$out/$mark" ] && [ -n "$(ls -A "$out")" ]; then
    printf 'error: %s is there and was not made by pack.sh: name another folder\n' "$out" >&2
    exit 2
fi
mkdir -p "$out"
out=$(cd "$out" && pwd)

# ---- build

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$root"
cargo build --release --package gmem --bin gmem --message-format=json-render-diagnostics >"$work/command"
cargo test --release --no-run --package gmem --package gmem-wgpu --lib --bins --tests \
    --message-format=json-render-diagnostics >"$work/tests"

# Not before all of it is built: until then, what is there is whole.
touch "$out/$mark"
(cd "$out" && rm -rf bin tests kernels cuda left-out commit)
mkdir -p "$out/bin" "$out/tests" "$out/kernels" "$out/cuda"

# executables FILE: the path, kind, name and manifest of each executable that cargo names, with tabs between them.
executables() {
    grep '"reason":"compiler-artifact"' "$1" | grep -v '"executable":null' | awk -f "$here/json.awk" | awk -F'\t' '
        { dot = index($1, "."); n = substr($1, 1, dot - 1); v[n, substr($1, dot + 1)] = $2; if (n + 1 > all) all = n + 1 }
        END {
            for (n = 0; n < all; n++)
                print v[n, "executable"] "\t" v[n, "target.kind.0"] "\t" v[n, "target.name"] "\t" v[n, "manifest_path"] "\t" v[n, "profile.test"]
        }'
}

# place FROM TO: copied and stripped.
place() {
    cp "$1" "$2"
    strip "$2" 2>/dev/null || printf 'note: %s is not stripped: there is no strip here that does it\n' "$2"
}

executables "$work/command" >"$work/built"
while IFS=$'\t' read -r file kind _; do
    if [ "$kind" = bin ]; then place "$file" "$out/bin/$(basename "$file")"; fi
done <"$work/built"

# ---- tests

# Why a test program is not packed, or nothing: not_packed PACKAGE NAME
not_packed() {
    case $1-$2 in
        gmem-lib | gmem-check) echo "without a device" ;;
        gmem-brought | gmem-constructs | gmem-edges | gmem-measure) echo "reads the source tree" ;;
        gmem-failures | gmem-misuse | gmem-oracle_sim | gmem-prefetch | gmem-raw) echo "on the simulated device" ;;
    esac
}

# Arguments that a test program always gets: what in it cannot run without the source tree.
arguments() {
    case $1-$2 in
        gmem-caps) echo "--skip buffers_are_made_in_one_place" ;;
    esac
}

executables "$work/tests" >"$work/built"
while IFS=$'\t' read -r file kind name manifest tests; do
    [ "$tests" = true ] || continue
    case $manifest in
        *device-backends?wgpu?Cargo.toml) package=gmem-wgpu ;;
        *) package=gmem ;;
    esac
    case $kind in
        test) ;;
        bin) name="command" ;;
        *) name=lib ;;
    esac
    why=$(not_packed "$package" "$name")
    if [ -n "$why" ]; then
        printf '%s-%s (%s)\n' "$package" "$name" "$why" >>"$out/left-out"
        continue
    fi
    case $file in *.exe) name=$name.exe ;; esac
    place "$file" "$out/tests/$package-$name"
    given=$(arguments "$package" "$name")
    printf '%s-%s%s\n' "$package" "$name" "${given:+ $given}" >>"$out/tests/list"
    if [ -n "$given" ]; then printf '%s-%s: %s (reads the source tree)\n' "$package" "$name" "${given#--skip }" >>"$out/left-out"; fi
done <"$work/built"
sort -o "$out/tests/list" "$out/tests/list"
sort -o "$out/left-out" "$out/left-out"

# ---- what is read at run time

cp "$root"/shaders/tests/in/*.wgsl "$out/kernels/"
cp "$here/cuda/managed.cu" "$out/cuda/"
cp "$here/run.sh" "$here/machine.sh" "$here/report.sh" "$here/json.awk" "$out/"
{
    git -C "$root" describe --always --dirty=', with changes' 2>/dev/null || echo "no commit"
    rustc --version
    rustc -vV | sed -n 's/^host: /for /p'
} | paste -sd ',' - | sed 's/,\([^ ]\)/, \1/g' >"$out/commit"

# ---- what came of it

# Each test program has all of wgpu in it: what is the same in the next is found again when a dictionary holds both.
rm -f "$out.tar.gz" "$out.tar.xz"
# Packs it with a command into a file, which is not there unless all went well: packed FILE COMMAND...
packed() {
    archive=$1
    shift
    tar -C "$(dirname "$out")" -cf - "$(basename "$out")" | "$@" >"$work/archive" && mv "$work/archive" "$archive"
}
packed "$out.tar.xz" xz -T1 --lzma2=preset=1,dict=384MiB || packed "$out.tar.gz" gzip
size=$(($(wc -c <"$archive")))
mib() {
    awk -v bytes="$1" 'BEGIN { printf "%.1f MiB", bytes / 1048576 }'
}
printf '%s: %s tests\n' "$out" "$(grep -c . "$out/tests/list")"
printf 'not packed:\n'
sed 's/^/  /' "$out/left-out"
printf 'largest:\n'
(cd "$out" && find . -type f -exec wc -c {} + | awk '$2 != "total" { print $1, $2 }' | sort -rn | awk 'NR <= 4' | while read -r bytes file; do
    printf '  %s  %s\n' "$(mib "$bytes")" "${file#./}"
done)
if command -v objdump >/dev/null; then
    needs=$(objdump -T "$out/bin/gmem" 2>/dev/null | grep -o 'GLIBC_[0-9.]*' | sort -t_ -k2 -V -u | tail -n 1 || true)
    if [ -n "$needs" ]; then printf 'C library: %s or later\n' "${needs/_/ }"; fi
fi
printf '%s: %s\n' "$archive" "$(mib "$size")"
if [ "$size" -gt "$most" ]; then
    printf 'note: that is over %s: see above for what is largest%s\n' "$(mib "$most")" "$(command -v xz >/dev/null || echo ', or install xz')" >&2
fi
