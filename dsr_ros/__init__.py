"""ROS 2 nodes; dsr_ros.msg, dsr_ros.srv and dsr_ros.action are generated from msg/, srv/ and action/."""

import os
import sys
from pkgutil import extend_path

# the source tree comes first on sys.path: find the interfaces of a colcon or apt install of this package
__path__ = extend_path(__path__, __name__)
# ROS 2 from wheels: tools/setup_ros.sh puts the generated interfaces here, inside the virtual environment
_generated = os.path.join(sys.prefix, "share", "dsr_ros", "python", "dsr_ros")
if os.path.isdir(_generated) and _generated not in __path__:
    __path__.append(_generated)
