#!/bin/sh
# Makes docker-deb.asc, the certificate that may sign Docker's packages for Debian and Ubuntu, from bookworm's own package
# extrepo-offline-data. Usage: docker.sh MIRROR, such as http://ftp.de.debian.org/debian
#
# The package's digest is the one that the signed index of bookworm gives; the certificate is known by the fingerprint that
# Docker's documentation gives. Needs curl, ar, tar, gpg.
set -eu

version=1.0.3+deb12u1
digest=812baea45d19b0ea508159b64524550e2f695dcbe6336bffe2775c07ec9267b2
docker=9DC858229FC7DD38854AE2D88D81803C0EBFCD88
target=$(cd "$(dirname "$0")" && pwd)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
curl -fsS -o keys.deb "$1/pool/main/e/extrepo-data/extrepo-offline-data_${version}_all.deb"
echo "$digest  keys.deb" | sha256sum --check --quiet
ar x keys.deb data.tar.xz
tar -xJf data.tar.xz ./usr/share/extrepo/offline-data/debian/bookworm/docker-ce.asc
mkdir -m 700 gnupg
certificate=usr/share/extrepo/offline-data/debian/bookworm/docker-ce.asc
found=$(GNUPGHOME="$work/gnupg" gpg --show-keys --with-colons "$certificate" | awk -F: '$1 == "fpr" { print $10; exit }')
[ "$found" = "$docker" ] || { echo "docker's certificate is $found, expected $docker" >&2; exit 1; }
cp "$certificate" "$target/docker-deb.asc"
