"""Files of machine code and the folders above them: whoever may write one of those runs code as the user who loads it.

Imported at every start of the wheel's ``lmp``: the standard library only. The twin of libtransip's trusted_path.cpp.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path


def why_untrusted(path: Path) -> str | None:
    """Why machine code at a path must not be loaded, and what to type; None if it may be.

    The file, its folder and every folder above must belong to this user or to root, and nobody else may write them. A
    folder in which all may write but each only their own files (the sticky bit, as in /tmp) may stand above the file's
    own folder. A group whose only member is this user counts as the user.
    """
    real = Path(os.path.realpath(path))
    for depth, entry in enumerate((real, *real.parents)):
        try:
            found = entry.stat()
        except FileNotFoundError:
            continue
        except OSError as error:
            return f"{entry} cannot be looked at: {error.strerror}."
        if found.st_uid not in (0, os.geteuid()):
            return (
                f"{entry} belongs to another user (uid {found.st_uid}), who could replace what is loaded from it. Use "
                f"your own file and folders, or type `chown {os.geteuid()} {entry}`."
            )
        sticky = stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX and depth > 1
        if sticky:
            continue
        if found.st_mode & stat.S_IWOTH:
            return f"{entry} may be written by every user, who could replace what is loaded. Type `chmod o-w {entry}`."
        if found.st_mode & stat.S_IWGRP and not _is_own_group(found.st_gid):
            return f"{entry} may be written by its group, who could replace what is loaded. Type `chmod g-w {entry}`."
    return None


def _is_own_group(group: int) -> bool:
    """Whether a group has no other member than this user: the private group that many systems give to each user."""
    import grp
    import pwd

    if group == 0:
        return True
    try:
        user = pwd.getpwuid(os.geteuid())
        found = grp.getgrgid(group)
    except KeyError:
        return False
    return user.pw_gid == group and found.gr_name == user.pw_name and set(found.gr_mem) <= {user.pw_name}
