"""Packs a built program: an archive, a package for Debian, and an image, each the same bytes for the same program.

    pack.py PROGRAM DIRECTORY

The package is written by hand, as deb(5) says, so that no tool of Debian is needed; the image has the layout that both
`docker load` and OCI tools read (OCI image layout 1.0, with the manifest of `docker save` beside it).
"""

import gzip
import hashlib
import io
import json
import os
import platform
import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Files get the time of the last commit, so that the same commit gives the same archives.
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}

# Nobody's number, as in deploy/Dockerfile.
NOBODY = 65532


def said(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True, cwd=ROOT).stdout.strip()


def time_of_source():
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given:
        return int(given)
    try:
        return int(said("git", "log", "-1", "--format=%ct"))
    except (OSError, subprocess.CalledProcessError, ValueError):
        return 0


class Tree:
    """A tar archive in memory whose members depend on nothing but their content."""

    def __init__(self, when):
        self.when = when
        self.bytes = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.bytes, mode="w", format=tarfile.GNU_FORMAT)

    def _member(self, name, kind, mode, owner):
        member = tarfile.TarInfo(name)
        member.type, member.mode, member.mtime = kind, mode, self.when
        member.uid = member.gid = owner
        return member

    def folder(self, name, mode=0o755, owner=0):
        self.tar.addfile(self._member(name, tarfile.DIRTYPE, mode, owner))

    def file(self, name, content, mode=0o644):
        member = self._member(name, tarfile.REGTYPE, mode, 0)
        member.size = len(content)
        self.tar.addfile(member, io.BytesIO(content))

    def done(self):
        self.tar.close()
        return self.bytes.getvalue()


def gzipped(content):
    return gzip.compress(content, compresslevel=9, mtime=0)


def manual(program):
    """The manual pages that the program writes of itself."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([program, "man", "--into", folder], check=True, capture_output=True)
        return {page.name: page.read_bytes() for page in sorted(Path(folder).iterdir())}


def archive(program, pages, when, name):
    tree = Tree(when)
    tree.folder(name)
    tree.file(f"{name}/tollgate", program, 0o755)
    for document in ["README.md", "LICENSE", "CHANGELOG.md", "config/gateway.yaml"]:
        tree.file(f"{name}/{Path(document).name}", (ROOT / document).read_bytes())
    tree.folder(f"{name}/man")
    for page, text in pages.items():
        tree.file(f"{name}/man/{page}", text)
    return gzipped(tree.done())


def control(version, machine, size, is_static):
    lines = [
        "Package: tollgate",
        f"Version: {version}",
        f"Architecture: {machine}",
        "Maintainer: The Tollgate developers <tollgate@example.com>",
        f"Installed-Size: {(size + 1023) // 1024}",
        "Section: net",
        "Priority: optional",
        "Recommends: ca-certificates",
        "Description: edge gateway for metered lookup APIs",
        " It lets a request through to a lookup backend only when its token, product, credits,",
        " network, domain, rate, headers and body are right, and answers all others with one",
        " error object.",
    ]
    if not is_static:
        lines.insert(4, "Depends: libc6, libgcc-s1")
    return ("\n".join(lines) + "\n").encode()


POSTINST = b"""#!/bin/sh
set -e
if [ "$1" = configure ] && command -v systemd-sysusers >/dev/null 2>&1; then
    systemd-sysusers tollgate.conf || true
    if [ -d /run/systemd/system ]; then systemctl daemon-reload || true; fi
fi
"""


def package(program, pages, when, version, machine, is_static):
    data = Tree(when)
    folders = [".", "./usr", "./usr/bin", "./usr/lib", "./usr/lib/systemd", "./usr/lib/systemd/system",
               "./usr/lib/sysusers.d", "./usr/share", "./usr/share/man", "./usr/share/man/man1", "./usr/share/doc",
               "./usr/share/doc/tollgate", "./usr/share/doc/tollgate/examples"]
    for folder in folders:
        data.folder(folder)
    unit = (ROOT / "deploy/systemd/tollgate.service").read_text().replace("/usr/local/bin/", "/usr/bin/")
    files = {
        "./usr/bin/tollgate": (program, 0o755),
        "./usr/lib/systemd/system/tollgate.service": (unit.encode(), 0o644),
        "./usr/lib/sysusers.d/tollgate.conf": ((ROOT / "deploy/systemd/tollgate.sysusers").read_bytes(), 0o644),
        "./usr/share/doc/tollgate/copyright": ((ROOT / "LICENSE").read_bytes(), 0o644),
        "./usr/share/doc/tollgate/changelog.gz": (gzipped((ROOT / "CHANGELOG.md").read_bytes()), 0o644),
        "./usr/share/doc/tollgate/examples/gateway.yaml": ((ROOT / "config/gateway.yaml").read_bytes(), 0o644),
    }
    for page, text in pages.items():
        files[f"./usr/share/man/man1/{page}.gz"] = (gzipped(text), 0o644)
    for name, (content, mode) in files.items():
        data.file(name, content, mode)
    about = Tree(when)
    about.folder(".")
    size = sum(len(content) for content, _ in files.values())
    about.file("./control", control(version, machine, size, is_static))
    sums = "".join(f"{hashlib.md5(content).hexdigest()}  {name[2:]}\n" for name, (content, _) in files.items())
    about.file("./md5sums", sums.encode())
    about.file("./postinst", POSTINST, 0o755)
    parts = {"debian-binary": b"2.0\n", "control.tar.gz": gzipped(about.done()), "data.tar.gz": gzipped(data.done())}
    out = b"!<arch>\n"
    for name, content in parts.items():
        out += f"{name:<16}{when:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode()
        out += content + (b"\n" if len(content) % 2 else b"")
    return out


def digest(content):
    return hashlib.sha256(content).hexdigest()


def certificates():
    found = Path("/etc/ssl/certs/ca-certificates.crt")
    return found.read_bytes() if found.exists() else None


def image(program, when, version, machine, created):
    layer = Tree(when)
    for folder in ["etc", "etc/ssl", "etc/ssl/certs", "usr", "usr/local", "usr/local/bin", "var", "var/lib"]:
        layer.folder(folder)
    for folder in ["etc/tollgate", "var/lib/tollgate"]:
        layer.folder(folder, 0o750, NOBODY)
    layer.file("usr/local/bin/tollgate", program, 0o755)
    if certificates():
        layer.file("etc/ssl/certs/ca-certificates.crt", certificates())
    layer = layer.done()
    blob = gzipped(layer)
    config = json.dumps({
        "architecture": machine,
        "os": "linux",
        "created": created,
        "config": {
            "User": f"{NOBODY}:{NOBODY}",
            "WorkingDir": "/var/lib/tollgate",
            "Volumes": {"/var/lib/tollgate": {}},
            "ExposedPorts": {"8080/tcp": {}, "9901/tcp": {}},
            "StopSignal": "SIGTERM",
            "Entrypoint": ["/usr/local/bin/tollgate"],
            "Cmd": ["run", "--config", "/etc/tollgate/gateway.yaml"],
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest(layer)}"]},
        "history": [{"created": created, "created_by": "deploy/dist/pack.py"}],
    }, sort_keys=True).encode()
    described = lambda kind, content: {"mediaType": kind, "digest": f"sha256:{digest(content)}", "size": len(content)}
    manifest = json.dumps({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": described("application/vnd.oci.image.config.v1+json", config),
        "layers": [described("application/vnd.oci.image.layer.v1.tar+gzip", blob)],
    }, sort_keys=True).encode()
    tag = f"tollgate:{version}"
    index = described("application/vnd.oci.image.manifest.v1+json", manifest)
    index["annotations"] = {"io.containerd.image.name": f"docker.io/library/{tag}", "org.opencontainers.image.ref.name": version}
    path = lambda content: f"blobs/sha256/{digest(content)}"
    out = Tree(when)
    out.folder("blobs")
    out.folder("blobs/sha256")
    for content in (config, blob, manifest):
        out.file(path(content), content)
    out.file("index.json", json.dumps({"schemaVersion": 2, "manifests": [index]}, sort_keys=True).encode())
    out.file("oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
    old = [{"Config": path(config), "RepoTags": [tag], "Layers": [path(blob)]}]
    out.file("manifest.json", json.dumps(old, sort_keys=True).encode())
    return out.done()


def main():
    program_path, folder = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    stripped = folder / ".program"
    subprocess.run(["strip", "-o", str(stripped), str(program_path)], check=True)
    program = stripped.read_bytes()
    stripped.unlink()
    version = said(str(program_path), "--version").split()[-1]
    machine = MACHINES.get(platform.machine(), platform.machine())
    # A program that the dynamic linker has to read names it.
    is_static = b"/ld-linux" not in program and b"/ld-musl" not in program
    when = time_of_source()
    import datetime

    created = datetime.datetime.fromtimestamp(when, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    pages = manual(str(program_path))
    name = f"tollgate-{version}-linux-{machine}"
    made = {
        f"{name}.tar.gz": archive(program, pages, when, name),
        f"tollgate_{version}_{machine}.deb": package(program, pages, when, version, machine, is_static),
    }
    if is_static:
        made[f"{name}-image.tar"] = image(program, when, version, machine, created)
    else:
        print("the program needs libraries of the system, so that there is no image of it", file=sys.stderr)
    for file, content in made.items():
        (folder / file).write_bytes(content)
    listed = sorted([*made, "sbom.cdx.json"] if (folder / "sbom.cdx.json").exists() else made)
    sums = "".join(f"{digest((folder / file).read_bytes())}  {file}\n" for file in listed)
    (folder / "SHA256SUMS").write_text(sums)
    for file in [*listed, "SHA256SUMS"]:
        print(f"{(folder / file).stat().st_size:>12}  {folder / file}")


if __name__ == "__main__":
    main()
