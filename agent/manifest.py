"""Freezes the agent into a firmware build (FROZEN_MANIFEST). boot.py stays a file: it is what runs the guard."""

metadata(description="Over-the-air updates: atomic install, trial boots, rollback.", version="0.1.0", license="MIT OR Apache-2.0")  # noqa: F821
package("goldcrest", base_path=".", opt=3)  # noqa: F821
