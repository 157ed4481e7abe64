"""`dsr ask`: a question about a recording, or to a running robot."""

from __future__ import annotations

import argparse
import importlib
import json
import os

from dsr_core.commands.common import DECLINED, DONE, add_source_options, open_recording, print_json, show_progress, verb
from dsr_core.errors import DependencyError, QueryError

_EPILOG = """\
examples:
  dsr ask recording.mcap "is the forklift getting closer to me?"
  dsr ask kitti --sequence 0007 "between 2 and 5 s, how does the distance between car 12 and the robot change?"
  dsr ask scene.scene.npz --query '{"kind": "motion", "subject": "car 12"}' --json
  dsr ask --service /dsr/ask "which is faster, the car or the person?"
  dsr ask recording.mcap "what is the robot about to bump into?" --model out/gsm --pictures 16

exit status: 0 answered, 3 declined (the answer says why), 2 wrong usage or an unreadable recording"""


def add(verbs) -> None:
    parser = verb(verbs, "ask", "ask a question about a recording, or a running robot", run, _EPILOG)
    parser.add_argument("words", nargs="*", metavar="[SOURCE] QUESTION", help="the recording and the question")
    add_source_options(parser)
    parser.add_argument("--service", metavar="NAME", help="ask a running node, e.g. /dsr/ask, in place of a recording")
    parser.add_argument("--choices", nargs="+", metavar="TEXT", help="options of a multiple-choice question")
    parser.add_argument("--viewpoint", metavar="WHO", help="whose eyes: robot, camera, map, a track id or a name")
    parser.add_argument(
        "--start", type=float, metavar="S", help="start of the window, seconds (ROS time for --service)"
    )
    parser.add_argument("--end", type=float, metavar="S", help="end of the window, seconds (ROS time for --service)")
    parser.add_argument("--until", type=float, metavar="S", help="use nothing later than this second")
    parser.add_argument("--query", metavar="JSON", help="a typed query in place of the question")
    parser.add_argument("--rules", choices=("robust", "dsr"), default="robust", help="robust, or the published rules")
    parser.add_argument(
        "--rules-file", metavar="YAML", help="constants of the robust rules, as in config/rules.yaml (recordings only)"
    )
    parser.add_argument("--backend", choices=("auto", "geometry", "vlm"), default="auto", help="which engine answers")
    parser.add_argument(
        "--language-model",
        metavar="URL",
        help="OpenAI-compatible endpoint that reads what the grammar does not, e.g. http://localhost:8000/v1"
        " (recordings only; default: $DSR_LANGUAGE_MODEL_URL, none)",
    )
    parser.add_argument("--language-model-name", metavar="NAME", help="its model (default: $DSR_LANGUAGE_MODEL_NAME)")
    parser.add_argument(
        "--name-embedding",
        action="store_true",
        help="compare names by meaning where no synonym fits (recordings only; needs the extra names)",
    )
    parser.add_argument(
        "--frames",
        nargs="+",
        metavar="FRAME",
        help="TF frames of a bag that the question may look from or ask about, as frame:NAME",
    )
    parser.add_argument(
        "--model",
        metavar="FOLDER",
        help="vision-language model of backend vlm, and of auto where the geometry declines (recordings only; default:"
        " $DSR_VLM_MODEL, none)",
    )
    parser.add_argument(
        "--pictures",
        type=int,
        default=0,
        metavar="N",
        help="pictures of the recording that the model is shown, evenly over the time asked about (default: none)",
    )
    parser.add_argument(
        "--second-opinion",
        action="store_true",
        help="with auto: ask the model too where the geometry has an answer, and tell whether it agrees",
    )
    parser.add_argument("--timeout", type=float, default=10.0, metavar="S", help="longest wait for --service, seconds")


def run(args: argparse.Namespace) -> int:
    source, question = _source_and_question(args)
    query = _query(args.query)
    window = _window(args)
    if args.service:
        answer = _ask_service(args, question, query, window)
    else:
        from dsr_core.api import ask
        from dsr_core.language.config import LanguageConfig, LanguageModelConfig
        from dsr_core.reasoning.rules import DEFAULT_RULES, RobustRules

        config = RobustRules.from_yaml(args.rules_file) if args.rules_file else DEFAULT_RULES
        model = LanguageModelConfig.from_environment(args.language_model, args.language_model_name)
        args.source = source
        options = {"viewer_frames": args.frames} if args.frames else {}
        recording = open_recording(args, **options)
        scene = recording.scene(progress=show_progress(args))
        answer = ask(
            scene,
            question if query is None else query,
            choices=args.choices,
            rules=args.rules,
            until=args.until,
            viewpoint=args.viewpoint,
            window=window,
            backend=args.backend,
            config=config,
            language=LanguageConfig(language_model=model, name_embedding=args.name_embedding),
            answerer=_answerer(args, recording, scene),
            second_opinion=args.second_opinion,
        ).to_dict()
    if args.json:
        print_json(answer)
    else:
        print("\n".join(_lines(answer, args.choices)))
    return DONE if answer["declined"] is None else DECLINED


class _Lazy:
    """A model that is loaded when the first question comes to it: most are answered by the geometry."""

    def __init__(self, load):
        self._load = load

    def answer(self, *question):
        return self._load().answer(*question)


def _answerer(args: argparse.Namespace, recording, scene) -> _Lazy | None:
    path = args.model or os.environ.get("DSR_VLM_MODEL", "").strip()
    if args.pictures < 0:
        raise QueryError(f"--pictures {args.pictures} must not be negative")
    if not path:
        if args.pictures or args.second_opinion:
            raise QueryError("--pictures and --second-opinion are for a model; give one by --model or $DSR_VLM_MODEL")
        return None

    def load():
        from dsr_core.vlm.answering import VlmAnswerer
        from dsr_core.vlm.showing import clip_of_recording

        def clip(window):
            end_s = scene.end_s if args.until is None else args.until
            window = window or (0.0, end_s)
            shown = (window[0], min(window[1], end_s))
            return clip_of_recording(recording, scene.origin_ns, args.pictures, answerer.max_pixels, shown)

        answerer = VlmAnswerer.load(path)
        return answerer.given(clip if args.pictures else None)

    return _Lazy(load)


def _source_and_question(args: argparse.Namespace) -> tuple[str | None, str | None]:
    expected = (0 if args.service else 1) + (0 if args.query else 1)
    if len(args.words) != expected:
        wanted = " ".join(([] if args.service else ["SOURCE"]) + ([] if args.query else ['"QUESTION"'])) or "nothing"
        raise QueryError(
            f"dsr ask takes {wanted} here, {len(args.words)} were given; put the question in quotes (dsr ask --help)"
        )
    words = list(args.words)
    source = None if args.service else words.pop(0)
    return source, words[0] if words else None


def _query(text: str | None) -> dict | None:
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError as error:
        raise QueryError(f'--query is not JSON ({error}); e.g. {{"kind": "motion", "subject": "car 12"}}') from None


def _window(args: argparse.Namespace) -> tuple[float, float] | None:
    if args.start is None and args.end is None:
        return None
    if args.start is None or args.end is None:
        raise QueryError("a window needs both --start and --end, in seconds")
    return args.start, args.end


def _ask_service(args: argparse.Namespace, question: str | None, query: dict | None, window) -> dict:
    if args.until is not None or args.sequence or args.detections or args.frames:
        raise QueryError(
            "--until, --sequence, --detections and --frames are for recordings; the service knows the present, and the"
            " observer has the parameter viewer_frames"
        )
    if args.language_model or args.language_model_name or args.name_embedding:
        raise QueryError(
            "--language-model and --name-embedding are for recordings; a node has the parameters language_model_url and"
            " name_embedding"
        )
    if args.model or args.pictures or args.second_opinion:
        raise QueryError(
            "--model, --pictures and --second-opinion are for recordings; a node has the parameters vlm.model,"
            " vlm.frames and vlm.second_opinion"
        )
    try:
        client = importlib.import_module("dsr_ros.client")
    except ImportError as error:
        raise DependencyError(
            f"asking a service needs ROS 2 and the interfaces of dsr_ros ({error});"
            " run `make`, or source the setup file of your workspace"
        ) from None
    start_ns, end_ns = (0, 0) if window is None else (round(s * 1e9) for s in window)
    return client.ask_service(
        args.service,
        question or "",
        query=query,
        choices=args.choices or (),
        viewpoint=args.viewpoint or "",
        start_ns=start_ns,
        end_ns=end_ns,
        backend=args.backend,
        rules=args.rules,
        timeout_s=args.timeout,
    )


def _lines(answer: dict, choices) -> list[str]:
    """The answer for a person, with what it rests on."""
    lines = [answer["answer"]]
    read = answer.get("details", {})
    if read.get("parsed_by") == "language_model":
        lines.append(f"  read as     {json.dumps(read['query'])} (by {read['language_model']})")
    if "names" in read:
        lines.append(f"  names       {', '.join(f'{name}: {label}' for name, label in read['names'].items())}")
    declined = answer["declined"]
    if declined is not None:
        lines.append(f"  code        {declined['code']}")
        if declined["candidates"]:
            lines.append(f"  instead     {'; '.join(declined['candidates'])}")
        return [*lines, f"  the model   {_second(read['vlm'])}"] if "vlm" in read else lines
    if choices:
        lines.append(f"  choice      {answer['choice']}")
    if answer["backend"] == "vlm":
        return lines + _of_model(answer, choices or read.get("options"))
    states = ", ".join(f"{s['label']} {s['start']:.1f}-{s['end']:.1f} s" for s in answer["states"])
    lines.append(f"  states      {states}")
    if answer["value"] is not None:
        sigma = "" if answer["sigma"] is None else f" ± {answer['sigma']:.2g}"
        lines.append(f"  value       {answer['value']:.3g}{sigma} {answer['unit'] or ''}".rstrip())
    evidence = answer["evidence"]
    lines.append(f"  confidence  {100 * answer['confidence']:.0f} %")
    lines.append(
        f"  evidence    {evidence['samples']} samples of tracks {', '.join(evidence['tracks']) or '(none)'}"
        f" from {evidence['window'][0]:.1f} s to {evidence['window'][1]:.1f} s"
    )
    moving = [f"{who} {what}" for who, what in answer["motion"].items() if what]
    if moving:
        lines.append(f"  in world    {', '.join(moving)}")
    if "vlm" in read:
        lines.append(f"  the model   {_second(read['vlm'])}")
    return lines


def _of_model(answer: dict, choices) -> list[str]:
    """What a model's answer rests on."""
    told, lines = answer["details"], []
    if choices:
        odds = zip(choices, told["probabilities"], strict=True)
        lines.append("  options     " + ", ".join(f"{choice} {100 * p:.0f} %" for choice, p in odds))
    lines.append(f"  confidence  {100 * answer['confidence']:.0f} %, as the model {told['model']} has it")
    tokens = ", ".join(f"{count} tokens of {name}" for name, count in told["geometry_tokens"].items())
    lines.append(f"  evidence    {told['pictures']} pictures{', ' + tokens if tokens else ''}")
    if "geometry" in told:
        declined = told["geometry"]["declined"]
        lines.append(f"  geometry    declined, {declined['code']}: {declined['message']}")
    return lines


def _second(told: dict) -> str:
    if "declined" in told:
        return f"declined, {told['declined']['code']}: {told['declined']['message']}"
    agrees = {True: "agrees", False: "disagrees", None: "says"}[told["agrees"]]
    return f"{agrees}: {told['answer']} ({100 * told['confidence']:.0f} %)"
