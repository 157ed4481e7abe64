#!/usr/bin/env bash
# Checks what pip cannot install: a C++ compiler, Python 3.10-3.13 with venv and headers, EGL for drawing without a screen.
# Installs what is missing with apt-get when root, else prints the one line that does. Needs no network when all is there.
# The last line of its output is the Python to use; messages go to stderr. PYTHON=... chooses another one.
set -euo pipefail

say() { echo "check_system.sh: $*" >&2; }
in_range() { "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; }
find_python() {                # prints the path of the interpreter itself, not of a shim
  local candidate
  for candidate in ${PYTHON:-python3 python3.12 python3.13 python3.11 python3.10 /usr/bin/python3}; do
    if in_range "$candidate"; then "$candidate" -c 'import sys; print(sys.executable)'; return; fi
  done
  return 1
}
has_library() {                # has_library NAME: the dynamic linker finds it
  "$python" -c 'import ctypes, sys; ctypes.CDLL(sys.argv[1])' "$1" 2>/dev/null
}
has_driver() {                 # a vendor of EGL that can draw: NVIDIA's, or Mesa with its software driver
  compgen -G '/usr/share/glvnd/egl_vendor.d/*nvidia*.json' >/dev/null ||
    { has_library libEGL_mesa.so.0 && { compgen -G '/usr/lib*/*/dri/*swrast*' || compgen -G '/usr/lib*/dri/*swrast*' ||
      compgen -G '/usr/lib*/*/libgallium*' || compgen -G '/usr/lib*/libgallium*'; } >/dev/null; }
}
missing() {                    # the Debian/Ubuntu packages that are missing, one a line
  command -v g++ >/dev/null || command -v c++ >/dev/null || echo g++
  command -v make >/dev/null || command -v ninja >/dev/null || echo make
  local version suffix=3
  version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  if [ "$(readlink -f "$(python3 -c 'import sys; print(sys.executable)' 2>/dev/null)")" != "$(readlink -f "$python")" ]; then suffix=$version; fi
  "$python" -c 'import ensurepip, venv' 2>/dev/null || echo "python$suffix-venv"
  "$python" -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' ||
    echo "python$suffix-dev"
  has_library libEGL.so.1 || echo libegl1
  has_library libOpenGL.so.0 || echo libopengl0
  has_driver || printf '%s\n' libegl-mesa0 libgl1-mesa-dri
}

if [ "$(uname -s)-$(uname -m)" != Linux-x86_64 ]; then
  say "ROS 2 has wheels for Linux x86-64 only, this is $(uname -s) $(uname -m)."
  say "Use apt's ROS 2 and colcon here: README.md, section 'On a robot'."
  exit 1
fi

wanted=()
if python=$(find_python); then
  mapfile -t wanted < <(missing)
elif [ -z "${PYTHON:-}" ] && ! command -v python3 >/dev/null; then
  wanted=(g++ make python3 python3-venv python3-dev libegl1 libopengl0 libegl-mesa0 libgl1-mesa-dri)
else
  say "needs Python 3.10 to 3.13; '${PYTHON:-python3}' is $("${PYTHON:-python3}" --version 2>&1 | tail -1)."
  say "Install one and name it: make PYTHON=/path/to/python3.12"
  exit 1
fi

if [ ${#wanted[@]} -gt 0 ]; then
  line="apt-get update && apt-get install -y --no-install-recommends ${wanted[*]}"
  if ! command -v apt-get >/dev/null; then
    say "missing (names of Debian's packages): ${wanted[*]}. Install them with this system's package manager."
    exit 1
  fi
  if [ "$(id -u)" != 0 ]; then
    say "missing: ${wanted[*]}. Run this, then make again:"
    echo "  sudo sh -c '$line'" >&2
    exit 1
  fi
  echo "System: installing ${wanted[*]}" >&2
  export DEBIAN_FRONTEND=noninteractive
  log=$(mktemp)
  sh -c "$line" >"$log" 2>&1 || { tail -20 "$log" >&2; say "failed: $line"; exit 1; }
  rm -f "$log"
  python=$(find_python) || { say "apt's python3 is not 3.10 to 3.13; name another one: make PYTHON=/path/to/python3.12"; exit 1; }
  mapfile -t wanted < <(missing)
  if [ ${#wanted[@]} -gt 0 ]; then say "still missing after the installation: ${wanted[*]}"; exit 1; fi
fi
echo "$python"
