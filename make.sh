#!/usr/bin/env bash
# Everything that a person or CI does with this repository, each with one word. Installs what it needs on Debian
# and Ubuntu (as root, or through sudo); elsewhere it says what is missing.
#
#   ./make.sh image      builds recipes/hello.toml and says where the image is
#   ./make.sh boot       builds it, makes a site with a certificate for trying out, and boots it in QEMU
#   ./make.sh test       runs every test that fits into an hour on 2 cores
#   ./make.sh test-all   runs the long ones too: resumable, results in tests/results/
#   ./make.sh checks A   compiles what goes into images of another architecture, such as aarch64 (bases named …-arm64)
#   ./make.sh bench      times builds side by side with mmdebstrap and mkosi, as root; about 45 minutes
set -euo pipefail
cd "$(dirname "$0")"
self=$PWD/make.sh

host=$(uname -m)
export FIRSTLIGHT_CACHE="${FIRSTLIGHT_CACHE:-$PWD/target/cache}"

say() { printf '\n== %s\n' "$*" >&2; }

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# apt_install PACKAGE...: what is already there costs nothing.
apt_install() {
    local missing=() package
    for package in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    say "installing ${missing[*]}"
    as_root apt-get -q update
    # All of them, also those that are there: of those that must be of one version apt would else remove one for the other.
    apt_get "$@" || { add_backports && apt_get -t "$(. /etc/os-release; echo "$VERSION_CODENAME")-backports" "$@"; }
}

apt_get() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends --no-remove "$@"; }

# A machine that has qemu-utils from backports can't take qemu-system-x86 from the release itself: they must be of one
# version, so both come from backports, of the same mirror as the rest.
add_backports() {
    local codename uri
    codename=$(. /etc/os-release; echo "$VERSION_CODENAME")
    uri=$(debian_mirror)
    [ -n "$uri" ] || return 1
    printf 'Types: deb\nURIs: %s\nSuites: %s-backports\nComponents: main\nSigned-By: %s\n' "$uri" "$codename" \
        /usr/share/keyrings/debian-archive-keyring.gpg | as_root tee /etc/apt/sources.list.d/firstlight-backports.sources >/dev/null
    as_root apt-get -q update
}

# The mirror that this Debian machine's own release comes from.
debian_mirror() {
    local codename
    codename=$(. /etc/os-release; echo "$VERSION_CODENAME")
    apt-get indextargets --format '$(REPO_URI) $(RELEASE)' | awk -v r="$codename" '$2 == r && !seen { print $1; seen = 1 }'
}

# need COMMAND... for hosts without apt: all that is missing, at once.
need() {
    local missing=() command
    for command in "$@"; do
        PATH=$PATH:/usr/sbin:/sbin command -v "$command" >/dev/null || missing+=("$command")
    done
    [ ${#missing[@]} -eq 0 ] || { echo "make.sh: not found: ${missing[*]}; install what provides them" >&2; exit 1; }
}

# need_space FOLDER GB
need_space() {
    local free
    free=$(($(df --output=avail -B 1000000000 "$1" | tail -n 1)))
    [ "$free" -ge "$2" ] || { echo "make.sh: about $2 GB are needed in $1, $free GB are free; deleting target/e2e and target/cache is always safe" >&2; exit 1; }
}

install_for_building() {
    if command -v apt-get >/dev/null; then
        apt_install gcc libc6-dev
        [ "$(id -u)" = 0 ] || apt_install uidmap
    fi
    need cc cargo
}

install_for_booting() {
    if command -v apt-get >/dev/null; then apt_install qemu-system-x86 qemu-utils ovmf; fi
    need qemu-system-x86_64 qemu-img
}

install_for_testing() {
    if command -v apt-get >/dev/null; then
        apt_install uidmap mmdebstrap dosfstools e2fsprogs gdisk gnupg nftables iproute2 openssh-client openssl curl gpgv \
            dpkg-dev passwd util-linux cpio faketime zstd nix-bin python3-virt-firmware createrepo-c dnf rpm "$(emulator)"
    fi
    # The tests play an ordinary user who may build; a fresh machine may have none.
    if ! grep -q : /etc/subuid 2>/dev/null; then
        useradd --no-create-home --shell /usr/sbin/nologin firstlight-test
        grep -q : /etc/subuid || usermod --add-subuids 100000-165535 --add-subgids 100000-165535 firstlight-test
    fi
    need mmdebstrap cpio setpriv useradd fsck.vfat fsck.ext4 sgdisk nft ip ssh openssl curl gpgv newuidmap nix-instantiate createrepo_c dnf rpmbuild
}

# The package that runs programs of other architectures: its name before and after Debian 13.
emulator() { if apt-cache show qemu-user-static >/dev/null 2>&1; then echo qemu-user-static; else echo qemu-user; fi; }

# What images of 64-bit ARM are built and booted with on another machine.
install_for_arm() {
    if command -v apt-get >/dev/null; then apt_install qemu-system-arm qemu-efi-aarch64 qemu-utils "$(emulator)"; fi
    need qemu-system-aarch64
}

# Everything else that the timed builds need is in a root of their own.
install_for_timing() {
    if command -v apt-get >/dev/null; then apt_install mmdebstrap hyperfine python3; fi
    need apt-get mmdebstrap hyperfine python3 unshare
}

# The program for this host, and the one for the image: static, so that it runs in every distribution's image, in an
# empty container and before the root's own libraries can be trusted.
compile() {
    say "compiling"
    cargo build --release --locked -p firstlight -p end-to-end --bins
    compile_for_image
}

# With the tests, which build the programs that they start: what only tests need of a dependency would otherwise have it
# compiled twice.
compile_for_tests() {
    say "compiling"
    cargo test --release --locked --workspace --no-run
    compile_for_image
}

compile_for_image() { static_checks "$host-unknown-linux-gnu"; }

# static_checks TARGET [OPTION...]
static_checks() {
    local target=$1; shift
    env "CARGO_TARGET_$(tr a-z- A-Z_ <<<"$target")_RUSTFLAGS=-C target-feature=+crt-static" \
        cargo build --release --locked -p firmware-checks --bin firmware-checks --target "$target" "$@"
}

# checks ARCHITECTURE: the same for an image that this host can't run, by rustup's library for it or, where there is none to be
# had, by Debian's own compiler in a root of its own.
checks() {
    local target=$1-unknown-linux-gnu linker=$1-linux-gnu-gcc
    [ "$1" != "$host" ] || { compile_for_image; return; }
    if rustup target add "$target" 2>/dev/null; then
        if command -v apt-get >/dev/null; then apt_install "gcc-${1/_/-}-linux-gnu" "libc6-dev-$(debian_name "$1")-cross"; fi
        need "$linker"
        export "CARGO_TARGET_$(tr a-z- A-Z_ <<<"$target")_LINKER=$linker"
        static_checks "$target"
    else
        checks_by_debian "$1"
    fi
}

debian_name() { case $1 in x86_64) echo amd64 ;; aarch64) echo arm64 ;; *) echo "$1" ;; esac; }

# In target/cross: a root of Debian's testing, whose compiler is new enough, and what it compiles. A mirror that is behind the
# archive, so that its Release is over, still has a good compiler.
checks_by_debian() {
    local cross=$PWD/target/cross root=$PWD/target/cross/root foreign native
    foreign=$(debian_name "$1") native=$(debian_name "$host")
    say "no library of Rust's for $1 here: compiling by Debian's compiler"
    apt_install mmdebstrap
    mkdir -p "$cross/target"
    if [ ! -e "$cross/made" ]; then
        as_root rm -rf "$root"
        as_root mmdebstrap --variant=apt --architectures="$native,$foreign" --aptopt='Acquire::Check-Valid-Until "false"' \
            --include="rustc,cargo,gcc,libc6-dev,gcc-${1/_/-}-linux-gnu,libc6-dev-$foreign-cross,libstd-rust-dev:$foreign" \
            testing "$root" "$(debian_mirror)"
        touch "$cross/made"
    fi
    cargo fetch --locked
    as_root env cross="$cross" source="$PWD" home="${CARGO_HOME:-$HOME/.cargo}" architecture="$1" unshare --mount bash -euc '
        cd "$cross/root"
        mkdir -p source cargo target
        mount --bind "$source" source; mount --bind "$home" cargo; mount --bind "$cross/target" target
        mount -t proc proc proc; mount --bind /dev dev
        chroot . env -i PATH=/usr/bin:/bin HOME=/root CARGO_HOME=/cargo CARGO_TARGET_DIR=/target /source/make.sh checks-inside "$architecture"'
    install -D -m 0755 "$cross/target/$1-unknown-linux-gnu/release/firmware-checks" "target/$1-unknown-linux-gnu/release/firmware-checks"
}

# What checks_by_debian does in its root.
checks_inside() {
    local target=$1-unknown-linux-gnu
    export "CARGO_TARGET_$(tr a-z- A-Z_ <<<"$target")_LINKER=$1-linux-gnu-gcc"
    static_checks "$target" --offline
}

image() {
    install_for_building
    compile
    say "building recipes/hello.toml"
    target/release/firstlight build recipes/hello.toml --out out
}

boot() {
    install_for_booting
    local path
    path=$(image | tail -n 1)
    [ -d out/site ] || target/release/make-site out/site
    say "booting $path (ctrl-c ends it)"
    target/release/firstlight boot "$path" --site out/site --forward 8443:443 --forward 2222:22 --keep
}

run_tests() {
    # Tests mount, make namespaces and play other users.
    [ "$(id -u)" = 0 ] || exec sudo --preserve-env=PATH,HOME,CARGO_HOME,RUSTUP_HOME,FIRSTLIGHT_CACHE "$self" "$1"
    need_space "$PWD" 20
    install_for_building
    install_for_booting
    install_for_testing
    compile_for_tests
    say "testing"
    cargo fmt --all --check
    # One test at a time where machines are booted: two emulated machines on two cores are slower than one after the other.
    local status=0
    cargo test --release --locked --workspace --no-fail-fast --lib --bins || status=$?
    for name in $(printf '%s\n' */tests/*.rs | sed 's|.*/||; s/\.rs$//' | sort -u); do
        if cargo test --release --locked --workspace --no-fail-fast --test "$name" -- --test-threads 1; then
            # What a test leaves is there to look at where it failed; where it passed it would only fill the disk. The long
            # ones resume with it.
            [ "$1" = test-all ] || rm -rf "target/e2e/$name"
        else
            status=1
        fi
    done
    return "$status"
}

case "${1:-}" in
    image) image ;;
    boot) boot ;;
    test) run_tests test ;;
    test-all)
        run_tests test-all
        install_for_arm
        checks aarch64
        cargo test --release --locked --no-fail-fast -p firstlight -p end-to-end --test almalinux --test arm64 --test cht --test choice \
            --test identity --test interrupted --test k3s --test microk8s --test shared_cache --test ubuntu --test upgrade --test power_cut -- \
            --ignored --test-threads 1 --nocapture
        ;;
    checks) install_for_building; checks "${2:?of which architecture?}" ;;
    checks-inside) checks_inside "$2" ;;
    bench) install_for_building; install_for_timing; compile; exec tests/bench.sh ;;
    *) sed -n '2,/^set -/s/^# \{0,1\}//p' "$self" >&2; exit 1 ;;
esac
