#!/usr/bin/env bash
# All that `make demo` and `make test` need, in one virtual environment; does nothing when nothing changed.
#   tools/setup.sh [VENV]         PYTHON=... chooses the Python of a new environment
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${1:-.venv}
started=$SECONDS

python=$(tools/check_system.sh | tail -1)
if ! "$venv/bin/python" -c 'import pip' 2>/dev/null; then
  echo "Python: $("$python" --version) in $venv"
  rm -rf "$venv"
  "$python" -m venv "$venv"
fi

stamp=$venv/var/dsr_ros/packages
log=$venv/var/dsr_ros/packages.log
mkdir -p "$venv/var/dsr_ros"
inputs=$({ sha256sum pyproject.toml setup.py requirements-ros.txt constraints-cpu.txt tools/setup.sh
  pwd; ls -d dsr_*/__init__.py training/__init__.py 2>/dev/null || true; cat "$venv/pyvenv.cfg"; } | sha256sum)
if [ "$(cat "$stamp" 2>/dev/null)" != "$inputs" ]; then
  echo "Python: packages"
  "$venv/bin/python" -m pip install --disable-pip-version-check -c constraints-cpu.txt -r requirements-ros.txt \
    -e '.[sim,view,dev]' >"$log" 2>&1 || { grep -v '^WARNING: Location' "$log" | tail -30 >&2
      echo "setup.sh: pip failed (whole log: $log)" >&2; exit 1; }
  echo "$inputs" >"$stamp"
  changed=1
fi
tools/setup_ros.sh "$venv" -c constraints-cpu.txt
if [ -n "${changed:-}" ]; then echo "Set up in $((SECONDS - started)) s."; fi
