#!/usr/bin/env bash
# Builds a stand-in for AWS's Lambda image of Python, for machines that cannot pull it from public.ecr.aws.
# It consists of Debian and PyPI packages and is tagged with the names that SAM CLI
# (public.ecr.aws/lambda/python:3.13-x86_64) and MiniStack (public.ecr.aws/lambda/python:3.13) look for.
#
#   dev/make-lambda-image.sh [PYTHON_WITH_PIP] [VENV_WITH_SAM]
#
# Needs root, a running Docker engine, debootstrap, a Python with pip, and a virtual environment with
# aws-sam-cli, which contains the runtime interface emulator. Builds for x86_64 only.
set -euo pipefail
PYV=3.13
SUITE=trixie    # the Debian release whose python3 is $PYV
ARCH=x86_64
PY=${1:-python3}
SAM_VENV=${2:-${VIRTUAL_ENV:?name a virtual environment with aws-sam-cli}}
# The Debian mirror that apt uses on this machine, unless MIRROR names another.
SOURCES='s|^deb \(\[[^]]*\] \)\?\([^ ]*\) .*|\2|p; s|^URIs: *\([^ ]*\).*|\1|p'
MIRROR=${MIRROR:-$(sed -n "$SOURCES" /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | head -1 || true)}
WORK=$(mktemp -d)
ROOT=$WORK/root
trap 'rm -rf "$WORK"' EXIT
RIE=$("$SAM_VENV/bin/python" -c 'import samcli,pathlib;print(pathlib.Path(samcli.__file__).parent/"local/rapid/aws-lambda-rie-'$ARCH'")')

# 1. A minimal Debian with its Python and CA certificates.
debootstrap --variant=minbase --include=python3,ca-certificates "$SUITE" "$ROOT" "$MIRROR" >"$WORK/debootstrap.log" 2>&1 \
  || { tail -20 "$WORK/debootstrap.log"; exit 1; }
rm -rf "$ROOT"/var/cache/apt/archives/*.deb "$ROOT"/var/lib/apt/lists/* "$ROOT"/usr/share/{doc,man,locale,info}/*

# 2. The folders of AWS's image.
mkdir -p "$ROOT"/var/{task,runtime,rapid,lang/bin} "$ROOT"/opt "$ROOT/var/lang/lib/python$PYV/site-packages" "$ROOT"/usr/local/bin
ln -s /usr/bin/python$PYV "$ROOT/var/lang/bin/python$PYV"
ln -s python$PYV "$ROOT/var/lang/bin/python3"
ln -s python$PYV "$ROOT/var/lang/bin/python"
# The runtime interface client and the SDK that AWS's image contains: wheels for Python $PYV, whichever
# version runs pip.
"$PY" -m pip install -q --disable-pip-version-check --no-compile --only-binary=:all: \
  --python-version $PYV --implementation cp --abi cp${PYV/./} --platform manylinux2014_x86_64 --platform manylinux_2_28_x86_64 \
  --target "$ROOT/var/lang/lib/python$PYV/site-packages" awslambdaric boto3 2>&1 | grep -v "^WARNING: Location" || true
test -d "$ROOT/var/lang/lib/python$PYV/site-packages/awslambdaric"
install -m 0755 "$RIE" "$ROOT/usr/local/bin/aws-lambda-rie"

cat >"$ROOT/lambda-entrypoint.sh" <<'SH'
#!/bin/sh
if [ $# -ne 1 ]; then
  echo "entrypoint requires the handler name to be the first argument" 1>&2
  exit 142
fi
export _HANDLER="$1"
if [ -z "${AWS_LAMBDA_RUNTIME_API}" ]; then
  exec /usr/local/bin/aws-lambda-rie /var/runtime/bootstrap
else
  exec /var/runtime/bootstrap
fi
SH
cat >"$ROOT/var/runtime/bootstrap" <<SH
#!/bin/sh
export AWS_EXECUTION_ENV=AWS_Lambda_python$PYV
if [ -n "\${AWS_LAMBDA_EXEC_WRAPPER:-}" ]; then
  exec "\$AWS_LAMBDA_EXEC_WRAPPER" /var/lang/bin/python$PYV /var/runtime/bootstrap.py
fi
exec /var/lang/bin/python$PYV /var/runtime/bootstrap.py
SH
cat >"$ROOT/var/runtime/bootstrap.py" <<PY
import os, sys
root = os.environ.setdefault("LAMBDA_TASK_ROOT", "/var/task")
# The order of AWS's image: the function's code, its layers, then the runtime's packages.
sys.path[0:1] = [root, "/opt/python/lib/python$PYV/site-packages", "/opt/python",
                 "/var/lang/lib/python$PYV/site-packages", "/var/runtime"]
sys.path[:] = [p for p in sys.path if not p.endswith("/dist-packages")]
os.chdir(root)
from awslambdaric.__main__ import main
main([sys.argv[0], os.environ["_HANDLER"]])
PY
chmod 0755 "$ROOT/lambda-entrypoint.sh" "$ROOT/var/runtime/bootstrap"

# 3. One image layer, with the configuration of AWS's image.
T=public.ecr.aws/lambda/python
tar -C "$ROOT" --numeric-owner -c . | docker import \
  -c 'ENV LANG=en_US.UTF-8 TZ=:/etc/localtime LAMBDA_TASK_ROOT=/var/task LAMBDA_RUNTIME_DIR=/var/runtime' \
  -c 'ENV PATH=/var/lang/bin:/usr/local/bin:/usr/bin:/bin:/opt/bin' \
  -c 'ENV LD_LIBRARY_PATH=/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib' \
  -c 'WORKDIR /var/task' -c 'ENTRYPOINT ["/lambda-entrypoint.sh"]' \
  - $T:$PYV-$ARCH >/dev/null
docker tag $T:$PYV-$ARCH $T:$PYV
docker images $T
