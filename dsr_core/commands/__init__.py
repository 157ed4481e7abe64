"""The verbs of `dsr`, one file each: `add` declares the arguments, `run` does the job and gives the exit status."""
