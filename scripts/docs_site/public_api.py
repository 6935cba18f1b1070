"""Page of the public Python modules, whose docstrings mkdocstrings renders."""

from __future__ import annotations

HEAD = """# Python

What is listed here stays as it is between minor versions; everything else in the package may change. Units: eV,
Angstrom, amu, fs, e ([conventions](../conventions.md)).
"""

#: Public objects by heading: the module, its public members (all if there are none).
PUBLIC: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("Models", "transip_md", ("load_model", "pretrained", "export", "validate", "run_dynamics")),
    ("Evaluation", "transip_md.evaluators.evaluation", ("Model",)),
    ("Export", "transip_md.exporting.export", ("export",)),
    ("Metadata of a model file", "transip_md.modelfile.metadata", ("Metadata",)),
    ("ASE", "transip_md.engines.ase", ("TransIPCalculator",)),
    ("OpenMM", "transip_md.engines.openmm", ("create_force",)),
    ("LAMMPS", "transip_md.engines.lammps.module", ("make_lammps",)),
    ("i-PI", "transip_md.engines.ipi", ("TransIPDriver",)),
    ("torch-sim", "transip_md.engines.torch_sim", ("TransIPModel",)),
    ("Symmetry", "transip_md.symmetry.request", ("SymmetryRequest",)),
    ("Validation", "transip_md.validation.run", ("validate",)),
    ("Dynamics", "transip_md.dynamics.run", ("NveSettings", "NveResult", "run_nve")),
    ("Verdict of a run", "transip_md.dynamics.analysis", ("Conservation",)),
    ("Network", "transip_md.model.config", ("ModelConfig",)),
    ("Errors", "transip_md.common.errors", ()),
)


def page() -> str:
    """Markdown with one directive for each public object."""
    parts = [HEAD]
    for heading, module, members in PUBLIC:
        parts.append(f"## {heading}\n")
        if members:
            parts += [f"::: {module}.{member}\n    options: {{heading_level: 3}}\n" for member in members]
        else:
            parts.append(f"::: {module}\n    options: {{heading_level: 3}}\n")
    return "\n".join(parts)
