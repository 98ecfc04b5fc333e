# SPDX-License-Identifier: Apache-2.0

"""Kinds of arguments that several commands take."""

import argparse


def pair(text: str) -> tuple[str, str]:
    """Read an argument of the form NAME=VALUE."""
    name, sign, value = text.partition('=')
    if not (name and sign):
        raise argparse.ArgumentTypeError(f'{text!r} is not NAME=VALUE')
    return name, value


def number(text: str) -> int:
    """Read a number from 0 upwards."""
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise argparse.ArgumentTypeError(
            f'{text!r} is not a number of 0 or more')
    return int(text)


def positive(text: str) -> int:
    """Read a number from 1 upwards."""
    value = number(text)
    if not value:
        raise argparse.ArgumentTypeError('must be at least 1')
    return value
