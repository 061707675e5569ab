#!/bin/sh
# Lays the boot loader's files for the ESP into the root file system $1: as Debian signed them, with a menu of one entry.
set -eu
esp=$1/usr/lib/bench/esp
mkdir -p "$esp/EFI/BOOT" "$esp/EFI/debian"
cp "$1/usr/lib/shim/shimx64.efi.signed" "$esp/EFI/BOOT/BOOTX64.EFI"
cp "$1/usr/lib/shim/mmx64.efi.signed" "$esp/EFI/BOOT/mmx64.efi"
cp "$1/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed" "$esp/EFI/BOOT/grubx64.efi"
cat >"$esp/EFI/debian/grub.cfg" <<'END'
search --set=root --label root
linux /vmlinuz root=LABEL=root
initrd /initrd.img
boot
END
