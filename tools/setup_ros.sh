#!/usr/bin/env bash
# Puts ROS 2 Jazzy (wheels) and this package's interfaces into a virtual environment. Nothing has to be sourced afterwards.
#   tools/setup_ros.sh VENV [PIP-OPTION...]      e.g. tools/setup_ros.sh .venv -c constraints-cpu.txt
# Does nothing when nothing changed. Needs a C++ compiler; cmake and ninja come from the system or from pip.
set -euo pipefail

[ $# -ge 1 ] || { echo "usage: tools/setup_ros.sh VENV [PIP-OPTION...]" >&2; exit 2; }
repo=$(cd "$(dirname "$0")/.." && pwd)
[ -x "$1/bin/python" ] || "${PYTHON:-python3}" -m venv "$1"
venv=$(cd "$1" && pwd)
shift
py=$venv/bin/python
state=$venv/var/dsr_ros        # build folders, log and stamp: a second venv or Python never meets this one's cache
log=$state/setup.log
mkdir -p "$state"

site=$("$py" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
fingerprint() {                # inputs, Python and the ROS wheels that are there
  { (cd "$repo" && find requirements-ros.txt CMakeLists.txt package.xml tools/*_ros*.sh msg srv action interfaces \
       -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum)
    echo "$site" "$@"
    for option in "$@"; do if [ -f "$option" ]; then cat "$option"; fi; done
    (cd "$site" && ls -d ros_*.dist-info numpy-*.dist-info)
    ls -d "$venv/share/dsr_ros/python/dsr_ros/srv"
  } 2>/dev/null | sha256sum
}
data() {                       # launch and config files are compared every time: that costs nothing
  mkdir -p "$venv/share/dsr_ros"
  for folder in launch config; do
    if ! diff -rq "$repo/$folder" "$venv/share/dsr_ros/$folder" >/dev/null 2>&1; then
      rm -rf "$venv/share/dsr_ros/$folder"
      if [ -d "$repo/$folder" ]; then cp -r "$repo/$folder" "$venv/share/dsr_ros/$folder"; fi
    fi
  done
}
if [ -f "$state/stamp" ] && [ "$(cat "$state/stamp")" = "$(fingerprint "$@")" ]; then
  data
  exit 0
fi
rm -f "$state/stamp"
: >"$log"
run() {                        # quiet; what went wrong is shown
  "$@" >>"$log" 2>&1 || { tail -40 "$log" >&2; echo "setup_ros.sh: failed: $* (whole log: $log)" >&2; exit 1; }
}

has_wheels() {
  "$py" - "$repo/requirements-ros.txt" <<'END'
import sys
from importlib.metadata import PackageNotFoundError, version
try:
    for line in open(sys.argv[1]):
        if line.partition("#")[0].strip():
            version(line.strip())
    version("numpy")
except PackageNotFoundError:
    sys.exit(1)
END
}
if ! has_wheels; then
  echo "ROS 2: wheels"
  run "$py" -m pip install --disable-pip-version-check --no-compile -r "$repo/requirements-ros.txt" numpy "$@"
fi

unset CMAKE_PREFIX_PATH PYTHONPATH COLCON_PREFIX_PATH ROS_DISTRO || true
export AMENT_PREFIX_PATH=$venv PATH=$venv/bin:$PATH
cmake_is_new() { cmake --version 2>/dev/null | awk 'NR==1 {split($3, v, "."); exit !(v[1] > 3 || v[2] >= 19)}'; }
command -v cmake >/dev/null && cmake_is_new || run "$py" -m pip install --disable-pip-version-check 'cmake>=3.19'
command -v ninja >/dev/null || command -v make >/dev/null || run "$py" -m pip install --disable-pip-version-check ninja
generator=()
if command -v ninja >/dev/null; then generator=(-G Ninja); fi

run "$repo/tools/fix_ros_wheels.sh" "$py"

build() {                      # build NAME SOURCE PYTHON-FOLDER [CMAKE-OPTION...]
  local name=$1 source=$2 python_dir=$3 folder=$state/build-$1
  shift 3
  echo "ROS 2: interfaces of $name"
  if ! grep -qsxF "CMAKE_HOME_DIRECTORY:INTERNAL=$source" "$folder/CMakeCache.txt"; then rm -rf "$folder"; fi
  run cmake -S "$source" -B "$folder" "${generator[@]}" -DBUILD_TESTING=OFF -DCMAKE_PREFIX_PATH="$venv" \
    -DCMAKE_INSTALL_PREFIX="$venv" -DPython3_EXECUTABLE="$py" -DPYTHON_INSTALL_DIR="$python_dir" "$@"
  run cmake --build "$folder" --parallel "$(nproc)"
  rm -rf "${venv:?}/$python_dir/$name"
  run cmake --install "$folder"
  rm -rf "${venv:?}/$python_dir/$name"-*.egg-info      # no distribution of this name for pip to find
}

# Not into site-packages: an empty dsr_ros/__init__.py there would hide an editable install. dsr_ros/__init__.py looks here.
build dsr_ros "$repo" share/dsr_ros/python -DDSR_INTERFACES_ONLY=ON

# /tf needs tf2_msgs, which has no wheel; a real one is left alone
pth=$site/dsr_ros_tf2_msgs.pth
rm -f "$pth"
if ! (cd / && "$py" -c 'import tf2_msgs.msg' 2>/dev/null); then
  build tf2_msgs "$repo/interfaces/tf2_msgs" share/tf2_msgs/python
  "$py" -c 'import os, sys; print(os.path.relpath(sys.argv[1], sys.argv[2]))' "$venv/share/tf2_msgs/python" "$site" >"$pth"
fi
data

(cd / && PYTHONPATH=$repo run "$py" -c '
from dsr_ros.action import AskLong
from dsr_ros.msg import Answer
from dsr_ros.srv import Ask
from tf2_msgs.msg import TFMessage
for message in (Answer, TFMessage, Ask, AskLong):
    message.__class__.__import_type_support__()
')
fingerprint "$@" >"$state/stamp"
echo "ROS 2: ready in $venv"
