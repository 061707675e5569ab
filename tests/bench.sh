#!/usr/bin/env bash
# Times builds of recipes/hello.toml side by side with mmdebstrap and `mke2fs -d` for the same packages, in one run of
# hyperfine, and writes the table to tests/results/bench.md. Called by `./make.sh bench`, as root. No side downloads a
# package: Firstlight has them in its store, mmdebstrap in its apt cache; both fetch the indices anew. RUNS says how often
# (3). `bench.sh CASE` is one build, as hyperfine calls it.
set -euo pipefail
cd "$(dirname "$0")/.."

runs=${RUNS:-3}
work=$PWD/target/bench
self=$PWD/tests/bench.sh
result=tests/results/bench.md
recipe=$work/recipes/hello.toml
export FIRSTLIGHT_CACHE=$work/cache PATH=$PATH:/usr/sbin:/sbin

say() { printf '\n== %s\n' "$*" >&2; }

firstlight() { target/release/firstlight build "$recipe" --out "$work/out"; }

# The names that the recipe and its base list on the first line, then each suite: nothing is resolved here.
lists() {
    python3 - "$recipe" "$work/recipes/bases/debian-13.toml" <<'END'
import sys, tomllib
recipe, base = (tomllib.load(open(path, "rb")) for path in sys.argv[1:])
kernel = base["kernel"].get(recipe.get("target", "both"), base["kernel"]["metal"])
print(",".join(base["packages"] + kernel + base["platforms"][recipe["platform"]["kind"]] + recipe.get("packages", [])))
for source in base["sources"]:
    for suite in source["suites"]:
        print(source["archive"], suite, *source["components"])
END
}

others() {
    local all include mirror archive rest sources=() inside='"$1"/var/cache/apt/archives'
    all=$(lists)
    include=${all%%$'\n'*}
    mirror=$(apt-get indextargets --format '$(ORIGIN) $(REPO_URI)' | sed -n 's#^Debian \(.*\)/debian/*$#\1#p' | sed -n 1p)
    while read -r archive rest; do
        sources+=("deb [signed-by=$work/recipes/bases/keys/debian-13.asc] ${mirror:-http://ftp.de.debian.org}/$archive $rest")
    done <<<"${all#*$'\n'}"
    mmdebstrap --quiet --variant=essential --format=directory --mode=root --include="$include" \
        --skip=download/empty --skip=essential/unlink \
        --setup-hook="mkdir -p $inside && find $work/debs -name '*.deb' -exec cp -lt $inside {} +" \
        --customize-hook="cp -lnt $work/debs $inside/*.deb" \
        trixie "$work/others" "${sources[@]}"
    mke2fs -q -F -t ext4 -d "$work/others" "$work/others.ext4" 2000M
}

case "${1:-}" in
    firstlight | others) "$1"; exit ;;
    "") ;;
    *) sed -n '2,/^set -/s/^# \{0,1\}//p' "$0" >&2; exit 1 ;;
esac

[ "$(id -u)" = 0 ] || { echo "bench.sh: run it as root: mmdebstrap makes device nodes and keeps owners" >&2; exit 1; }
rm -rf --one-file-system "$work"
mkdir -p "$work/debs" "$work/overlays/bench/etc" "$(dirname "$result")"

# A recipe of its own, with an overlay in which one file can be changed.
cp -r recipes overlays "$work/"
sed -i '0,/^bases = /s//overlays = ["bench"]\n&/' "$recipe"
change="date +%s%N >$work/overlays/bench/etc/bench"
cold="rm -rf $work/cache/stages"
clear_others="rm -rf $work/others $work/others.ext4"
sh -c "$change"

say "fetching the packages for both sides"
firstlight >/dev/null
others >&2

say "timing, $runs runs of each"
hyperfine --shell sh --runs "$runs" --export-json "$work/times.json" \
    --prepare "$clear_others" --command-name "mmdebstrap and mke2fs -d" "$self others" \
    --prepare "$cold" --command-name "firstlight, no finished stage" "$self firstlight" \
    --prepare true --command-name "firstlight, one overlay file changed" "$change; $self firstlight" \
    --prepare true --command-name "firstlight, nothing changed" "$self firstlight" >&2

# memory CASE: the resident memory of the largest process, then by how much tmpfs grew, in MiB.
memory() {
    local before peak=0 now builder
    before=$(awk '$1 == "Shmem:" { print $2 }' /proc/meminfo)
    /usr/bin/time -f %M -o "$work/memory" "$self" "$1" >/dev/null 2>&1 &
    builder=$!
    while kill -0 "$builder" 2>/dev/null; do
        now=$(awk '$1 == "Shmem:" { print $2 }' /proc/meminfo)
        [ "$now" -le "$peak" ] || peak=$now
        sleep 0.2
    done
    wait "$builder"
    echo "$(($(tail -n 1 "$work/memory") / 1024)) $((peak > before ? (peak - before) / 1024 : 0))"
}

say "measuring memory"
sh -c "$clear_others"; others_memory=$(memory others)
sh -c "$cold"; cold_memory=$(memory firstlight)
sh -c "$change"; changed_memory=$(memory firstlight)
warm_memory=$(memory firstlight)

image=$(find "$work/out" -name '*.raw')
sizes() { echo "$(($(stat -c %s "$1") / 1000000)) $(($(stat -c "%b * %B" "$1") / 1000000))"; }
export others_memory cold_memory changed_memory warm_memory
export others_size image_size
others_size=$(sizes "$work/others.ext4") image_size=$(sizes "$image")

say "$result"
python3 - "$work/times.json" <<'END' | tee "$result"
import datetime, json, os, platform, subprocess, sys

def first_line(*command):
    return subprocess.run(command, capture_output=True, text=True).stdout.splitlines()[0].strip()

def field(path, name):
    return next(line.split(":", 1)[1].strip() for line in open(path) if line.startswith(name))

version = first_line("target/release/firstlight", "--version")
commit = first_line("git", "describe", "--always", "--dirty")
memory = field("/proc/meminfo", "MemTotal").split()[0]
print("# Builds of recipes/hello.toml, side by side\n")
print("Made by `./make.sh bench`: one run of hyperfine on one machine. Packages are local for both sides; both fetch the")
print("indices anew. mmdebstrap and mke2fs make a root file system of the same packages; Firstlight's image also has the")
print("partition table, ESP, both boot loaders, overlays, container images and the data partition.\n")
print(f"- {datetime.date.today()}, {version} ({commit}), {first_line('mmdebstrap', '--version')}")
mke2fs = subprocess.run(["mke2fs", "-V"], capture_output=True, text=True).stderr.splitlines()[0]
print(f"- {mke2fs} on the host, hyperfine {first_line('hyperfine', '--version').split()[-1]}")
print(f"- {field('/proc/cpuinfo', 'model name')}, {os.cpu_count()} cores, {int(memory) / 1048576:.1f} GiB, {platform.platform()}")
print(f"- load average at its end: {' '.join(open('/proc/loadavg').read().split()[:3])}\n")
print("| build | mean | min to max | largest process | tmpfs | image | of it written |")
print("|---|---|---|---|---|---|---|")
keys = ["others", "cold", "changed", "warm"]
for key, timed in zip(keys, json.load(open(sys.argv[1]))["results"]):
    process, tmpfs = os.environ[f"{key}_memory"].split()
    size, written = os.environ["others_size" if key == "others" else "image_size"].split()
    print(f"| {timed['command']} | {timed['mean']:.1f} s | {timed['min']:.1f} to {timed['max']:.1f} s "
          f"| {process} MiB | {tmpfs} MiB | {size} MB | {written} MB |")
END
rm -rf --one-file-system "$work"
