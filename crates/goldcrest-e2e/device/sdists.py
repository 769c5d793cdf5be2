"""Source packages of the device bench: `sdists.py fetch PINS FOLDER` brings those of sdists.txt from PyPI, `sdists.py weigh FOLDER` prints a tree's size as .tar.gz.

`pip download` cannot fetch micropython-ota: it wants to build what it downloads, and packages for MicroPython have no setup.py. So
this asks the parts of pip that find and download files, which know the index, the certificates and the proxy of this machine.
"""

import gzip
import hashlib
import io
import os
import shutil
import sys
import tarfile


def fetch(pins, folder):
    """Unpack every pinned package that is not there to `folder/<name>-<version>`; its bytes must have the pinned SHA-256."""
    os.makedirs(folder, exist_ok=True)
    with open(pins) as f:
        wanted = [line.split() for line in f if line.strip()]
    missing = [w for w in wanted if not os.path.isdir(os.path.join(folder, w[0].replace("==", "-")))]
    if not missing:
        return
    from pip._internal.commands import create_command

    command = create_command("download")
    options, _ = command.parse_args(["--no-deps", "--no-binary", ":all:"])
    with command.main_context():
        session = command.get_default_session(options)
        finder = command._build_package_finder(options, session)
        for pin, digest in missing:
            name, version = pin.split("==")
            links = [c.link for c in finder.find_all_candidates(name) if str(c.version) == version]
            if not links:
                sys.exit("PyPI offers no source package of %s to this machine: is the network up?" % pin)
            answer = session.get(links[0].url_without_fragment, headers={"Accept-Encoding": "identity"})
            answer.raise_for_status()
            unpack(pin, digest, answer.content, os.path.join(folder, pin.replace("==", "-")))


def unpack(pin, digest, content, target):
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        sys.exit("%s from PyPI has SHA-256 %s, sdists.txt says %s" % (pin, found, digest))
    aside = "%s.%d" % (target, os.getpid())
    shutil.rmtree(aside, ignore_errors=True)
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for member in archive.getmembers():
            # Without the top folder, whose name differs from package to package.
            path = member.name.split("/", 1)[-1]
            if member.isfile() and ".." not in path.split("/") and not path.startswith("/"):
                where = os.path.join(aside, path)
                os.makedirs(os.path.dirname(where), exist_ok=True)
                with open(where, "wb") as f:
                    f.write(archive.extractfile(member).read())
    try:
        os.rename(aside, target)
    except OSError:
        if not os.path.isdir(target):
            raise
        shutil.rmtree(aside)  # another process was faster


def weigh(folder):
    """Bytes of a .tar.gz at the best level, of sorted files without owner or time: what a careful packer would send."""
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for here, folders, files in os.walk(folder):
            folders.sort()
            for name in sorted(files):
                path = os.path.join(here, name)
                info = tarfile.TarInfo(os.path.relpath(path, folder))
                info.size = os.path.getsize(path)
                with open(path, "rb") as f:
                    archive.addfile(info, f)
    return len(gzip.compress(tar.getvalue(), 9, mtime=0))


if __name__ == "__main__":
    if sys.argv[1] == "fetch":
        fetch(*sys.argv[2:4])
    else:
        print(weigh(sys.argv[2]))
