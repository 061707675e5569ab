#!/usr/bin/env bash
# Everything that a person or CI does with this repository, each with one word. Installs what it needs on Debian
# and Ubuntu (as root, or through sudo); elsewhere it says what is missing.
#
#   ./make.sh image      builds recipes/hello.toml and says where the image is
#   ./make.sh boot       builds it, makes a site with a certificate for trying out, and boots it in QEMU
#   ./make.sh test       runs every test that fits into an hour on 2 cores
#   ./make.sh test-all   runs the long ones too: resumable, results in tests/results/
#   ./make.sh bench      times builds side by side with mmdebstrap and mkosi, as root; about 45 minutes
set -euo pipefail
cd "$(dirname "$0")"
self=$PWD/make.sh

target=x86_64-unknown-linux-gnu
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
    uri=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' | awk -v r="$codename" '$2 == r { print $1; exit }')
    [ -n "$uri" ] || return 1
    printf 'Types: deb\nURIs: %s\nSuites: %s-backports\nComponents: main\nSigned-By: %s\n' "$uri" "$codename" \
        /usr/share/keyrings/debian-archive-keyring.gpg | as_root tee /etc/apt/sources.list.d/firstlight-backports.sources >/dev/null
    as_root apt-get -q update
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
            dpkg-dev passwd util-linux cpio faketime zstd nix-bin python3-virt-firmware createrepo-c dnf rpm
    fi
    # The tests play an ordinary user who may build; a fresh machine may have none.
    if ! grep -q : /etc/subuid 2>/dev/null; then
        useradd --no-create-home --shell /usr/sbin/nologin firstlight-test
        grep -q : /etc/subuid || usermod --add-subuids 100000-165535 --add-subgids 100000-165535 firstlight-test
    fi
    need mmdebstrap cpio setpriv useradd fsck.vfat fsck.ext4 sgdisk nft ip ssh openssl curl gpgv newuidmap nix-instantiate createrepo_c dnf rpmbuild
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

compile_for_image() {
    CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS='-C target-feature=+crt-static' \
        cargo build --release --locked -p firmware-checks --bin firmware-checks --target "$target"
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
        cargo test --release --locked --no-fail-fast -p firstlight -p end-to-end --test almalinux --test cht --test choice \
            --test identity --test interrupted --test k3s --test microk8s --test shared_cache --test ubuntu --test upgrade --test power_cut -- \
            --ignored --test-threads 1 --nocapture
        ;;
    bench) install_for_building; install_for_timing; compile; exec tests/bench.sh ;;
    *) sed -n '2,/^set -/s/^# \{0,1\}//p' "$self" >&2; exit 1 ;;
esac
