"""memory.py RESULT COMMAND...: runs a command and writes to RESULT, as JSON in MiB, the most memory that it took at any
time: what its processes held together (proportional set sizes, so that shared pages count once), by how much files in
memory grew (tmpfs), and both at the same time. Looks ten times a second. Needs root."""

import ctypes, json, os, pathlib, subprocess, sys, time

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h: who loses its parent stays below this process


def kilobytes(path, name):
    return next((int(line.split()[1]) for line in open(path) if line.startswith(name)), 0)


def below(root):
    children = {}
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
        children.setdefault(parent, []).append(int(entry.name))
    found, queue = [], [root]
    while queue:
        found += (more := children.get(queue.pop(), []))
        queue += more
    return found


def held(process):
    try:
        return kilobytes(f"/proc/{process}/smaps_rollup", "Pss:")
    except OSError:
        return 0


result, *command = sys.argv[1:]
ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
before = kilobytes("/proc/meminfo", "Shmem:")
most = {"processes": 0, "tmpfs": 0, "together": 0}
me = os.getpid()
running = subprocess.Popen(command, stdout=subprocess.DEVNULL)
while running.poll() is None:
    processes = sum(map(held, below(me)))
    tmpfs = max(0, kilobytes("/proc/meminfo", "Shmem:") - before)
    for name, now in [("processes", processes), ("tmpfs", tmpfs), ("together", processes + tmpfs)]:
        most[name] = max(most[name], now)
    time.sleep(0.1)
if running.returncode:
    sys.exit(f"memory.py: {' '.join(command)}: exit status {running.returncode}")
json.dump({name: round(most[name] / 1024) for name in most}, open(result, "w"))
