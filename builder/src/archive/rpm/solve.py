"""Which packages dnf would install on an empty system.

Usage: solve.py REQUEST. REQUEST is JSON: `names`, `recommends`, `release`, `architecture`, `repositories` (each `id` and `folder`), `scratch` (a
folder to be made). The answer on standard output is one line of JSON: `packages`, each with the id
of its repository, or `refused`, why there is no way. No network, no configuration and no rpm database of the
system counts.
"""

import json
import os
import sys

import dnf
import dnf.conf
import dnf.exceptions


def open_base(request):
    os.makedirs(request["scratch"] + "/log")
    # A base that makes its own configuration looks into the rpm database of the running system first, and makes one where
    # there is none.
    conf = dnf.conf.Conf()
    conf.installroot = request["scratch"] + "/root"
    conf.cachedir = request["scratch"] + "/cache"
    conf.persistdir = request["scratch"] + "/state"
    conf.logdir = request["scratch"] + "/log"
    conf.substitutions["releasever"] = request["release"]
    conf.substitutions["arch"] = conf.substitutions["basearch"] = request["architecture"]
    # As EL's own dnf.conf has it.
    conf.best = True
    conf.install_weak_deps = request["recommends"]
    conf.plugins = False
    # dnf before 4.19 always reads which package has which file; later ones must be told to, and what needs a file by a path
    # that no primary index lists could not be had otherwise.
    if hasattr(conf, "optional_metadata_types"):
        conf.optional_metadata_types = ["filelists"]
    base = dnf.Base(conf)
    for one in request["repositories"]:
        base.repos.add_new_repo(one["id"], conf, baseurl=["file://" + one["folder"]], skip_if_unavailable=False)
    base.fill_sack(load_system_repo=False)
    return base


def choose(request):
    base = open_base(request)
    try:
        for name in request["names"]:
            base.install(name)
        base.resolve()
    except (dnf.exceptions.MarkingError, dnf.exceptions.DepsolveError) as error:
        return {"refused": str(error)}
    packages = [
        {
            "repository": package.reponame,
            "name": package.name,
            "version": package.evr,
            "architecture": package.arch,
            "sha256": package.chksum[1].hex(),
        }
        for package in base.transaction.install_set
    ]
    return {"packages": packages}


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        print(json.dumps(choose(json.load(file))))
