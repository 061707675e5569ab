#!/bin/sh
# Makes ubuntu.asc, the certificate that signs the archives of Ubuntu 18.10 and later, from trixie's own package
# ubuntu-keyring. Usage: ubuntu.sh MIRROR, such as http://ftp.de.debian.org/debian
#
# The package's digest is the one that the signed index of trixie gives. Of its certificates this is the one of 2018;
# those of 2012 and of CD images are not needed for these releases.
set -eu

version=2023.11.28.1-0.2
digest=b2e7ed48431bf9e7978ae810bbdaf253093570d6e3f864e575b7c13554b81174
certificate=F6ECB3762474EDA9D21B7022871920D1991BC93C
target=$(cd "$(dirname "$0")" && pwd)/ubuntu.asc

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
curl -fsS -o keyring.deb "$1/pool/main/u/ubuntu-keyring/ubuntu-keyring_${version}_all.deb"
echo "$digest  keyring.deb" | sha256sum --check --quiet
ar x keyring.deb data.tar.xz
tar -xJf data.tar.xz ./usr/share/keyrings/ubuntu-archive-keyring.gpg
gpg --homedir "$work" --quiet --no-default-keyring --keyring "$work/usr/share/keyrings/ubuntu-archive-keyring.gpg" \
    --export-options export-minimal --armor --export "$certificate" > "$target"
