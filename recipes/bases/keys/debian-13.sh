#!/bin/sh
# Makes debian-13.asc, the certificates that may sign Debian 13's archive, from trixie's own package
# debian-archive-keyring. Usage: debian-13.sh MIRROR, such as http://ftp.de.debian.org/debian
#
# The package's digest is the one that the signed index of trixie gives. Debian's certificates of other releases, which
# sign trixie too, are left out: one good signature by a certificate of this release is asked for.
set -eu

version=2025.1
digest=9ea7778e443144ca490668737a8ab22dd3e748bb99e805e22ec055abeb3c7fac
target=$(cd "$(dirname "$0")" && pwd)/debian-13.asc

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
curl -fsS -o keyring.deb "$1/pool/main/d/debian-archive-keyring/debian-archive-keyring_${version}_all.deb"
echo "$digest  keyring.deb" | sha256sum --check --quiet
ar x keyring.deb data.tar.xz
tar -xJf data.tar.xz ./etc/apt/trusted.gpg.d
cd etc/apt/trusted.gpg.d
cat debian-archive-trixie-automatic.asc debian-archive-trixie-security-automatic.asc \
    debian-archive-trixie-stable.asc > "$target"
