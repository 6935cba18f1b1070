"""libtransip's C API (``libtransip/include/transip.h``) through ctypes: the structs and functions, and errors."""

from __future__ import annotations

import ctypes
from functools import cache

from transip_md.common.errors import CheckFailedError, EnvironmentFaultError, TransIPError, UsageError
from transip_md.plugins.kinds import KINDS, name_nvrtc, name_torch_library, plugin_library

#: TRANSIP_INTERFACE of the header that this module repeats.
INTERFACE = 1

_int64_p = ctypes.POINTER(ctypes.c_int64)
_double_p = ctypes.POINTER(ctypes.c_double)


class Options(ctypes.Structure):
    """transip_options."""

    _fields_ = (
        ("device", ctypes.c_char_p),
        ("kernels", ctypes.c_char_p),
        ("threads", ctypes.c_int),
        ("skip_check", ctypes.c_int),
    )


class Atoms(ctypes.Structure):
    """transip_structure."""

    _fields_ = (
        ("atoms", ctypes.c_int64),
        ("species", ctypes.c_void_p),
        ("positions", ctypes.c_void_p),
        ("cell", ctypes.c_void_p),
        ("periodic", ctypes.c_int * 3),
        ("charge", ctypes.c_int),
        ("multiplicity", ctypes.c_int),
        ("step", ctypes.c_uint64),
    )


class Result(ctypes.Structure):
    """transip_result."""

    _fields_ = (
        ("energy", ctypes.c_void_p),
        ("energies", ctypes.c_void_p),
        ("forces", ctypes.c_void_p),
        ("virial", ctypes.c_void_p),
        ("virials", ctypes.c_void_p),
    )


#: Errors by transip_status.
ERRORS: dict[int, type[TransIPError]] = {
    1: UsageError,
    2: UsageError,
    3: CheckFailedError,
    4: EnvironmentFaultError,
}


@cache
def library() -> ctypes.CDLL:
    """The shared library with its functions declared.

    Raises:
        EnvironmentFaultError: it is not built, stale, not to be trusted, or of another interface.
    """
    path = plugin_library(KINDS["library"])
    name_torch_library()
    name_nvrtc()
    found = ctypes.CDLL(str(path))
    if found.transip_interface() != INTERFACE:
        raise EnvironmentFaultError(
            f"{path} has interface {found.transip_interface()} and not {INTERFACE}. Type `transip-md build library`."
        )
    handle, text = ctypes.c_void_p, ctypes.c_char_p
    declared = {
        "transip_message": (text, ()),
        "transip_load": (ctypes.c_int, (text, ctypes.POINTER(Options), ctypes.POINTER(handle))),
        "transip_check_reference": (ctypes.c_int, (handle, ctypes.POINTER(ctypes.c_int))),
        "transip_free": (None, (handle,)),
        "transip_metadata": (text, (handle,)),
        "transip_device": (text, (handle,)),
        "transip_runs_by": (text, (handle,)),
        "transip_notice": (text, (handle,)),
        "transip_set_threads": (ctypes.c_int, (handle, ctypes.c_int)),
        "transip_set_symmetry": (ctypes.c_int, (handle, text)),
        "transip_set_reference": (ctypes.c_int, (handle, ctypes.c_int64, handle, handle)),
        "transip_evaluate_with_distances": (
            ctypes.c_int,
            (handle, ctypes.POINTER(Atoms), ctypes.POINTER(Result), ctypes.c_void_p),
        ),
        "transip_evaluate_many": (
            ctypes.c_int,
            (handle, ctypes.c_int64, ctypes.POINTER(Atoms), ctypes.POINTER(Result)),
        ),
        "transip_evaluate_batch_on_device": (
            ctypes.c_int,
            (
                handle,
                ctypes.c_int64,
                ctypes.c_void_p,
                ctypes.POINTER(Atoms),
                ctypes.POINTER(Result),
                ctypes.c_void_p,
            ),
        ),
        "transip_device_allocate": (ctypes.c_int, (handle, ctypes.c_int64, ctypes.POINTER(ctypes.c_void_p))),
        "transip_device_free": (None, (handle, ctypes.c_void_p)),
        "transip_distances": (ctypes.c_int, (handle, ctypes.POINTER(Atoms), ctypes.c_void_p)),
        "transip_share_neighbours": (ctypes.c_int, (handle, handle, ctypes.POINTER(ctypes.c_int))),
        "transip_memory": (ctypes.c_int64, (handle,)),
    }
    for name, (result, arguments) in declared.items():
        function = getattr(found, name)
        function.restype, function.argtypes = result, arguments
    return found


def check(status: int) -> None:
    """Raise the error that a transip_status stands for, with the library's reason."""
    if status:
        raise ERRORS.get(status, EnvironmentFaultError)(library().transip_message().decode())
