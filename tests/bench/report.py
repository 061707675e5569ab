"""report.py WORK: the table of tests/results/bench.md, from what tests/bench.sh left in the folder WORK."""

import datetime, json, os, pathlib, platform, subprocess, sys

work = pathlib.Path(sys.argv[1])


def first_line(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    return (done.stdout + done.stderr).splitlines()[0].strip()


def inside(*command):
    return first_line("chroot", str(work / "peers"), *command)


def field(path, name):
    return next(line.split(":", 1)[1].strip() for line in open(path) if line.startswith(name))


def memory(name):
    return json.loads((work / f"peak.{name}").read_text())


def size(path):
    found = next(work.glob(path)).stat()
    return f"{found.st_size / 1e6:.0f} MB, {found.st_blocks * 512 / 1e6:.0f} MB of them written"


names = ["mmdebstrap", "mmdebstrap fast", "mkosi", "mkosi fast", "cold", "cold on disk", "mkosi changed", "mkosi changed fast",
         "changed", "nothing"]
times = dict(zip(names, json.loads((work / "times.json").read_text())["results"], strict=True))
median = {name: times[name]["median"] for name in names}
gigabytes = int(field("/proc/meminfo", "MemTotal").split()[0]) / 1048576
packages = (work / "bench/repository/Packages").read_text().count("Package: ")

print("# Builds of a Docker host, side by side\n")
print(f"Made by `./make.sh bench` in one run on one machine: {packages} packages of Debian 13 (tests/bench/docker.toml), all of them")
print("local, to a raw disk with a GPT, an ESP with the signed boot loader, and an ext4 root. mmdebstrap and mkosi work on disk, as")
print("they do unless they are told otherwise, and once more on tmpfs, their best case, with an index of these packages alone")
print("(mmdebstrap) or kept indices (mkosi); mkosi takes the kernel package's initrd and builds none of its own. Firstlight works in")
print("memory where that fits, unless it is told otherwise; its image also has GRUB for BIOS, its overlays, the checks, and the site")
print("and data partitions, and it is synced to the disk. Times are of whole processes; the finished image goes to the disk.\n")
print(f"- {datetime.date.today()}, {first_line('target/release/firstlight', '--version')} "
      f"({first_line('git', 'describe', '--always', '--dirty')})")
print(f"- {inside('mmdebstrap', '--version')}, {inside('mke2fs', '-V')}, {inside('mkosi', '--version')} with "
      f"{inside('systemd-repart', '--version')}; {first_line('hyperfine', '--version')}")
print(f"- {field('/proc/cpuinfo', 'model name')}, {os.cpu_count()} cores, {gigabytes:.1f} GiB, {platform.platform()}")
print(f"- load average at its end: {' '.join(open('/proc/loadavg').read().split()[:3])}\n")

print("| build | median | min to max | runs |")
print("|---|---|---|---|")
for name in names:
    one = times[name]
    print(f"| {one['command']} | {one['median']:.2f} s | {one['min']:.2f} to {one['max']:.2f} s | {len(one['times'])} |")

print("\n| target | found | wanted | |")
print("|---|---|---|---|")
ratios = [
    ("cold, beside mmdebstrap, mke2fs -d, partitions", "cold", "mmdebstrap", 0.5),
    ("the same, mmdebstrap on tmpfs", "cold", "mmdebstrap fast", 0.5),
    ("the same, both on disk", "cold on disk", "mmdebstrap", 0.5),
    ("cold, beside mkosi", "cold", "mkosi", 0.33),
    ("the same, mkosi on tmpfs", "cold", "mkosi fast", 0.33),
    ("the same, both on disk", "cold on disk", "mkosi", 0.33),
    ("one overlay file changed, beside mkosi's incremental build", "changed", "mkosi changed", 0.1),
    ("the same, mkosi on tmpfs", "changed", "mkosi changed fast", 0.1),
    ("one overlay file changed, beside our own cold build", "changed", "cold", 0.1),
]
met = lambda found, wanted: "met" if found <= wanted else "**not met**"
for text, ours, theirs, wanted in ratios:
    found = median[ours] / median[theirs]
    print(f"| {text} | {found:.3f} | at most {wanted} | {met(found, wanted)} |")
print(f"| nothing changed | {median['nothing']:.2f} s | at most 0.3 s | {met(median['nothing'], 0.3)} |")
peaks = [("disk", "cold, work on disk"), ("memory", "cold, work in memory"), ("mmdebstrap", "mmdebstrap on tmpfs"), ("mkosi", "mkosi on tmpfs")]
for name, text in peaks[:2]:
    found = memory(name)["together"]
    print(f"| peak memory, {text} | {found} MiB | at most 1024 MiB | {met(found, 1024)} |")

print("\n| peak memory | processes together | tmpfs | both at once |")
print("|---|---|---|---|")
for name, text in peaks:
    print(f"| {text} | {memory(name)['processes']} MiB | {memory(name)['tmpfs']} MiB | {memory(name)['together']} MiB |")

print(f"\nImages: Firstlight {size('out/*.raw')}; mmdebstrap {size('bench/mmdebstrap.raw')}; mkosi {size('bench/mkosi-out/*.raw')}.")
