#!/usr/bin/env bash
# Times builds of tests/bench/docker.toml side by side with mmdebstrap and mkosi for the same packages, in one run of
# hyperfine, and writes the table to tests/results/bench.md. Called by `./make.sh bench`, as root. Nothing is downloaded
# while time is taken. The peers run in a root of Debian 13 that is made for them (mmdebstrap 1.5, mkosi 25, the image's own
# apt and mke2fs), so that the host's versions do not matter and nothing is installed on it. RUNS says how often each is
# built (5). `bench.sh CASE` is one build, as hyperfine calls it.
set -euo pipefail
cd "$(dirname "$0")/.."

runs=${RUNS:-5}
top=$PWD
work=$top/target/bench
self=$top/tests/bench.sh
result=tests/results/bench.md
recipe=$work/recipes/docker.toml
keyring=$top/recipes/bases/keys/debian-13.asc
store=${FIRSTLIGHT_CACHE:-$top/target/cache}/store
export FIRSTLIGHT_CACHE=$work/cache PATH=$PATH:/usr/sbin:/sbin

say() { printf '\n== %s\n' "$*" >&2; }

firstlight() { target/release/firstlight build "$recipe" --locked --offline --out "$work/out"; }

# The same where no folder in memory has room.
firstlight_on_disk() {
    unshare --mount sh -c 'mount -t tmpfs -o size=1m tmpfs /dev/shm && exec "$@"' sh \
        env -u XDG_RUNTIME_DIR target/release/firstlight build "$recipe" --locked --offline --out "$work/out"
}

# peers CASE [PLACE]: tests/bench/peers.sh in the peers' root, which must be a mount and no chroot for mkosi's own namespaces.
peers() {
    unshare --mount --propagation private bash -euc '
        mount --bind "$1/peers" "$1/peers"
        cd "$1/peers"
        for folder in dev proc sys; do mount --rbind "/$folder" "$folder"; done
        mkdir -p bench disk memory
        for folder in bench disk memory; do mount --bind "$1/$folder" "$folder"; done
        mount -t tmpfs tmpfs run
        pivot_root . mnt
        cd /
        umount -l mnt
        shift
        exec env -i HOME=/root LC_ALL=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin /bench/peers.sh "$@"' bash "$work" "$@"
}

# The names that the recipe and its base list on the first line, then each suite: nothing is resolved here.
lists() {
    python3 - "$recipe" "$work/recipes/bases/debian-13.toml" <<'END'
import sys, tomllib
recipe, base = (tomllib.load(open(path, "rb")) for path in sys.argv[1:])
kernel = base["kernel"][recipe["target"]]
kind = recipe["platform"]["kind"]
print(",".join(base["packages"] + kernel + base["platforms"][kind] + recipe.get("packages", [])))
for source in base["sources"]:
    for suite in source["suites"] if kind in source.get("platforms", [kind]) else []:
        print(source["archive"], suite, *source["components"])
END
}

# name=version of each package of the root file system, as locked.
locked() {
    python3 - "$work/recipes/docker.debian-13.lock" <<'END' | LC_ALL=C sort
import sys, tomllib
lock = tomllib.load(open(sys.argv[1], "rb"))
system = next(set(one["packages"]) for one in lock["set"] if one["name"] == "system")
for package in lock["package"]:
    if package["name"] in system:
        print(f"{package['name']}={package['version']}")
END
}

make_peers() {
    local all mirror archive rest sources=()
    all=$(lists)
    echo "${all%%$'\n'*}" >"$work/bench/packages"
    mirror=$(apt-get indextargets --format '$(ORIGIN) $(REPO_URI)' | sed -n 's#^Debian \([^ ]*\)/debian/*$#\1#p' | sed -n 1p)
    while read -r archive rest; do
        sources+=("deb [signed-by=/usr/share/keyrings/bench.asc] ${mirror:-http://ftp.de.debian.org}/$archive $rest")
    done <<<"${all#*$'\n'}"
    # apt reads the keyring's path on the host while it makes the root, and inside afterwards.
    mmdebstrap --quiet --mode=root --format=directory --variant=apt \
        --include=apt-utils,ca-certificates,dosfstools,e2fsprogs,fdisk,gdisk,mkosi,mmdebstrap,mtools,systemd-repart,udev \
        trixie "$work/peers" "${sources[@]//\/usr\/share\/keyrings\/bench.asc/$keyring}"
    cp "$keyring" "$work/peers/usr/share/keyrings/bench.asc"
    printf '%s\n' "${sources[@]}" >"$work/peers/etc/apt/sources.list"
    cp /etc/resolv.conf "$work/peers/etc/resolv.conf"
    mkdir -p "$work/bench/mkosi/mkosi.extra/etc"
    cp -r tests/bench/mkosi tests/bench/esp.sh tests/bench/peers.sh "$work/bench/"
    cp tests/bench/esp.sh "$work/bench/mkosi/"
    peers packages
}

case "${1:-}" in
    firstlight | firstlight_on_disk) "$1"; exit ;;
    packages | clear | mmdebstrap* | mkosi*) peers "$@"; exit ;;
    "") ;;
    *) sed -n '2,/^set -/{/^set -/!s/^# \{0,1\}//p}' "$self" >&2; exit 1 ;;
esac

[ "$(id -u)" = 0 ] || { echo "bench.sh: run it as root: the peers make device nodes, keep owners and mount" >&2; exit 1; }
exec 9>"$work.lock"
flock --nonblock 9 || { echo "bench.sh: another one runs: it holds $work.lock" >&2; exit 1; }
clean() { ! mountpoint -q "$work/memory" || umount "$work/memory"; rm -rf --one-file-system "$work"; }
trap clean EXIT
clean
mkdir -p "$work/bench" "$work/disk" "$work/memory" "$work/cache" "$work/overlays/bench/etc" "$(dirname "$result")"
mount -t tmpfs -o size=90% tmpfs "$work/memory"

cp -r recipes overlays "$work/"
cp tests/bench/docker.toml "$recipe"
# change FILE: what another build of the same recipe finds changed.
change() { echo "date +%s%N >$work/$1/etc/bench"; }
change_ours=$(change overlays/bench) change_mkosis=$(change bench/mkosi/mkosi.extra)
cold="rm -rf $work/cache/stages $work/cache/built $work/out"
memory() { local name=$1; shift; python3 tests/bench/memory.py "$work/peak.$name" "$self" "$@" >&2; }

say "fetching the packages for all sides, and measuring memory in each one's first build"
[ ! -d "$store" ] || cp -al "$store" "$work/cache/store" 2>/dev/null || cp -a "$store" "$work/cache/store"
sh -c "$change_ours"
target/release/firstlight lock "$recipe" >&2
target/release/firstlight build "$recipe" --locked --out "$work/out" >&2
make_peers >&2
sh -c "$change_mkosis"
memory mmdebstrap mmdebstrap memory
for place in disk memory; do peers mkosi-first "$place" >&2; done
memory mkosi mkosi memory
# Where the sides install other packages, their times say nothing.
for peer in mmdebstrap mkosi; do
    diff <(locked) <(peers "$peer-installed") >&2 || { echo "bench.sh: $peer installed other packages (>)" >&2; exit 1; }
done
sh -c "$cold"; memory disk firstlight_on_disk
sh -c "$cold"; memory memory firstlight

say "timing, $runs runs of each"
timed=(--shell sh --runs "$runs" --export-json "$work/times.json")
hyperfine "${timed[@]}" \
    --prepare "$self clear disk" --command-name "mmdebstrap, mke2fs -d, partitions" "$self mmdebstrap disk" \
    --prepare "$self clear memory" --command-name "the same, work on tmpfs" "$self mmdebstrap memory" \
    --prepare true --command-name "mkosi" "$self mkosi disk" \
    --prepare true --command-name "mkosi, work on tmpfs" "$self mkosi memory" \
    --prepare "$cold" --command-name "firstlight" "$self firstlight" \
    --prepare "$cold" --command-name "firstlight, work on disk" "$self firstlight_on_disk" \
    --prepare "$change_mkosis" --command-name "mkosi, incremental, one overlay file changed" "$self mkosi-incremental disk" \
    --prepare "$change_mkosis" --command-name "mkosi, incremental, one overlay file changed, work on tmpfs" "$self mkosi-incremental memory" \
    --prepare "$change_ours" --command-name "firstlight, one overlay file changed" "$self firstlight" \
    --prepare true --command-name "firstlight, nothing changed" "$self firstlight" >&2

say "$result"
python3 tests/bench/report.py "$work" | tee "$work/bench.md"
mv "$work/bench.md" "$result"
