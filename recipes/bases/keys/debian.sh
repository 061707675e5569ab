#!/bin/sh
# Makes debian-12.asc and debian-13.asc, the certificates that may sign the archive of each, from the packages
# debian-archive-keyring. Usage: debian.sh MIRROR, such as http://ftp.de.debian.org/debian
#
# The packages' digests are those that the signed indices of bookworm and trixie give. Debian's certificates of other
# releases, which sign each one too, are left out: one good signature by a certificate of the release is asked for.
set -eu

keys=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

make() { # NAME CODENAME VERSION DIGEST
    mkdir "$work/$1"
    cd "$work/$1"
    curl -fsS -o keyring.deb "$mirror/pool/main/d/debian-archive-keyring/debian-archive-keyring_$3_all.deb"
    echo "$4  keyring.deb" | sha256sum --check --quiet
    ar x keyring.deb data.tar.xz
    tar -xJf data.tar.xz ./etc/apt/trusted.gpg.d
    cd etc/apt/trusted.gpg.d
    cat "debian-archive-$2-automatic.asc" "debian-archive-$2-security-automatic.asc" \
        "debian-archive-$2-stable.asc" > "$keys/$1.asc"
}

mirror=$1
make debian-12 bookworm 2023.3+deb12u2 f699e2f88dca05212f2a452b58475f2993cb6993dfbafb1d0205a3291eb8b4b8
make debian-13 trixie 2025.1 9ea7778e443144ca490668737a8ab22dd3e748bb99e805e22ec055abeb3c7fac
