#!/bin/sh
# Makes almalinux-9.asc, rocky-9.asc and epel-9.asc, the certificates that may sign the packages of AlmaLinux 9, Rocky Linux 9 and
# EPEL 9, from trixie's own package distribution-gpg-keys, and docker-rpm.asc from Docker's own server. Usage: el.sh MIRROR, such as
# http://ftp.de.debian.org/debian
#
# The package's digest is the one that the signed index of trixie gives; Docker's certificate is known by the fingerprint that
# Docker's documentation gives. Needs curl, ar, tar, gpg.
set -eu

version=1.119+ds-1~deb13u1
digest=768f24cc1e64501de00b0fcfd1c43645042ea16abba489462cdc3ff061b4f21c
docker=060A61C51B558A7F742B77AAC52FEB6B621E9F35
target=$(cd "$(dirname "$0")" && pwd)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
curl -fsS -o keys.deb "$1/pool/main/d/distribution-gpg-keys/distribution-gpg-keys_${version}_all.deb"
echo "$digest  keys.deb" | sha256sum --check --quiet
ar x keys.deb data.tar.xz
tar -xJf data.tar.xz ./usr/share/distribution-gpg-keys
cd usr/share/distribution-gpg-keys
cp alma/RPM-GPG-KEY-AlmaLinux-9 "$target/almalinux-9.asc"
cp rocky/RPM-GPG-KEY-Rocky-9 "$target/rocky-9.asc"
cp epel/RPM-GPG-KEY-EPEL-9 "$target/epel-9.asc"

curl -fsS -o "$work/docker.asc" https://download.docker.com/linux/centos/gpg
mkdir -m 700 "$work/gnupg"
found=$(GNUPGHOME="$work/gnupg" gpg --show-keys --with-colons "$work/docker.asc" | awk -F: '$1 == "fpr" { print $10 }')
[ "$found" = "$docker" ] || { echo "docker's certificate is $found, expected $docker" >&2; exit 1; }
cp "$work/docker.asc" "$target/docker-rpm.asc"
