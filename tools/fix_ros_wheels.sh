#!/usr/bin/env bash
# The CMake targets that the ROS wheels export name include folders of the machine that built them, and CMake refuses those.
#   tools/fix_ros_wheels.sh PYTHON        of the virtual environment that holds the wheels; may be run again
set -euo pipefail
py=$1
prefix=$("$py" -c 'import sys; print(sys.prefix)')
include=$("$py" -c 'import sysconfig; print(sysconfig.get_path("include"))')
numpy_include=$("$py" -c 'import numpy; print(numpy.get_include())')
{ grep -rlZ '/opt/python/cp' "$prefix/share" --include='*.cmake' || true; } | xargs -0 -r sed -i -E \
  "s#/opt/python/cp[^;\"]*/site-packages/numpy/[^;\"]*include#$numpy_include#g; s#/opt/python/cp[^;\"]*/include/python3[^;\"]*#$include#g"
