"""`dsr models`: the networks that can be fetched, and the fetching."""

from __future__ import annotations

import argparse
import sys

from dsr_core.commands.common import DONE, print_json, show_progress, verb

NOT_FETCHED = 1


def add(verbs) -> None:
    parser = verb(
        verbs,
        "models",
        "list or fetch the networks of the embedded detector (CPU, no account)",
        run,
        "`dsr models fetch default` gets what `dsr track` needs for recordings without detections. Networks are taken"
        " out of\npublished packages by pip and npm, verified, and kept in $DSR_CACHE (else ~/.cache/dsr_ros).\n"
        "exit status: 0 all is there (or all that this machine's clients can get), 1 something could not be fetched",
    )
    parser.add_argument("action", choices=("list", "fetch"))
    parser.add_argument("names", nargs="*", metavar="NAME", help="what to fetch: models, or the set `default`")


def run(args: argparse.Namespace) -> int:
    from dsr_core.errors import ModelError
    from dsr_core.perception.registry import Registry

    registry = Registry.load()
    if args.action == "list":
        _list(registry, args.json)
        return DONE
    if not args.names:
        known = ", ".join([*registry.sets, *registry.models])
        raise ModelError(f"say what to fetch: `dsr models fetch NAME`, with NAME one of {known}")
    return _fetch(registry, args)


def _list(registry, as_json: bool) -> None:
    from dsr_core.perception.registry import cached_path, is_fetched

    rows = []
    for model in registry.models.values():
        fetched = is_fetched(model)
        rows.append(
            {
                "name": model.name,
                "what": model.what,
                "sets": [name for name, members in registry.sets.items() if model.name in members],
                "bytes": model.bytes,
                "sha256": model.sha256,
                "licence": model.licence,
                "sources": [f"{origin.package}: {origin.member}" for origin in model.origins],
                "alternative": model.alternative,
                "fetched": fetched,
                "path": str(cached_path(model)) if fetched else None,
            }
        )
    if as_json:
        print_json(rows)
        return
    for row in rows:
        mark = "ok" if row["fetched"] else "--"
        sets = f" [{', '.join(row['sets'])}]" if row["sets"] else ""
        print(f"{mark} {row['name']:20s} {row['bytes'] / 1e6:5.1f} MB  {row['licence']}{sets}")
        print(f"   {row['what']}\n   {'; '.join(row['sources'])}\n   sha256 {row['sha256']}")


def _fetch(registry, args: argparse.Namespace) -> int:
    from dsr_core.perception.fetch import fetch

    models = {model.name: model for name in args.names for model in registry.choose(name)}
    asked = {name for name in args.names if name in registry.models}
    results = fetch(models.values(), show_progress(args))
    if args.json:
        keys = ("status", "message")
        print_json(
            [
                {"name": r.model.name, "path": None if r.path is None else str(r.path)}
                | {key: getattr(r, key) for key in keys}
                for r in results
            ]
        )
    for result in results:
        if result.path is None:
            print(f"dsr models: {result.model.name} is missing: {result.message}", file=sys.stderr)
        elif not args.json:
            print(f"{result.model.name}: {result.status}, {result.path}")
    missing = [r for r in results if r.path is None]
    # Of a set, what no installed client can get is left out with a word about it; the rest works without.
    excused = all(r.status == "no_client" and r.model.name not in asked for r in missing)
    return DONE if not missing or (excused and len(missing) < len(results)) else NOT_FETCHED
