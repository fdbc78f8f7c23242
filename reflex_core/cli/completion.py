"""`reflex-proxy completion`: what a shell needs to complete our arguments."""

from __future__ import annotations

from argparse import Namespace

import argcomplete


def main(args: Namespace) -> int:
    print(argcomplete.shellcode(["reflex-proxy"], shell=args.shell))  # pyright: ignore[reportPrivateImportUsage]
    return 0
