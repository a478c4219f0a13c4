"""The command line of the demo."""

import argparse
import importlib.util
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from localcluster import host
from localcluster.demo.settings import Settings
from localcluster.errors import ClusterError
from localcluster.progress import Progress

if TYPE_CHECKING:
    from localcluster.demo.show import Show

_INTERRUPTED = 130
_NEEDS = ("aiohttp", "grpc", "kubernetes", "matplotlib", "modelrelease", "rich", "tritonclient")


def main(arguments: Sequence[str]) -> int:
    """Play the demo; return 0 only if every act ended as told and no request was lost."""
    chosen = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        settings = Settings(**vars(chosen))
        _require_packages()
        if settings.context is None and (prefix := host.privilege()):
            os.execvp(prefix[0], [*prefix, sys.executable, "-m", "localcluster.demo", *arguments])  # noqa: S606 - no shell
        return run(settings)
    except ClusterError as error:
        sys.stderr.write(f"demo: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("demo: interrupted\n")
        return _INTERRUPTED


def run(settings: Settings) -> int:
    """Set the stage, play, and tell how it went."""
    from localcluster.demo.acts import acts
    from localcluster.demo.checks import Check
    from localcluster.demo.demo import Demo
    from localcluster.demo.screen import screen
    from localcluster.demo.show import Show
    from localcluster.demo.stage import stage

    progress = Progress()
    show = Show(acts=acts(settings), started=time.time(), rate=settings.rate)
    show.begin(0)
    with stage(settings=settings, progress=progress) as found:
        show.end([Check(text="the cluster answers", ok=True)])
        trouble = ""
        try:
            with screen(live=settings.live) as drawn:
                Demo(settings=settings, stage=found, screen=drawn, show=show).play()
        except ClusterError as error:
            trouble = str(error)
        well = _tell(settings=settings, show=show)
        if trouble:
            sys.stderr.write(f"demo: {trouble}\n")
        if settings.keep:
            sys.stdout.write(f"\nThe cluster stays up. To look around:\n\n    {found.hint}\n    kubectl get mr -A\n\n")
    return 0 if well and not trouble else 1


def _tell(*, settings: Settings, show: "Show") -> bool:
    from localcluster.demo import picture, summary

    told = summary.Told(
        settings=settings,
        started=show.started,
        ended=time.time(),
        spans=show.spans,
        checks=show.checks,
        moments=show.follower.moments if show.follower else (),
        requests=tuple(show.recorder.requests),
        names=show.names,
        acts=len(show.acts),
    )
    settings.out.mkdir(parents=True, exist_ok=True)
    (settings.out / "demo.json").write_text(json.dumps(summary.document(told), indent=1) + "\n")
    sys.stdout.write(summary.text(told) + "\n")
    if told.requests:
        picture.draw(told=told, to=settings.out / "demo.png")
        sys.stdout.write(f"\nPicture: {settings.out / 'demo.png'}, numbers: {settings.out / 'demo.json'}\n")
    host.give_to_caller(settings.out, *settings.out.glob("demo.*"))
    return told.ok


def _require_packages() -> None:
    missing = [name for name in _NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        msg = f"the demo needs the Python packages {', '.join(missing)}: install the project's development group"
        raise ClusterError(msg)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m localcluster.demo",
        description="Watch a model go from source to all of the traffic on a real Kubernetes, and bad ones be stopped.",
    )
    plain = Settings()
    parser.add_argument("--rate", type=float, default=plain.rate, help="requests per second (default: %(default)g)")
    parser.add_argument(
        "--interval", type=int, default=plain.interval, help="seconds between two looks at the evidence (%(default)s)"
    )
    parser.add_argument("--bake", type=int, default=plain.bake, help="seconds of the bake (%(default)s)")
    parser.add_argument("--keep", action="store_true", help="leave the cluster up at the end")
    parser.add_argument("--out", type=Path, default=plain.out, help="folder for picture and numbers (%(default)s)")
    parser.add_argument("--name", default=plain.name, help="name of the local cluster (%(default)s)")
    parser.add_argument(
        "--live", action=argparse.BooleanOptionalAction, help="redraw the view in place (default: on a terminal)"
    )
    other = parser.add_argument_group("on a cluster that exists, with Envoy Gateway, Prometheus and the images")
    other.add_argument("--context", help="context of your kubeconfig")
    other.add_argument("--gateway-address", metavar="HOST:PORT", help="where its gateway answers from this machine")
    other.add_argument("--gateway", metavar="NAMESPACE/NAME", default=plain.gateway, help="the Gateway (%(default)s)")
    other.add_argument(
        "--overlay", type=Path, default=plain.overlay, help="kustomization of the operator (%(default)s)"
    )
    other.add_argument("--builder-image", default=plain.builder_image, help="default: %(default)s")
    other.add_argument("--triton-image", default=plain.triton_image, help="default: %(default)s")
    other.add_argument("--backend", default=plain.backend, help="Triton's backend for the model (%(default)s)")
    return parser
