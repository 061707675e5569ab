#!/usr/bin/env python3
"""Record the table that QEMU's BIOS shows a machine: record.py MEMORY FILE, such as record.py 2048 qemu-2048.bin

Starts QEMU without a disk, waits until the BIOS has laid out its tables, saves the memory below 1 MiB, and cuts out
what the entry point there (SMBIOS 3.7, 5.2) leads to: the content of /sys/firmware/dmi/tables/DMI.
"""
import struct
import subprocess
import sys
import tempfile
import time

memory, target = sys.argv[1:]
with tempfile.NamedTemporaryFile() as dump:
    qemu = subprocess.Popen(
        ["qemu-system-x86_64", "-m", memory, "-display", "none", "-net", "none", "-monitor", "stdio",
         "-uuid", "00000000-0000-4000-8000-000000000001"],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    time.sleep(10)
    qemu.communicate(f'pmemsave 0 0x100000 "{dump.name}"\nquit\n', timeout=60)
    low = dump.read()

anchors = [at for at in range(0xF0000, 0x100000, 16) if low[at:at + 4] == b"_SM_" or low[at:at + 5] == b"_SM3_"]
if not anchors:
    sys.exit("no SMBIOS entry point below 1 MiB")
at = anchors[0]
if low[at:at + 5] == b"_SM3_":
    length, address = struct.unpack_from("<IQ", low, at + 0x0C)
else:
    length, address = struct.unpack_from("<HI", low, at + 0x16)
if address + length > len(low):
    sys.exit(f"the table lies at {address:#x}, above 1 MiB")
with open(target, "wb") as out:
    out.write(low[address:address + length])
