"""Build the extension; everything else is in pyproject.toml."""

from setuptools import setup

setup(
    cffi_modules=["csrc/build_native.py:ffibuilder"],
    # cffi builds for the stable ABI: one wheel per platform serves all Pythons.
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
