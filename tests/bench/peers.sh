#!/usr/bin/env bash
# One build of a peer, in a root of Debian 13 that holds its programs. tests/bench.sh calls it: $1 says which, $2 where it works:
# `disk`, as it does unless it is told otherwise, or `memory`, a tmpfs: its best case. The finished image goes to the disk.
set -euo pipefail

include=$(cat /bench/packages)
place=/${2:-disk}

# packages: all .deb files, and an index of them, so that no build needs a network.
packages() {
    apt-get -q update
    mkdir -p /bench/repository/partial
    apt-get -q -y --no-install-recommends --download-only -o Dir::State::status=/dev/null \
        -o Dir::Cache::archives=/bench/repository -o APT::Sandbox::User=root install '?essential' ${include//,/ }
    cd /bench/repository
    apt-ftparchive packages . >Packages
    # mmdebstrap looks for the essential packages of its suite.
    apt-ftparchive -o APT::FTPArchive::Release::Codename=trixie release . >Release.new
    mv Release.new Release
    for place in /disk /memory; do
        mkdir -p "$place"/packages/cache/apt/archives "$place"/cache "$place"/workspace "$place"/tmp
        cp ./*.deb "$place"/packages/cache/apt/archives/
    done
    mkdir -p /bench/mkosi/mkosi.sandbox/etc/apt/sources.list.d
    cp /etc/apt/sources.list /bench/mkosi/mkosi.sandbox/etc/apt/sources.list
    touch /bench/mkosi/mkosi.sandbox/etc/apt/sources.list.d/mkosi.sources
}

# mmdebstrap with mke2fs -d, into a GPT of two partitions: the file systems are made in their places.
mmdebstrap_disk() {
    local root=$place/mmdebstrap disk=/bench/mmdebstrap.raw
    TMPDIR=$place/tmp mmdebstrap --quiet --mode=root --variant=essential --format=directory --include="$include" \
        --customize-hook='/bench/esp.sh "$1"' trixie "$root" 'deb [trusted=yes] copy:///bench/repository ./'
    truncate -s 65M "$disk"
    mkfs.vfat -F 32 -s 1 --offset=2048 "$disk" 65536 >/dev/null
    truncate -s 2066M "$disk"
    sgdisk --clear --new=1:1M:+64M --typecode=1:ef00 --new=2:65M:+2000M --typecode=2:8304 "$disk" >/dev/null
    mcopy -s -i "$disk@@1M" "$root"/usr/lib/bench/esp/EFI ::
    mke2fs -q -F -t ext4 -L root -d "$root" -E offset=$((65 << 20)) "$disk" 2000M
}

mkosi_disk() {
    cd /bench/mkosi
    mkosi --force --package="$include" --package-cache-directory="$place/packages" --workspace-directory="$place/workspace" \
        --output-directory=/bench/mkosi-out "$@" build
}

# installed IMAGE: name=version of each package on the disk, sorted.
installed() {
    debugfs -R "cat /var/lib/dpkg/status" "$1?offset=$((65 << 20))" 2>/dev/null |
        awk '$1 == "Package:" { name = $2 } $1 == "Version:" { print name "=" $2 }' | LC_ALL=C sort
}

case "$1" in
    packages) packages ;;
    clear) rm -rf "$place/mmdebstrap" /bench/mmdebstrap.raw ;;
    mmdebstrap) mmdebstrap_disk ;;
    mkosi-first) mkosi_disk --cache-only=auto --incremental=yes --cache-directory="$place/cache" ;;
    # Without the folder of the kept image, which it would remove.
    mkosi) mkosi_disk --incremental=no ;;
    # Fails where the kept image does not fit.
    mkosi-incremental) mkosi_disk --incremental=strict --cache-directory="$place/cache" ;;
    mmdebstrap-installed) installed /bench/mmdebstrap.raw ;;
    mkosi-installed) installed /bench/mkosi-out/bench.raw ;;
    *) echo "peers.sh: no peer \`$1\`" >&2; exit 1 ;;
esac
