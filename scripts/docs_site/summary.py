"""Page of the summaries that commands write, from the fields of the pydantic model."""

from __future__ import annotations

from docs_site.recipe import rows
from docs_site.tables import table

HEAD = """# Summary of a command

Every command takes `--json FILE` and writes, when it ends and however it ends, a summary: what was run, with which
versions, the verdict and the numbers. Options that cannot be read at all (a misspelt name) end a command before that.

```sh
transip-md parity ethanol.pt ethanol.xyz --json parity.json
transip-md validate ethanol.pt ethanol.xyz --json validation.json
```

`info`, `doctor` and `models` print what they show as JSON if no FILE follows `--json`; a FILE ends in `.json` there.

## Keys of every summary
"""

OWN = """
## Keys of single commands

Beside the keys above, under names of their own, without rounding.

"""

#: Further keys by command.
KEYS = {
    "bench": "`machine`, `keep_memory`, `lines` (times by structure and layout), `flop`, `rate`, `exponent`, "
    "`baselines`, `gaps`",
    "deviation": "`models`, `force`, `frames` (the deviations of each), `calibration`",
    "distance": "`frames` (distances of the atoms of each), `ranking`",
    "doctor": "`parts`: name, state, detail",
    "eval": "`model`, `sha256`, `units`, `conservative`, `assumed`, `files` (errors on each file), `whole` (on all, by "
    "element and by size)",
    "export": "`metadata` of the file",
    "import": "with `--list`: `sha256`, `state_dicts` and their keys",
    "info": "`metadata` of the file; without a file `environment`",
    "learn": "`iterations`, `converged`; `waiting`, if labels are missing",
    "models": "`models`: as `transip-md models --json` prints",
    "nve": "`model`, `runs`, `orders`, `ensembles`, `threshold_meV_per_atom_ps`: what `nve.json` holds",
    "parity": "`engines`: energy and differences of each",
    "presets": "`presets`: the fields of each",
    "train": "`models`: errors on held-out data by checkpoint, several with `--committee`",
    "validate": "`model`, `findings`, `curves`, `structures`, `metadata`, `seconds`, `made_with`, `date`, `symmetry`",
}


def page() -> str:
    """Markdown of the keys that all summaries have, and of those of single commands."""
    from transip_md.cli.summary import Summary

    own = table(["command", "keys"], [[f"`{name}`", keys] for name, keys in KEYS.items()])
    return HEAD + "\n" + table(["key", "is"], rows("", Summary)[0]) + OWN + own
