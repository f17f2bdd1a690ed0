# SPDX-License-Identifier: Apache-2.0
"""`reachprobe`, also as `python -m probes`."""

import signal
import sys

from probes.runtime.early_end import end_when_asked


def main() -> int:
    """Run one command; its exit status."""
    if sys.argv[1:2] in (["run"], ["reflector"]):
        end_when_asked()
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:
        # Ctrl-C during the imports ends the process at once, without a traceback.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from probes.cli.main import main as command

    signal.signal(signal.SIGINT, handler)
    return command()


if __name__ == "__main__":
    sys.exit(main())
