# shellcheck shell=bash
# What is known of the machine, from what every system has: nothing here needs more than a shell, awk and a driver.
#
# Functions print one value and succeed; what cannot be found out is printed as nothing, or as 0 where a number is promised.

machine_cores() {
    nproc 2>/dev/null || sysctl -n hw.ncpu 2>/dev/null || getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1
}

machine_processor() {
    local name=""
    if [ -r /proc/cpuinfo ]; then
        name=$(awk -F': *' '/^(model name|Model|Hardware)[ \t]*:/ { print $2; exit }' /proc/cpuinfo)
    fi
    [ -n "$name" ] || name=$(sysctl -n machdep.cpu.brand_string 2>/dev/null || uname -m)
    printf '%s\n' "$name"
}

# Without the machine's name on the network, which is nobody's business.
machine_system() {
    local name=""
    if [ -r /etc/os-release ]; then
        name=$(awk -F= '$1 == "PRETTY_NAME" { gsub(/"/, "", $2); print $2 }' /etc/os-release)
    elif command -v sw_vers >/dev/null; then
        name="macOS $(sw_vers -productVersion)"
    fi
    printf '%s\n' "${name:+$name, }$(uname -srm)"
}

# The limit of a control group, or nothing.
group_limit() {
    local file limit
    for file in /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes; do
        [ -r "$file" ] || continue
        limit=$(cat "$file")
        # No limit is a word in version 2, and more than any machine has in version 1.
        case $limit in
            max | ????????????????*) ;;
            *) printf '%s\n' "$limit" ;;
        esac
        return 0
    done
}

machine_memory_total() {
    local total=0 limit
    if [ -r /proc/meminfo ]; then
        total=$(awk '$1 == "MemTotal:" { printf "%.0f", $2 * 1024 }' /proc/meminfo)
    else
        total=$(sysctl -n hw.memsize 2>/dev/null || echo 0)
    fi
    limit=$(group_limit)
    if [ -n "$limit" ] && [ "$limit" -lt "$total" ]; then total=$limit; fi
    printf '%s\n' "$total"
}

# Bytes that can be had without swapping: the system's word, and less where a control group gives less.
machine_memory_free() {
    local free=0 limit used cache left
    if [ -r /proc/meminfo ]; then
        free=$(awk '$1 == "MemAvailable:" { printf "%.0f", $2 * 1024 }' /proc/meminfo)
    elif command -v vm_stat >/dev/null; then
        free=$(vm_stat | awk '
            /page size of/ { for (i = 1; i < NF; i++) if ($i == "of") size = $(i + 1) }
            /^Pages (free|inactive|speculative|purgeable):/ { gsub(/\./, "", $NF); pages += $NF }
            END { printf "%.0f", pages * size }')
    fi
    limit=$(group_limit)
    if [ -n "$limit" ]; then
        used=$(cat /sys/fs/cgroup/memory.current 2>/dev/null || cat /sys/fs/cgroup/memory/memory.usage_in_bytes 2>/dev/null || echo 0)
        cache=$(cat /sys/fs/cgroup/memory.stat /sys/fs/cgroup/memory/memory.stat 2>/dev/null |
            awk '$1 == "inactive_file" { bytes = $2 } END { printf "%.0f", bytes }')
        left=$((limit - used + cache))
        if [ "$left" -lt "$free" ]; then free=$left; fi
    fi
    printf '%s\n' "${free:-0}"
}

# One row of nvidia-smi for the card whose name is in the adapter's: adapter_nvidia ADAPTER FIELD,FIELD,...
adapter_nvidia() {
    local adapter=$1 fields=$2 name rest
    command -v nvidia-smi >/dev/null || return 0
    nvidia-smi --query-gpu="name,$fields" --format=csv,noheader,nounits 2>/dev/null | while IFS=, read -r name rest; do
        case $adapter in
            *"$name"*)
                printf '%s\n' "${rest# }"
                break
                ;;
        esac
    done || true
}

# Bytes of memory on the card of an adapter; 0 where they are not known.
adapter_memory() {
    local adapter=$1 mib files
    mib=$(adapter_nvidia "$adapter" memory.total)
    if [ -n "$mib" ] && [ -z "${mib//[0-9]/}" ]; then
        printf '%s\n' "$((mib << 20))"
        return 0
    fi
    case $adapter in
        *AMD* | *Radeon*)
            files=$(ls /sys/class/drm/card*/device/mem_info_vram_total 2>/dev/null || true)
            # Of several cards nobody here knows which one it is.
            if [ "$(printf '%s\n' "$files" | grep -c .)" = 1 ]; then
                cat "$files"
                return 0
            fi
            ;;
    esac
    echo 0
}

# Bytes from a number with or without KiB, MiB, GiB, TiB (or K, M, G, T); fails for anything else.
bytes_of() {
    local text=$1 number unit
    number=${text%%[!0-9]*}
    unit=${text#"$number"}
    [ -n "$number" ] || return 1
    case $unit in
        "" | B) printf '%s\n' "$number" ;;
        K | KiB) printf '%s\n' "$((number << 10))" ;;
        M | MiB) printf '%s\n' "$((number << 20))" ;;
        G | GiB) printf '%s\n' "$((number << 30))" ;;
        T | TiB) printf '%s\n' "$((number << 40))" ;;
        *) return 1 ;;
    esac
}

# Bytes as people read them: 1.5 GiB.
show_bytes() {
    awk -v bytes="$1" 'BEGIN {
        split("B KiB MiB GiB TiB PiB", unit, " ")
        for (i = 1; bytes >= 1024 && i < 6; i++) bytes /= 1024
        text = sprintf(bytes < 10 && i > 1 ? "%.2f" : bytes < 100 && i > 1 ? "%.1f" : "%.0f", bytes)
        if (index(text, ".")) sub(/\.?0+$/, "", text)
        print text " " unit[i]
    }'
}

# Words for a folder's name: lower case letters, digits, dots and dashes, at most so many characters.
slug() {
    printf '%s' "$1" | tr '[:upper:]' '[:lower:]' | tr -cs 'a-z0-9.' '-' | cut -c "1-$2" | sed 's/^[-.]*//; s/[-.]*$//'
}
