"""The kit for plugin authors: conformance checks, and fakes to test against.

In a plugin's own test::

    from benchbench.testing import assert_conforms

    def test_my_encoder_conforms():
        assert_conforms("my_encoder")
"""

from __future__ import annotations

from .conformance import Finding, assert_conforms, check

__all__ = ["Finding", "assert_conforms", "check"]
