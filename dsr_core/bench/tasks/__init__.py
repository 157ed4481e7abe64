"""One file a benchmark; `dsr_core.bench.task.find_task` imports them by name."""
